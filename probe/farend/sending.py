"""How our kernel fared while it sent: TCP_INFO of a download, for the client that asked for it.

A receiver sees only what arrives. The sender's round trips, retransmissions and delivery rate say
more, so a client may name a download (``/bytes/N?as=TOKEN``) and fetch the samples afterwards
(``/sent/TOKEN``), once, from the same address. Kept in bounded memory, and nowhere else.
"""

from __future__ import annotations

import asyncio
import fcntl
import random
import struct
import termios
import time
from collections import OrderedDict
from typing import Final

from probe.fetch import tcp_info
from probe.fetch.watching import GREATEST_GAP_S, LEAST_GAP_S, MEAN_GAP_S
from probe.measurement import TcpInfo

#: Samples a download keeps, first and last among them; downloads remembered.
MAX_SAMPLES: Final = 64
MAX_DOWNLOADS: Final = 256
#: Fetching its samples takes a client a moment; a transfer at 100 kbit/s half a minute.
_KEPT_S: Final = 120.0


class Downloads:
    """The samples of downloads that clients have named, until they fetch them."""

    def __init__(self) -> None:
        self._samples: OrderedDict[tuple[str, str], tuple[float, list[TcpInfo]]] = OrderedDict()

    def begin(self, client: str, token: str, now_s: float) -> list[TcpInfo]:
        """Make room for the samples of one download.

        Args:
            client: who downloads.
            token: what the client calls it.
            now_s: monotonic time.

        Returns:
            An empty list, to be filled while sending.
        """
        self._samples[client, token] = (now_s, [])
        self._samples.move_to_end((client, token))
        while len(self._samples) > MAX_DOWNLOADS:
            self._samples.popitem(last=False)
        return self._samples[client, token][1]

    def take(self, client: str, token: str, now_s: float) -> tuple[TcpInfo, ...]:
        """Hand out the samples of one download, once.

        Args:
            client: who asks.
            token: what the client called it.
            now_s: monotonic time.

        Returns:
            The samples; none for a download that this client has not named, or too long ago.
        """
        begun_s, samples = self._samples.pop((client, token), (now_s, []))
        return tuple(samples) if now_s - begun_s <= _KEPT_S else ()


async def watch(transport: asyncio.Transport, samples: list[TcpInfo]) -> None:
    """Sample a connection's TCP state on a memoryless clock, until cancelled.

    Args:
        transport: of the connection.
        samples: gets them, ``t_s`` counting from now; the last is taken at the end, and when the
            list is full it is the newest.
    """
    begun = time.monotonic()
    sock = transport.get_extra_info("socket")

    def take() -> None:
        sample = tcp_info.parse(tcp_info.read(sock), time.monotonic() - begun)
        if sample is not None:
            del samples[MAX_SAMPLES - 1 :]
            samples.append(sample)

    try:
        while not transport.is_closing():
            take()
            gap_s = random.expovariate(1 / MEAN_GAP_S)
            await asyncio.sleep(min(max(gap_s, LEAST_GAP_S), GREATEST_GAP_S))
    finally:
        take()


async def delivered(transport: asyncio.Transport) -> None:
    """Wait until the client's kernel has acknowledged all that was sent, or has gone.

    Args:
        transport: of the connection.
    """
    while not transport.is_closing() and _waiting_bytes(transport):  # noqa: ASYNC110 - no event tells
        await asyncio.sleep(LEAST_GAP_S)


def _waiting_bytes(transport: asyncio.Transport) -> int:
    """Count bytes that are not acknowledged yet: in our buffers, and on the way (``tcp(7)``)."""
    sock = transport.get_extra_info("socket")
    try:
        answer = fcntl.ioctl(sock.fileno(), termios.TIOCOUTQ, bytes(4))
    except OSError:
        return 0  # a system that does not say; what was sampled until now is all there is
    return transport.get_write_buffer_size() + int(struct.unpack("i", answer)[0])
