"""The far end's part in a replay: a client plays a recording's opening, we play the answer.

Over plain TCP, so whoever asks has proved its address. Each client has a share of bytes and of
connections, each connection an end in time. What is no opening of ours is closed in silence.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections.abc import Callable
from typing import Final

from probe import recording
from probe.farend.admission import Admission, Allowance, Refused
from probe.farend.reflector import client_of

_BLOCK_BYTES: Final = 16_384
REPLAYS: Final = Allowance(
    transfer_bytes=4 << 20,
    transfer_s=60.0,
    client_transfers=4,
    total_transfers=64,
    client_bytes_per_s=1 << 18,
    client_burst_bytes=32 << 20,
)


class Replay:
    """Answers replays.

    Args:
        allowance: what it gives at most.
        asking_s: until an opening has to be there.
        now_ns: monotonic clock.
    """

    def __init__(
        self,
        allowance: Allowance,
        asking_s: float,
        now_ns: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        self._asking_s = asking_s
        self._admission = Admission(allowance, now_ns)
        self._open: set[asyncio.StreamWriter] = set()
        self._block = os.urandom(_BLOCK_BYTES)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Take one connection; the caller of ``asyncio.start_server``.

        Args:
            reader: from the client.
            writer: to the client; closed at the end.
        """
        client = client_of(writer.get_extra_info("peername")[:2])
        self._open.add(writer)
        # Whatever a stranger sends, or leaves out, ends in the same: the connection is closed.
        ends = (Refused, OSError, TimeoutError, EOFError, recording.RecordingError)
        try:
            with contextlib.suppress(*ends):
                async with self._admission.admit(client):
                    await self._play(client, reader, writer)
        finally:
            self._open.discard(writer)
            writer.transport.abort()

    def close(self) -> None:
        """Break every connection off."""
        for writer in self._open:
            writer.transport.abort()

    async def _play(
        self, client: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        async with asyncio.timeout(self._asking_s):
            head = recording.read_head(await reader.readexactly(recording.HEAD_BYTES))
            body = await reader.readexactly(head.rest_bytes)
        size = recording.size_wanted(recording.inverted(body) if head.inverted else body)
        if size > self._admission.allowance.transfer_bytes:
            return
        self._admission.spend(client, size)
        for record in recording.answer(size, self._block):
            writer.write(recording.inverted(record) if head.inverted else record)
            await writer.drain()
        await reader.read(1)  # the client closes once it has all
