"""One connected UDP socket of one flow on the asyncio loop, with the kernel's stamps.

asyncio's own datagram transport drops ancillary data, and uvloop stops watching a socket whose
error queue holds something; so this reads the socket itself, on the default loop.
"""

from __future__ import annotations

import asyncio
import socket
import time
from typing import Protocol

from probe.clock import WallOffset, enable_arrival, enable_stamps, receive, transmit_stamp


class Listener(Protocol):
    """Whom a socket tells what happens. Times are monotonic, ns."""

    def on_datagram(self, data: bytes, user_ns: int, kernel_ns: int | None) -> None:
        """Take a datagram from the peer."""

    def on_left(self, number: int, kernel_ns: int) -> None:
        """Take the transmit stamp of the datagram with this number."""

    def on_error(self, error: OSError) -> None:
        """Take an error the network reported, such as an ICMP unreachable."""


class UdpSocket:
    """A socket to one peer.

    Attributes:
        sent: datagrams handed to the kernel so far: the number of the next one.
        overflowed: datagrams the kernel had to drop because this process was too slow to take them.
    """

    def __init__(
        self,
        address: tuple[str, int],
        wall: WallOffset,
        listener: Listener,
        *,
        local_port: int = 0,
    ) -> None:
        """Open and connect; nothing is sent.

        Args:
            address: literal IPv4 or IPv6 address and port.
            wall: brings kernel stamps to the monotonic clock.
            listener: whom to tell.
            local_port: port to send from; 0 takes a free one.

        Raises:
            OSError: there is no way to the address.
        """
        self._wall = wall
        self._listener = listener
        self._loop = asyncio.get_running_loop()
        self._numbers_hold = True
        self.sent = 0
        self.overflowed = 0
        family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        self._socket = socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        try:
            enable_stamps(self._socket, transmit=True)
            enable_arrival(self._socket)
            if local_port:
                self._socket.bind(("", local_port))
            self._socket.connect(address)
        except OSError:
            self._socket.close()
            raise
        self._loop.add_reader(self._socket, self._readable)

    def send(self, datagram: bytes) -> int | None:
        """Hand a datagram to the kernel.

        Args:
            datagram: the payload.

        Returns:
            When, just before (monotonic ns); ``None`` when the kernel did not take it.
        """
        for _ in range(2):
            now_ns = time.monotonic_ns()
            try:
                self._socket.send(datagram)
            except OSError as error:
                # The kernel reports an earlier datagram's ICMP error here, once; the second
                # attempt is this datagram's own. Kernels differ in whether a failed send uses
                # up a number, so from now on transmit stamps cannot be told apart.
                self._numbers_hold = False
                self._listener.on_error(error)
            else:
                self.sent += 1
                return now_ns
        return None

    def take_stamp(self) -> bool:
        """Tell the listener one transmit stamp, if there is one; return whether there was.

        Called by itself when the loop finds the error queue filled. Most drivers stamp while
        sending, so asking right after a send saves the loop a round.
        """
        stamp = transmit_stamp(self._socket)
        if stamp is None:
            return False
        kernel_ns = self._monotonic(stamp[1])
        if self._numbers_hold and kernel_ns is not None:
            self._listener.on_left(stamp[0], kernel_ns)
        return True

    def close(self) -> None:
        """Close; safe to call twice."""
        if self._socket.fileno() >= 0:
            self._loop.remove_reader(self._socket)
            self._socket.close()

    def _readable(self) -> None:
        # One datagram a call: the loop calls again while there is more, and in between every
        # other flow gets its turn.
        try:
            datagram = receive(self._socket)
        except BlockingIOError:
            while self.take_stamp():
                pass
        except OSError as error:
            self._listener.on_error(error)
        else:
            user_ns = time.monotonic_ns()
            self.overflowed = max(self.overflowed, datagram.overflowed)
            self._listener.on_datagram(datagram.data, user_ns, self._monotonic(datagram.kernel_ns))

    def _monotonic(self, stamp_ns: int | None) -> int | None:
        # Looked at each time: a stamp from after the wall clock was set needs the new offset.
        self._wall.watch()
        return None if stamp_ns is None else self._wall.to_monotonic(stamp_ns)
