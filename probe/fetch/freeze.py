"""Does a connection freeze once so much has passed: by bytes, or by packets.

Since June 2025 some boxes let 15 to 20 kB, or some 25 packets counted both ways, pass on a
connection to foreign hosting and then drop the rest without a word (net4people/bbs#490). A
transfer that stops is one sign; here our own requests push past the point, so that a small page
is enough.
"""

from __future__ import annotations

import asyncio
import random
import socket
import string
from collections.abc import Awaitable, Callable
from typing import Final
from urllib.parse import urlsplit

import msgspec

from probe import failure
from probe.fetch.errors import FetchError
from probe.fetch.http1 import HEADERS
from probe.fetch.order import FetchOrder, FetchOutcome
from probe.fetch.progress import Progress
from probe.fetch.run import Exchange, push
from probe.fetch.secure import cut_off, open_transport
from probe.measurement import FetchTest
from probe.network import Network

#: How far requests push: past every stop that was seen (16, 24, 32 and 64 kB).
PUSH_BYTES: Final = 69_632
#: Padding of one request: half of what servers take as one header line.
PADDING_BYTES: Final = 4000
#: Pieces one request is sent in, and the gap between them: above the 25 packets that were seen.
PIECES: Final = 32
PIECE_GAP_S: Final = 0.05
PIECES_WAIT_S: Final = 5.0
#: How long an answer may take: three round trips, within these bounds.
LEAST_WAIT_S: Final = 1.5
GREATEST_WAIT_S: Final = 12.0

_ALPHABET: Final = (string.ascii_letters + string.digits).encode()


async def freeze_by_bytes(
    order: FetchOrder, network: Network, *, rng: random.Random | None = None
) -> FetchOutcome:
    """Send padded ``HEAD`` requests on one connection until far more than 64 kB have gone.

    Args:
        order: the server; its method is not used.
        network: how names are resolved and whom to trust.
        rng: makes the padding.

    Returns:
        The outcome. ``body_bytes`` counts the request bytes that were answered, out of
        ``expected_bytes``; the failure is a time-out where the connection froze. The timeline is
        that of the bytes the peer's kernel acknowledged.
    """
    rng = rng or random.Random()  # noqa: S311 - padding needs no secrecy

    async def press_on(stream: _Stream, progress: Progress) -> None:
        progress.expected_bytes = PUSH_BYTES
        wait_s = 3 * (progress.idle_rtt_s or 0.0)
        while progress.handed_bytes < PUSH_BYTES:
            padding = bytes(rng.choices(_ALPHABET, k=PADDING_BYTES if progress.status else 0))
            request = _head_request(progress, padding)
            await stream.send(request)
            await stream.answer(min(max(wait_s, LEAST_WAIT_S), GREATEST_WAIT_S))
            progress.handed_bytes += len(request)

    order = msgspec.structs.replace(order, method="HEAD")
    exchange = _on_one_connection(press_on)
    return _called("freeze_bytes", await push(order, network, exchange, rng=rng))


async def freeze_by_packets(order: FetchOrder, network: Network) -> FetchOutcome:
    """Send one small request in many small packets.

    Args:
        order: the server; its method is not used.
        network: how names are resolved and whom to trust.

    Returns:
        The outcome; the failure is a time-out where no answer came to the last packet.
    """

    async def drip(stream: _Stream, progress: Progress) -> None:
        request = _head_request(progress, b"")
        progress.expected_bytes = len(request)
        step = -(-len(request) // PIECES)
        for at in range(0, len(request), step):
            await stream.send(request[at : at + step])
            await asyncio.sleep(PIECE_GAP_S)
        await stream.answer(PIECES_WAIT_S)
        progress.handed_bytes = len(request)

    order = msgspec.structs.replace(order, method="HEAD")
    return _called("freeze_packets", await push(order, network, _on_one_connection(drip)))


def _called(test: FetchTest, outcome: FetchOutcome) -> FetchOutcome:
    """Let the record say what it is of."""
    fetch = msgspec.structs.replace(outcome.fetch, test=test)
    return msgspec.structs.replace(outcome, fetch=fetch)


class _Stream:
    """A request-answer stream over one connection."""

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, progress: Progress
    ) -> None:
        self._reader = reader
        self._writer = writer
        self._progress = progress

    async def send(self, data: bytes) -> None:
        self._writer.write(data)
        await self._writer.drain()
        self._progress.sent()

    async def answer(self, wait_s: float) -> None:
        """Take the head of one answer in; to a ``HEAD`` there is nothing more."""
        try:
            async with asyncio.timeout(wait_s):
                head = await self._reader.readuntil(b"\r\n\r\n")
        except TimeoutError:
            raise FetchError(failure.TIMEOUT) from None
        except asyncio.IncompleteReadError:
            raise FetchError(failure.EOF) from None
        except asyncio.LimitOverrunError:
            raise FetchError(failure.HTTP_FAILED) from None
        self._progress.answered()
        words = head.split(b" ", 2)
        if not words[0].startswith(b"HTTP/1.") or not words[1].isdigit():
            raise FetchError(failure.HTTP_FAILED)
        self._progress.status = int(words[1])


def _on_one_connection(
    work: Callable[[_Stream, Progress], Awaitable[None]],
) -> Exchange:
    async def exchange(sock: socket.socket, network: Network, progress: Progress) -> None:
        transport: asyncio.Transport | None = None
        loop = asyncio.get_running_loop()
        reader = asyncio.StreamReader()
        try:
            transport, protocol = await open_transport(
                sock, lambda: asyncio.StreamReaderProtocol(reader), network, progress
            )
            progress.http = "http/1.1"
            writer = asyncio.StreamWriter(transport, protocol, reader, loop)
            await work(_Stream(reader, writer, progress), progress)
            progress.whole = True
        finally:
            await cut_off(transport, sock)

    return exchange


def _head_request(progress: Progress, padding: bytes) -> bytes:
    parts = urlsplit(progress.order.url)
    target = f"{parts.path or '/'}{'?' if parts.query else ''}{parts.query}"
    host = parts.netloc.rpartition("@")[2]
    lines = [f"HEAD {target} HTTP/1.1", f"Host: {host}", f"User-Agent: {HEADERS['User-Agent']}"]
    if padding:
        lines.append(f"X-Padding: {padding.decode()}")
    return "\r\n".join([*lines, "", ""]).encode()
