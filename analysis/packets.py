"""A trial's own capture, read back into the columns of its record, so that both can be compared.

The file is one that the probe wrote: nanosecond pcap of raw IP, headers only, the one server's
port known from the record.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

from msgspec import structs

from probe.measurement import Fetch, TcpInfo, Timeline

_MAGIC: Final = 0xA1B23C4D
_LINKTYPE_RAW: Final = 101
_FILE_HEAD: Final = 24
_PACKET_HEAD: Final = 16
_TCP: Final = 6
_SYN: Final = 0x02
_ACK: Final = 0x10
_SPAN: Final = 1 << 32


class PacketsError(ValueError):
    """A file that is no capture of the probe's; says what was found and expected."""


class Segment(NamedTuple):
    """One TCP segment: seconds since 1970, from the server or to it, numbers, flags, payload."""

    t_s: float
    inward: bool
    own_port: int
    seq: int
    flags: int
    payload_bytes: int


def with_packets(fetch: Fetch, path: Path) -> Fetch:
    """Put what the packets say in place of what the kernel said.

    Args:
        fetch: the record of the trial.
        path: the capture kept beside it.

    Returns:
        The record with timeline, idle round trip and counts of segments from the packets. The
        times are tied to the record's by the connect that won.

    Raises:
        PacketsError: the file is no such capture, or holds no connection.
    """
    own = [connect for connect in fetch.connects if connect.failure is None]
    flow = _main_flow(list(segments(path, fetch.port or 0)))
    opening = next((s for s in flow if s.flags & (_SYN | _ACK) == _SYN and not s.inward), None)
    answer = next((s for s in flow if s.flags & _SYN and s.inward), None)
    if opening is None or answer is None or not own:
        raise PacketsError(f"{path}: found no TCP connection, expected the one of the trial")
    begun = opening.t_s - own[-1].t_s
    rtt_s = answer.t_s - opening.t_s
    timeline, out_of_order, count = _arrivals(flow, answer.seq + 1, begun)
    counted = TcpInfo(
        t_s=timeline.t_s[-1] if timeline.t_s else 0.0,
        min_rtt_s=rtt_s,
        bytes_received=timeline.bytes[-1] if timeline.bytes else 0,
        data_segs_in=count,
        rcv_ooopack=out_of_order,
    )
    return structs.replace(fetch, timeline=timeline, idle_rtt_s=rtt_s, tcp_info=(counted,))


def segments(path: Path, port: int) -> Iterator[Segment]:
    """Read a capture.

    Args:
        path: the file.
        port: the server's.

    Yields:
        Its TCP segments, in order.

    Raises:
        PacketsError: the file is not one of the probe's.
    """
    data = path.read_bytes()
    if len(data) < _FILE_HEAD or struct.unpack_from("<I", data)[0] != _MAGIC:
        raise PacketsError(f"{path}: found no nanosecond pcap, expected one that the probe wrote")
    if struct.unpack_from("<I", data, 20)[0] != _LINKTYPE_RAW:
        raise PacketsError(f"{path}: found another link type, expected raw IP (101)")
    at = _FILE_HEAD
    while at + _PACKET_HEAD <= len(data):
        seconds, rest_ns, kept, size = struct.unpack_from("<IIII", data, at)
        packet = data[at + _PACKET_HEAD : at + _PACKET_HEAD + kept]
        at += _PACKET_HEAD + kept
        if (segment := _segment(seconds + rest_ns / 1e9, packet, size, port)) is not None:
            yield segment


def _segment(t_s: float, packet: bytes, size: int, port: int) -> Segment | None:
    ipv4 = bool(packet) and packet[0] >> 4 == 4  # noqa: PLR2004 - IP version
    head = (packet[0] & 15) * 4 if ipv4 else 40
    if len(packet) < head + 20 or packet[9 if ipv4 else 6] != _TCP:
        return None
    source, target, seq = struct.unpack_from(">HHI", packet, head)
    inward = source == port
    payload = size - head - (packet[head + 12] >> 4) * 4
    return Segment(t_s, inward, target if inward else source, seq, packet[head + 13], payload)


def _main_flow(found: list[Segment]) -> list[Segment]:
    """Leave the short connections out that timed the round trip beside the transfer."""
    sizes: dict[int, int] = {}
    for segment in found:
        sizes[segment.own_port] = sizes.get(segment.own_port, 0) + segment.payload_bytes
    most = max(sizes, key=lambda port: sizes[port], default=None)
    return [segment for segment in found if segment.own_port == most]


def _arrivals(flow: list[Segment], first: int, begun: float) -> tuple[Timeline, int, int]:
    """Follow what arrived in order; return the timeline, segments out of order, data segments."""
    times, counts = [0.0], [0]
    reached, out_of_order, count = 0, 0, 0
    waiting: dict[int, int] = {}
    for segment in flow:
        if not segment.inward or segment.payload_bytes <= 0:
            continue
        count += 1
        at = (segment.seq - first) % _SPAN
        out_of_order += at > reached
        waiting[at] = max(waiting.get(at, 0), segment.payload_bytes)
        for begin in sorted(waiting):
            if begin > reached:
                break
            reached = max(reached, begin + waiting.pop(begin))
        times.append(segment.t_s - begun)
        counts.append(reached)
    return Timeline(t_s=tuple(times), bytes=tuple(counts)), out_of_order, count
