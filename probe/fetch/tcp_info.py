"""The kernel's own account of a TCP connection: ``getsockopt(TCP_INFO)``, as far as it goes.

The struct only ever grew at its end, so a field is there exactly when the kernel filled the struct
that far. Offsets from ``struct tcp_info`` in ``linux/tcp.h``; ``tcpi_rcv_ooopack`` needs Linux 5.4.
"""

from __future__ import annotations

import socket
import struct
from typing import Final

from probe.measurement import TcpInfo

_SIZE: Final = 512
_MICRO: Final = 1e-6
_UNSET: Final = 0xFFFF_FFFF

_U32: Final = {
    "snd_mss": 16,
    "rcv_mss": 20,
    "rtt": 68,
    "rttvar": 72,
    "rcv_rtt": 92,
    "total_retrans": 100,
    "segs_in": 140,
    "min_rtt": 148,
    "data_segs_in": 152,
    "rcv_ooopack": 224,
}
_U64: Final = {"bytes_acked": 120, "bytes_received": 128, "delivery_rate": 160}


def read(sock: socket.socket | None) -> bytes:
    """Ask the kernel.

    Args:
        sock: a TCP socket, connected or just closed by its peer; ``None`` where there is no TCP.

    Returns:
        The raw struct, as long as this kernel makes it; empty where there is none.
    """
    option = getattr(socket, "TCP_INFO", None)
    if option is None or sock is None:
        return b""
    try:
        return sock.getsockopt(socket.IPPROTO_TCP, option, _SIZE)
    except OSError:
        # Not a kernel TCP socket (a sandbox's, say), or closed already: nothing to be told.
        return b""


def parse(raw: bytes, t_s: float) -> TcpInfo | None:
    """Read one sample.

    Args:
        raw: what :func:`read` returned.
        t_s: when, in seconds since the trial began.

    Returns:
        The sample, with ``None`` for what the kernel did not give or has not measured yet;
        ``None`` altogether for an empty struct.
    """
    if not raw:
        return None
    rate = _u64(raw, "delivery_rate")
    return TcpInfo(
        t_s=t_s,
        rtt_s=_duration(raw, "rtt"),
        rttvar_s=_duration(raw, "rttvar"),
        min_rtt_s=_duration(raw, "min_rtt"),
        rcv_rtt_s=_duration(raw, "rcv_rtt"),
        bytes_received=_u64(raw, "bytes_received"),
        bytes_acked=_u64(raw, "bytes_acked"),
        segs_in=_u32(raw, "segs_in"),
        data_segs_in=_u32(raw, "data_segs_in"),
        rcv_ooopack=_u32(raw, "rcv_ooopack"),
        retransmits=_u32(raw, "total_retrans"),
        snd_mss_bytes=_u32(raw, "snd_mss"),
        rcv_mss_bytes=_u32(raw, "rcv_mss"),
        delivery_rate_bps=rate * 8 if rate else None,
    )


def bytes_received(sock: socket.socket | None) -> int | None:
    """Return the TCP payload bytes the kernel has taken in on a connection.

    Args:
        sock: the connection.

    Returns:
        The count; ``None`` where the kernel does not tell.
    """
    return _u64(read(sock), "bytes_received")


def out_of_order(sock: socket.socket | None) -> int | None:
    """Return the segments that arrived out of order on a connection.

    Args:
        sock: the connection.

    Returns:
        The count; ``None`` where the kernel does not tell.
    """
    return _u32(read(sock), "rcv_ooopack")


def bytes_acked(sock: socket.socket | None) -> int | None:
    """Return the TCP payload bytes the peer has acknowledged on a connection.

    Args:
        sock: the connection.

    Returns:
        The count; ``None`` where the kernel does not tell.
    """
    return _u64(read(sock), "bytes_acked")


def rtt_s(sock: socket.socket) -> float | None:
    """Return the kernel's smoothed round-trip time; right after a connect, that of the SYN.

    Args:
        sock: the connection.

    Returns:
        Seconds; ``None`` where the kernel does not tell.
    """
    return _duration(read(sock), "rtt")


def _u32(raw: bytes, name: str) -> int | None:
    at = _U32[name]
    return struct.unpack_from("=I", raw, at)[0] if len(raw) >= at + 4 else None


def _u64(raw: bytes, name: str) -> int | None:
    at = _U64[name]
    return struct.unpack_from("=Q", raw, at)[0] if len(raw) >= at + 8 else None


def _duration(raw: bytes, name: str) -> float | None:
    """Microseconds to seconds; the kernel says 0 or all ones for "not measured yet"."""
    value = _u32(raw, name)
    return None if value in (None, 0, _UNSET) else value * _MICRO
