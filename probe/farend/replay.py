"""The far end's part in a replay: a client plays a recording's opening, we play the answer.

Over plain TCP, so whoever asks has proved its address. Each client has a share of bytes and of
connections, each connection an end in time. What is no opening of ours is closed in silence.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections import Counter
from collections.abc import Callable
from typing import Final

import msgspec

from probe import recording
from probe.farend.limits import Buckets
from probe.farend.reflector import client_of

_BLOCK_BYTES: Final = 16_384
_REMEMBERED_CLIENTS: Final = 10_000


class ReplayLimits(msgspec.Struct, frozen=True, kw_only=True):
    """What replays get at most.

    Attributes:
        answer_bytes: in one answer.
        connection_s: for one connection.
        client_connections: at a time, by one client.
        total_connections: at a time.
        client_bytes_per_s: sustained, by one client.
        client_burst_bytes: at once, by one client.
    """

    answer_bytes: int = 4 << 20
    connection_s: float = 60.0
    client_connections: int = 4
    total_connections: int = 64
    client_bytes_per_s: float = 1 << 18
    client_burst_bytes: float = 32 << 20


class Replay:
    """Answers replays.

    Args:
        limits: what it gives at most.
        now_ns: monotonic clock.
    """

    def __init__(self, limits: ReplayLimits, now_ns: Callable[[], int] = time.monotonic_ns) -> None:
        self._limits = limits
        self._now_ns = now_ns
        self._busy: Counter[str] = Counter()
        self._shares = Buckets(
            limits.client_bytes_per_s, _REMEMBERED_CLIENTS, limits.client_burst_bytes
        )
        self._open: set[asyncio.StreamWriter] = set()
        self._block = os.urandom(_BLOCK_BYTES)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Take one connection; the caller of ``asyncio.start_server``.

        Args:
            reader: from the client.
            writer: to the client; closed at the end.
        """
        client = client_of(writer.get_extra_info("peername")[:2])
        full = self._busy.total() >= self._limits.total_connections
        if full or self._busy[client] >= self._limits.client_connections:
            writer.transport.abort()
            return
        self._busy[client] += 1
        self._open.add(writer)
        # Whatever a stranger sends, or leaves out, ends in the same: the connection is closed.
        ends = (OSError, TimeoutError, EOFError, recording.RecordingError)
        try:
            with contextlib.suppress(*ends):
                async with asyncio.timeout(self._limits.connection_s):
                    await self._play(client, reader, writer)
        finally:
            self._busy[client] -= 1
            self._busy = +self._busy
            self._open.discard(writer)
            writer.transport.abort()

    def close(self) -> None:
        """Break every connection off."""
        for writer in self._open:
            writer.transport.abort()

    async def _play(
        self, client: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        head = recording.read_head(await reader.readexactly(recording.HEAD_BYTES))
        body = await reader.readexactly(head.rest_bytes)
        size = recording.size_wanted(recording.inverted(body) if head.inverted else body)
        fits = size <= self._limits.answer_bytes
        if not fits or not self._shares.take(client, self._now_ns(), size):
            return
        for record in recording.answer(size, self._block):
            writer.write(recording.inverted(record) if head.inverted else record)
            await writer.drain()
        await reader.read()  # the client closes once it has all
