"""Packet captures taken at a TCP sender, turned into what the receiver saw.

The receiver's in-order bytes are the acknowledgements; a segment that came out of order shows as a
duplicate acknowledgement with a selective one (RFC 2018). Times are those of the acknowledgements
at the sender, later by half a round trip, the same for all. Little-endian classic pcap of Ethernet
and IPv4 only, which is what the captures of Flach et al. (SIGCOMM 2016) are.
"""

from __future__ import annotations

import lzma
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from analysis.errors import DataError
from probe.measurement import Fetch, RttSample, TcpInfo, Timeline

_MAGIC: Final = 0xA1B2C3D4
_IPV4: Final = 0x0800
_TCP: Final = 6
_SYN: Final = 0x02
_SACK: Final = 5
#: A request of the captures' client; bulk data goes the other way.
_REQUEST_BYTES: Final = 8
#: Less than this is no transfer but a request.
_BULK_BYTES: Final = 64_000
_SPAN: Final = 1 << 32
#: Acknowledgements that jump further repaired a loss: their round trip is not the path's.
_STEP_BYTES: Final = 2 * 1460
_MSS_BYTES: Final = 1448
#: A round trip kept per this much time is plenty.
_SAMPLE_S: Final = 0.25

Flow = tuple[bytes, int, bytes, int]


class CaptureError(DataError):
    """A file that is not such a capture; the text says what was found."""


class Segment(msgspec.Struct, frozen=True):
    """One TCP segment as captured: seconds, payload bytes, flags, whether it carries SACK."""

    t_s: float
    flow: Flow
    seq: int
    ack: int
    payload_bytes: int
    syn: bool
    sack: bool


def segments(path: Path) -> Iterator[Segment]:
    """Read the TCP segments of a capture.

    Args:
        path: a pcap file, xz-compressed if its name ends so.

    Yields:
        Segments in the order captured.

    Raises:
        CaptureError: the file is not a little-endian Ethernet pcap, or cut off.
    """
    raw = path.read_bytes()
    if path.suffix == ".xz":
        raw = lzma.decompress(raw)
    if len(raw) < 24 or struct.unpack_from("<I", raw)[0] != _MAGIC:  # noqa: PLR2004 - pcap header
        raise CaptureError(f"{path.name}: found no little-endian pcap header")
    at = 24
    while at + 16 <= len(raw):
        seconds, micros, kept, _ = struct.unpack_from("<IIII", raw, at)
        at += 16
        if at + kept > len(raw):
            raise CaptureError(f"{path.name}: found a packet cut off at byte {at}")
        segment = _segment(seconds + micros * 1e-6, raw, at, kept)
        at += kept
        if segment is not None:
            yield segment


def _segment(t_s: float, raw: bytes, at: int, kept: int) -> Segment | None:
    if kept < 54 or struct.unpack_from(">H", raw, at + 12)[0] != _IPV4:  # noqa: PLR2004 - headers
        return None
    ip = at + 14
    header = (raw[ip] & 0x0F) * 4
    if raw[ip + 9] != _TCP:
        return None
    tcp = ip + header
    source, target, seq, ack, offset_flags = struct.unpack_from(">HHIIH", raw, tcp)
    length = (offset_flags >> 12) * 4
    total = struct.unpack_from(">H", raw, ip + 2)[0]
    options = raw[tcp + 20 : tcp + length]
    return Segment(
        t_s=t_s,
        flow=(raw[ip + 12 : ip + 16], source, raw[ip + 16 : ip + 20], target),
        seq=seq,
        ack=ack,
        payload_bytes=total - header - length,
        syn=bool(offset_flags & _SYN),
        sack=_has_sack(options),
    )


def _has_sack(options: bytes) -> bool:
    at = 0
    while at < len(options) and options[at]:
        if options[at] == 1:
            at += 1
            continue
        if options[at] == _SACK:
            return True
        at += max(options[at + 1], 2) if at + 1 < len(options) else 2
    return False


class _Connection:
    """Follows one direction of a connection.

    Requests from the receiver start transfers; a sender that opened the connection itself
    (``pushes``) makes one transfer of it all.
    """

    def __init__(self, *, pushes: bool) -> None:
        self.pushes = pushes
        self.base = 0
        self.acked = 0
        self.sent_at: dict[int, float | None] = {}
        self.transfers: list[_Transfer] = []
        self.least_rtt_s = float("inf")
        self.orderly = True

    def data(self, segment: Segment) -> None:
        """Note a segment towards the receiver."""
        if segment.syn:
            self.base = segment.seq + 1
            return
        if segment.payload_bytes > 0:
            end = self._unwrap(segment.seq + segment.payload_bytes)
            # Karn: a segment sent twice tells no round trip.
            self.sent_at[end] = None if end in self.sent_at else segment.t_s

    def answer(self, segment: Segment) -> None:
        """Note a segment from the receiver."""
        if segment.syn:
            return
        if segment.payload_bytes == _REQUEST_BYTES or (self.pushes and not self.transfers):
            self.transfers.append(_Transfer(segment.t_s, self.acked))
        ack = self._unwrap(segment.ack)
        current = self.transfers[-1] if self.transfers else None
        # What waited for a repaired hole was acknowledged late: no round trip of the path.
        orderly, self.orderly = self.orderly and not segment.sack, not segment.sack
        if ack > self.acked:
            self._advance(ack, segment.t_s, current, timed=orderly)
        elif segment.sack and segment.payload_bytes == 0 and current is not None:
            current.out_of_order += 1
            current.waiting += 1
            current.note(segment.t_s, self.acked)

    def _advance(self, ack: int, t_s: float, current: _Transfer | None, *, timed: bool) -> None:
        step, self.acked = ack - self.acked, ack
        sent = self.sent_at.pop(ack, None)
        if current is None:
            return
        # One segment filled the hole, the others it let pass had come before.
        current.waiting = max(0, current.waiting + 1 - -(-step // _MSS_BYTES))
        current.note(t_s, ack)
        if sent is not None and timed and step <= _STEP_BYTES:
            self.least_rtt_s = min(self.least_rtt_s, t_s - sent)
            current.rtts.append((t_s, t_s - sent))

    def _unwrap(self, seq: int) -> int:
        """Count from the start of the connection, beyond 2^32."""
        near = (seq - self.base - self.acked) % _SPAN
        if near >= _SPAN // 2:
            near -= _SPAN
        return self.acked + near


class _Point(NamedTuple):
    """Where a transfer stood: bytes in order, segments arrived, those of them out of order."""

    t_s: float
    acked: int
    segments: int
    out_of_order: int


class _Transfer:
    """One answer under way; ``waiting`` segments have come that hang on one which has not."""

    def __init__(self, start_s: float, base: int) -> None:
        self.start_s = start_s
        self.base = base
        self.out_of_order = 0
        self.waiting = 0
        self.points: list[_Point] = []
        self.rtts: list[tuple[float, float]] = []

    def note(self, t_s: float, acked: int) -> None:
        """Add a point."""
        segments = (acked - self.base) // _MSS_BYTES + self.waiting
        self.points.append(_Point(t_s, acked, segments, self.out_of_order))

    def fetch(self, least_rtt_s: float, origin_s: float) -> Fetch:
        """Write the transfer as a fetch; times count from ``origin_s``."""
        t_s = [point.t_s - origin_s for point in self.points]
        counts = [point.acked - self.base for point in self.points]
        start = self.start_s - origin_s
        kept = _spaced(self.rtts)
        return Fetch(
            url="capture",
            request_t_s=start,
            ttfb_s=t_s[0] - start,
            duration_s=t_s[-1],
            body_bytes=counts[-1],
            expected_bytes=counts[-1],
            timeline=Timeline(t_s=(start, *t_s), bytes=(0, *counts)),
            idle_rtt_s=least_rtt_s,
            connect_s=least_rtt_s,
            loaded_rtt=tuple(RttSample(t_s=t - origin_s, rtt_s=rtt) for t, rtt in kept),
            tcp_info=tuple(
                TcpInfo(
                    t_s=point.t_s - origin_s,
                    bytes_received=point.acked - self.base,
                    data_segs_in=point.segments,
                    rcv_ooopack=point.out_of_order,
                    min_rtt_s=least_rtt_s,
                    rcv_mss_bytes=_MSS_BYTES,
                )
                for point in _sampled(self.points)
            ),
        )


def transfers(path: Path) -> list[list[Fetch]]:
    """Read the transfers of a capture, as their receiver would have recorded them.

    Args:
        path: a capture taken at the sender.

    Returns:
        By connection, its transfers in order; times of all count from the first request.

    Raises:
        CaptureError: as :func:`segments`.
    """
    connections: dict[Flow, _Connection] = {}
    for segment in segments(path):
        source, port, target, to = segment.flow
        back = (target, to, source, port)
        if segment.syn and segment.flow not in connections:
            connections[segment.flow] = _Connection(pushes=True)
            connections[back] = _Connection(pushes=False)
        if segment.flow in connections:
            connections[segment.flow].data(segment)
            connections[back].answer(segment)
    bulk = [
        [t for t in c.transfers if t.points and t.points[-1].acked - t.base >= _BULK_BYTES]
        for c in connections.values()
    ]
    least = [c.least_rtt_s for c in connections.values()]
    origin = min((t.start_s for group in bulk for t in group), default=0.0)
    return [
        [t.fetch(rtt_s, origin) for t in group]
        for group, rtt_s in zip(bulk, least, strict=True)
        if group
    ]


def _spaced(rtts: list[tuple[float, float]]) -> list[tuple[float, float]]:
    kept: list[tuple[float, float]] = []
    for t, rtt in rtts:
        if not kept or t - kept[-1][0] >= _SAMPLE_S:
            kept.append((t, rtt))
    return kept


def _sampled(points: list[_Point]) -> list[_Point]:
    """Keep what the probe samples: now and then, at the first segment out of order, at the end."""
    kept = [points[0]]
    for point in points[1:]:
        first = point.out_of_order > 0 and kept[-1].out_of_order == 0
        if first or point.t_s - kept[-1].t_s >= _SAMPLE_S:
            kept.append(point)
    return [*kept, points[-1]]
