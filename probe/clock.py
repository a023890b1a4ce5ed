"""Time as exactly as Linux gives it: timerfd pacing and kernel stamps on UDP sockets.

asyncio rounds its own timers up to whole milliseconds, and a stamp taken in Python includes
however long the process waited for a processor. So packets are paced by a timerfd the loop
watches, and sent and received times come from the kernel (``SO_TIMESTAMPING``: receive stamps as
ancillary data, transmit stamps on the socket's error queue).

Kernel stamps are wall-clock time. ``WallOffset`` brings them to the monotonic clock that
everything else uses and notices when somebody sets the wall clock.

Sources: timerfd_create(2); Linux Documentation/networking/timestamping.rst.
"""

from __future__ import annotations

import ctypes
import os
import socket
import struct
import sys
import time
from collections.abc import Callable
from typing import Final

import msgspec

_SO_RXQ_OVFL: Final = 40
_SO_TIMESTAMPNS: Final = 35
_SO_TIMESTAMPING: Final = 37
_TX_SOFTWARE: Final = 1 << 1
_RX_SOFTWARE: Final = 1 << 3
_SOFTWARE: Final = 1 << 4
_OPT_ID: Final = 1 << 7
_OPT_TSONLY: Final = 1 << 11
_IP_PKTINFO: Final = 8
_IP_RECVERR: Final = 11
_IP_RECVTTL: Final = 12
_IPV6_RECVERR: Final = 25
_ORIGIN_TIMESTAMPING: Final = 4

_TTL: Final = (
    (socket.IPPROTO_IP, socket.IP_TTL),
    (socket.IPPROTO_IPV6, socket.IPV6_HOPLIMIT),
)

_TIMESPEC: Final = struct.Struct("=qq")
_EXTENDED_ERROR: Final = struct.Struct("=IBBBBII")
_ITIMERSPEC: Final = struct.Struct("=qqqq")
_ANCILLARY_BYTES: Final = 256

_TFD_FLAGS: Final = os.O_NONBLOCK | os.O_CLOEXEC
_TFD_TIMER_ABSTIME: Final = 1
_NS: Final = 1_000_000_000

#: A wall clock this far from where it was has been set, not read late.
_STEP_NS: Final = 1_000_000


class Ticker:
    """A timerfd on the monotonic clock: readable at each tick, on time to the kernel's precision.

    Hand ``fileno()`` to a loop's ``add_reader`` and call ``ticks()`` when it is readable.
    """

    def __init__(self, first_ns: int, interval_ns: int) -> None:
        """Start ticking.

        Args:
            first_ns: monotonic time of the first tick; one in the past ticks at once.
            interval_ns: time between ticks.

        Raises:
            OSError: the kernel refused the timer.
        """
        libc = ctypes.CDLL(None, use_errno=True)
        self._fd: int = libc.timerfd_create(time.CLOCK_MONOTONIC, _TFD_FLAGS)
        if self._fd < 0:
            raise OSError(ctypes.get_errno(), "timerfd_create")
        spec = _ITIMERSPEC.pack(
            interval_ns // _NS, interval_ns % _NS, max(first_ns, 1) // _NS, max(first_ns, 1) % _NS
        )
        if libc.timerfd_settime(self._fd, _TFD_TIMER_ABSTIME, spec, None) != 0:
            error = ctypes.get_errno()
            self.close()
            raise OSError(error, "timerfd_settime")

    def fileno(self) -> int:
        """Return the descriptor to watch."""
        return self._fd

    def ticks(self) -> int:
        """Return how many ticks have passed since the last call, 0 when woken for nothing."""
        try:
            return int.from_bytes(os.read(self._fd, 8), "little")
        except BlockingIOError:
            return 0

    def close(self) -> None:
        """Stop; safe to call twice."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


def spin_until(at_ns: int) -> None:
    """Keep the processor until a monotonic time: on time to a microsecond, for a short while."""
    while time.monotonic_ns() < at_ns:
        pass


class WallOffset:
    """Wall clock minus monotonic clock, in ns, watched for steps.

    Adjustments that slew (NTP) turn both clocks alike, so the offset changes only when somebody
    sets the wall clock.
    """

    def __init__(
        self,
        monotonic_ns: Callable[[], int] = time.monotonic_ns,
        wall_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        """Read both clocks.

        Args:
            monotonic_ns: the clock times are kept in.
            wall_ns: the clock the kernel stamps in.
        """
        self._monotonic_ns = monotonic_ns
        self._wall_ns = wall_ns
        self._offset_ns = self._read()
        self.step_ns = 0

    def watch(self) -> None:
        """Look whether the wall clock was set since the last look; cheap enough for each packet."""
        if abs(self._wall_ns() - self._monotonic_ns() - self._offset_ns) <= _STEP_NS:
            return
        offset_ns = self._read()
        if abs(offset_ns - self._offset_ns) > _STEP_NS:
            self.step_ns += offset_ns - self._offset_ns
            self._offset_ns = offset_ns

    def to_monotonic(self, stamp_ns: int) -> int:
        """Bring a kernel stamp to the monotonic clock."""
        return stamp_ns - self._offset_ns

    def _read(self) -> int:
        """Return the offset read with the least time between the two clocks."""
        readings = []
        for _ in range(5):
            before = self._monotonic_ns()
            wall = self._wall_ns()
            after = self._monotonic_ns()
            readings.append((after - before, wall - (before + after) // 2))
        return min(readings)[1]


class Datagram(msgspec.Struct, frozen=True):
    """What one receive gave: the payload, who sent it, the kernel's stamp (wall clock, ns).

    ``ttl`` is the time to live (IPv6: hop limit) it came with and ``route`` the ancillary data
    that sends a reply from the address it came to, where ``enable_arrival`` asked for them;
    ``overflowed`` how many the socket had to drop so far because nobody took them in time.
    """

    data: bytes
    address: tuple[str, int]
    kernel_ns: int | None
    ttl: int | None = None
    route: tuple[tuple[int, int, bytes], ...] = ()
    overflowed: int = 0


def enable_stamps(sock: socket.socket, *, transmit: bool) -> None:
    """Ask the kernel for stamps, as many as it has.

    What arrives tells what the kernel really gives: a sandbox may accept the option and never
    stamp.

    Args:
        sock: a UDP socket. For ``transmit``, a connected one that has sent nothing yet: the
            kernel numbers its datagrams from 0.
        transmit: also stamp what is sent.
    """
    flags = _RX_SOFTWARE | _SOFTWARE
    if transmit:
        flags |= _TX_SOFTWARE | _OPT_ID | _OPT_TSONLY
    for option, value in ((_SO_TIMESTAMPING, flags), (_SO_TIMESTAMPNS, 1)):
        try:
            sock.setsockopt(socket.SOL_SOCKET, option, value)
        except OSError:
            continue  # an older or emulated kernel: the next best stamp, or none, and recorded so
        return


def enable_arrival(sock: socket.socket) -> None:
    """Ask the kernel for time to live and address of what comes in, and what it had to drop."""
    sock.setsockopt(socket.SOL_SOCKET, _SO_RXQ_OVFL, 1)
    if sock.family == socket.AF_INET6:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVHOPLIMIT, 1)
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVPKTINFO, 1)
    else:
        sock.setsockopt(socket.IPPROTO_IP, _IP_RECVTTL, 1)
        sock.setsockopt(socket.IPPROTO_IP, _IP_PKTINFO, 1)


def receive(sock: socket.socket, limit_bytes: int = 2048) -> Datagram:
    """Take one datagram with its kernel stamp.

    Args:
        sock: a non-blocking socket with stamps enabled.
        limit_bytes: a longer datagram is cut here.

    Returns:
        The datagram; ``kernel_ns`` is ``None`` when the kernel gave no stamp.

    Raises:
        BlockingIOError: nothing is waiting.
        OSError: an error is pending on the socket, such as an ICMP unreachable.
    """
    data, ancillary, _, address = sock.recvmsg(limit_bytes, _ANCILLARY_BYTES)
    kernel_ns = ttl = None
    overflowed = 0
    route: tuple[tuple[int, int, bytes], ...] = ()
    for level, kind, value in ancillary:
        if level == socket.SOL_SOCKET and kind in (_SO_TIMESTAMPING, _SO_TIMESTAMPNS):
            kernel_ns = _nanoseconds(value)
        elif (level, kind) == (socket.SOL_SOCKET, _SO_RXQ_OVFL):
            overflowed = int.from_bytes(value, sys.byteorder)
        elif (level, kind) in _TTL:
            ttl = int.from_bytes(value, sys.byteorder)
        elif (level, kind) == (socket.IPPROTO_IP, _IP_PKTINFO):
            # Interface 0: the route decides which way, the address stays (ip(7)).
            route = ((level, kind, bytes(4) + value[4:]),)
        elif (level, kind) == (socket.IPPROTO_IPV6, socket.IPV6_PKTINFO):
            route = ((level, kind, value),)
    return Datagram(data, address[:2] if address else ("", 0), kernel_ns, ttl, route, overflowed)


def transmit_stamp(sock: socket.socket) -> tuple[int, int] | None:
    """Take one transmit stamp from the error queue.

    Args:
        sock: a non-blocking socket with transmit stamps enabled.

    Returns:
        Number of the datagram on this socket (from 0) and when it left (wall clock, ns);
        ``None`` when the queue is empty or held something that is not a stamp.
    """
    try:
        _, ancillary, _, _ = sock.recvmsg(0, _ANCILLARY_BYTES, socket.MSG_ERRQUEUE)
    except BlockingIOError:
        return None
    stamp_ns = number = None
    for level, kind, value in ancillary:
        if level == socket.SOL_SOCKET and kind == _SO_TIMESTAMPING:
            stamp_ns = _nanoseconds(value)
        elif (level, kind) in (
            (socket.IPPROTO_IP, _IP_RECVERR),
            (socket.IPPROTO_IPV6, _IPV6_RECVERR),
        ):
            _, origin, _, _, _, _, data = _EXTENDED_ERROR.unpack_from(value)
            number = data if origin == _ORIGIN_TIMESTAMPING else None
    return None if stamp_ns is None or number is None else (number, stamp_ns)


def _nanoseconds(timespec: bytes) -> int:
    seconds: int
    nanoseconds: int
    seconds, nanoseconds = _TIMESPEC.unpack_from(timespec)
    return seconds * _NS + nanoseconds
