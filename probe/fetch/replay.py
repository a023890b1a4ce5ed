"""Plays a recording to the far end, plainly or bit-inverted, and times the answer."""

from __future__ import annotations

import asyncio
import socket
from typing import Final

import msgspec

from probe import failure, recording
from probe.fetch.errors import FetchError
from probe.fetch.order import FetchOrder, FetchOutcome
from probe.fetch.progress import Progress
from probe.fetch.run import push
from probe.fetch.watching import Watch
from probe.measurement import FetchTest
from probe.network import Network

_PIECE_BYTES: Final = 1 << 16


async def replay(
    order: FetchOrder, network: Network, *, inverted: bool, watch: Watch | None = None
) -> FetchOutcome:
    """Play a recording on a fresh connection.

    Args:
        order: the far end's replay port as an ``http`` URL, the name to carry as ``sni``, and how
            many bytes of answer as ``limit_bytes``.
        network: how names are resolved.
        inverted: play the copy in which every bit is inverted: nobody can read a name in it.
        watch: as for :func:`probe.fetch.fetch`.

    Returns:
        The outcome. There is no TLS session and no HTTP, so none is recorded; the body is the
        answer as it came.
    """
    name, size = order.sni or "", order.limit_bytes or 0

    async def exchange(sock: socket.socket, _: Network, progress: Progress) -> None:
        opening = recording.opening(name, size)
        progress.expected_bytes = size
        progress.sni = None if inverted else name
        reader, writer = await asyncio.open_connection(sock=sock)
        try:
            writer.write(recording.inverted(opening) if inverted else opening)
            await writer.drain()
            progress.sent()
            while progress.body.count < size:
                piece = await reader.read(_PIECE_BYTES)
                if not piece:
                    raise FetchError(failure.EOF)
                progress.answered()
                progress.body.add(piece)
            progress.whole = True
        finally:
            writer.transport.abort()
            await asyncio.sleep(0)  # the transport closes its socket in the next turn of the loop

    asked = msgspec.structs.replace(order, check_certificate=False)
    outcome = await push(asked, network, exchange, direction="down", watch=watch)
    test: FetchTest = "inverted" if inverted else "replay"
    called = msgspec.structs.replace(outcome.fetch, test=test, body_head=None)
    return msgspec.structs.replace(outcome, fetch=called)
