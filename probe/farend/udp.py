"""A far end's UDP sockets: read, hand to the core, send back at once."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time
from collections.abc import Callable, Sequence
from typing import Final

from probe.clock import Datagram, WallOffset, enable_arrival, enable_stamps, receive

#: Makes of a datagram and when it was received (monotonic, ns) what to send, and where.
Answer = Callable[[Datagram, int], Sequence[tuple[bytes, tuple[str, int]]]]

#: A longer datagram is none of ours, and is cut so that the core can see that it is too long.
_LIMIT_BYTES: Final = 1500
#: Datagrams taken from one socket before the others get their turn.
_BATCH: Final = 32
_RECEIVE_BUFFER_BYTES: Final = 4 << 20


class AnsweringSocket:
    """One UDP port of a far end.

    Attributes:
        port: the one it got, where 0 was asked for.
    """

    def __init__(
        self,
        address: tuple[str, int],
        answer: Answer,
        wall: WallOffset,
        overflowed: Callable[[int], None] = lambda _: None,
    ) -> None:
        """Bind and start answering on the running loop.

        Args:
            address: literal address and port; port 0 takes a free one.
            answer: the core.
            overflowed: told when (monotonic, ns) datagrams turn out to have been dropped because
                they came faster than they were taken.
            wall: brings kernel stamps to the monotonic clock.

        Raises:
            OSError: the port cannot be had.
        """
        self._answer = answer
        self._overflowed = overflowed
        self._dropped = 0
        self._wall = wall
        self._loop = asyncio.get_running_loop()
        family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        self._socket = socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        try:
            if family == socket.AF_INET6:
                self._socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BUFFER_BYTES)
            enable_stamps(self._socket, transmit=False)
            enable_arrival(self._socket)
            self._socket.bind(address)
        except OSError:
            self._socket.close()
            raise
        self.port: int = self._socket.getsockname()[1]
        self._loop.add_reader(self._socket, self._readable)

    def close(self) -> None:
        """Stop answering; safe to call twice."""
        if self._socket.fileno() >= 0:
            self._loop.remove_reader(self._socket)
            self._socket.close()

    def _readable(self) -> None:
        self._wall.watch()
        for _ in range(_BATCH):
            try:
                datagram = receive(self._socket, _LIMIT_BYTES)
            except OSError:
                return  # empty, or an ICMP error about a reply to someone who has gone
            now_ns = time.monotonic_ns()
            received_ns = now_ns
            if datagram.kernel_ns is not None:
                received_ns = min(self._wall.to_monotonic(datagram.kernel_ns), now_ns)
            if datagram.overflowed > self._dropped:
                self._dropped = datagram.overflowed
                self._overflowed(received_ns)
            for reply, address in self._answer(datagram, received_ns):
                # A full send buffer or an unreachable client is a lost packet, as on any network.
                with contextlib.suppress(OSError):
                    self._socket.sendmsg((reply,), datagram.route, 0, address)
