"""Sees the machine's own packets while a trial runs; needs the right to raw sockets (NET_RAW)."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from probe.exits import UsageError
from probe.fetch.packets import Seen, evidence
from probe.network import Address

#: A trial has a few hundred packets; far more means that something else is talking.
MAX_PACKETS: Final = 50_000
_HEAD_BYTES: Final = 160
_BUFFER_BYTES: Final = 1 << 22
_ANCILLARY_BYTES: Final = 64
_ETH_P_ALL: Final = 3
_ETH_P_IP: Final = 0x0800
_ETH_P_IPV6: Final = 0x86DD
_OUTGOING: Final = 4
#: ``SO_TIMESTAMPNS`` of Linux, which :mod:`socket` does not name.
_SO_TIMESTAMPNS: Final = 35


class CaptureError(UsageError):
    """Packets cannot be seen; the text says why and what to do."""


def check_rights() -> None:
    """Make sure that packets can be seen at all.

    Raises:
        CaptureError: the machine does not allow it.
    """
    _open().close()


class Capture:
    """Keeps the heads of packets, in memory, while the ``async with`` block runs.

    The kernel stamps the packets, so it does not matter when the loop comes to read them.

    Raises:
        CaptureError: on entering, where the machine does not allow it.
    """

    def __init__(self) -> None:
        self._seen: list[Seen] = []
        self._sock: socket.socket | None = None

    async def __aenter__(self) -> Self:
        sock = _open()
        sock.settimeout(0)
        sock.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
        with contextlib.suppress(OSError):
            # As much as the system grants; without it a burst may leave gaps in the evidence.
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER_BYTES)
        self._sock = sock
        asyncio.get_running_loop().add_reader(sock, self._read, sock)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        assert self._sock is not None
        asyncio.get_running_loop().remove_reader(self._sock)
        with self._sock as sock:
            self._read(sock)

    def write(self, path: Path, server: Address) -> int:
        """Write what belongs to one trial, cleaned, after the block has ended.

        Args:
            path: the file to make.
            server: the address and port the trial spoke with.

        Returns:
            How many bytes the file has.
        """
        return path.write_bytes(evidence(self._seen, server))

    def _read(self, sock: socket.socket) -> None:
        """Take in what waits."""
        while len(self._seen) < MAX_PACKETS:
            try:
                head, ancillary, _, place = sock.recvmsg(_HEAD_BYTES, _ANCILLARY_BYTES)
            except BlockingIOError:
                return
            if place[1] in (_ETH_P_IP, _ETH_P_IPV6) and ancillary:
                self._seen.append(_seen(head, ancillary[0][2], place[2] == _OUTGOING))
        # Enough: what comes now stays where it is, and the loop is not woken for it.
        asyncio.get_running_loop().remove_reader(sock)


def _open() -> socket.socket:
    try:
        return socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(_ETH_P_ALL))
    except (OSError, AttributeError) as error:
        raise CaptureError(
            f"--pcap: found no way to see packets ({error}), expected Linux and the right to "
            "raw sockets: run as root, or give the container --cap-add NET_RAW"
        ) from error


def _seen(head: bytes, stamp: bytes, outgoing: bool) -> Seen:
    seconds, rest_ns = struct.unpack("=qq", stamp[:16])
    size = len(head)
    if head[:1] and head[0] >> 4 == 4 and size >= 4:  # noqa: PLR2004 - IPv4 and its length field
        size = struct.unpack_from(">H", head, 2)[0]
    elif size >= 6:  # noqa: PLR2004 - up to IPv6's length field
        size = struct.unpack_from(">H", head, 4)[0] + 40
    return Seen(seconds * 1_000_000_000 + rest_ns, outgoing, head, size)
