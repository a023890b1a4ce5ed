"""The record of one trial: the schema everything else reads and writes. Pure data, no I/O.

A record holds what was sent, what came back and when; it draws no conclusion. Times are seconds
(``_s``) since the trial began unless a name says otherwise, sizes are bytes (``_bytes``). A field
the kernel or the peer did not give is ``None``, never zero.

``schema_version`` rises when a field changes its meaning. A reader refuses a newer version with a
sentence; a field it does not know, in a version it does know, survives reading and writing.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

import msgspec

from probe.unknown_fields import leftover, merge

SCHEMA_VERSION = 1

Kind = Literal["fetch", "call", "reach", "path"]
#: What is judged together: the kinds, with uploads apart from downloads.
Subject = Literal["fetch", "upload", "call", "reach", "path"]
Arm = Literal["target", "control"]
#: What the target was compared with; fixes the grade of the evidence.
ControlKind = Literal["A", "B", "C", "D"]
#: Fate of one call packet. ``lost`` is a loss whose direction is not known.
Fate = Literal["ok", "lost_up", "lost_down", "lost", "late", "duplicate"]
HttpVersion = Literal["http/1.1", "h2", "h3"]
#: A transfer to compare: of HTTP, or of a recording and its bit-inverted copy; or requests of ours
#: that push past where a connection may freeze.
FetchTest = Literal["plain", "replay", "inverted", "freeze_bytes", "freeze_packets"]
NetworkType = Literal["fixed", "mobile", "hosting", "unknown"]


class SchemaError(ValueError):
    """A record that this version cannot read; the text says what was found and what to do."""


class Vantage(msgspec.Struct, frozen=True, kw_only=True):
    """Where the probe sits, as far as anyone may know: never an address.

    ``country`` is ISO 3166 alpha-2, ``ZZ`` when withheld or unknown; ``asn`` 0 likewise.
    ``table`` is the date of the address table the look-up used.
    """

    country: str = "ZZ"
    asn: int = 0
    network: str | None = None
    network_type: NetworkType = "unknown"
    table: str | None = None


class Software(msgspec.Struct, frozen=True, kw_only=True):
    """What measured: so that a flaw found later can be tied to the records it touched."""

    name: str = "throttle-probe"
    version: str = ""
    python: str = ""
    kernel: str = ""
    tls: str = ""


class Host(msgspec.Struct, frozen=True, kw_only=True):
    """How well the measuring machine itself behaved during the trial.

    ``loop_lag_s`` is the worst lateness of a 50 ms ticker; ``cpu_busy_ratio`` the share of all
    cores that was busy; ``stamps`` the kernel stamps that were available: ``rx``, ``tx``.
    ``clock_step_s`` is how far the wall clock moved against the monotonic one.
    """

    loop_lag_s: float | None = None
    cpu_busy_ratio: float | None = None
    stamps: tuple[str, ...] = ()
    clock_step_s: float | None = None


class NeutralHosts(msgspec.Struct, frozen=True, kw_only=True):
    """What the neutral hosts in the country and abroad said when the run began.

    Each is ``ok`` where one of them gave any answer, else the failure of the first; ``None`` where
    none was asked.
    """

    domestic: str | None = None
    foreign: str | None = None

    @property
    def only_domestic(self) -> bool:
        """Whether hosts answer in the country and none abroad: only listed ones may pass."""
        return self.domestic == "ok" and self.foreign not in ("ok", None)


class DnsAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """One resolver query: who was asked, what came back, how long it took."""

    name: str
    engine: str = "getaddrinfo"
    addresses: tuple[str, ...] = ()
    failure: str | None = None
    t_s: float = 0.0
    duration_s: float = 0.0


class Connect(msgspec.Struct, frozen=True, kw_only=True):
    """One TCP connect (or QUIC handshake start) to one address."""

    address: str
    port: int
    failure: str | None = None
    t_s: float = 0.0
    duration_s: float = 0.0


class Timeline(msgspec.Struct, frozen=True, kw_only=True):
    """Bytes the kernel had received at each moment: two columns of equal length.

    ``t_s`` rises; ``bytes`` never falls. The unit is what ``source`` says: ``tcp_info`` counts
    TCP payload (TLS and HTTP headers included), ``body`` counts HTTP body bytes.
    """

    source: Literal["tcp_info", "body"] = "tcp_info"
    t_s: tuple[float, ...] = ()
    bytes: tuple[int, ...] = ()


class TcpInfo(msgspec.Struct, frozen=True, kw_only=True):
    """One sample of the kernel's TCP_INFO, in seconds, bytes and segments (Linux ``tcp(7)``)."""

    t_s: float
    rtt_s: float | None = None
    rttvar_s: float | None = None
    min_rtt_s: float | None = None
    rcv_rtt_s: float | None = None
    bytes_received: int | None = None
    bytes_acked: int | None = None
    segs_in: int | None = None
    data_segs_in: int | None = None
    rcv_ooopack: int | None = None
    retransmits: int | None = None
    snd_mss_bytes: int | None = None
    rcv_mss_bytes: int | None = None
    delivery_rate_bps: int | None = None


class RttSample(msgspec.Struct, frozen=True, kw_only=True):
    """A round trip seen by a second small connection to the same host."""

    t_s: float
    rtt_s: float


class Fetch(msgspec.Struct, frozen=True, kw_only=True):
    """One HTTP transfer.

    Phases (``dns_s connect_s tls_s``) are durations, ``None`` when the phase was not reached;
    ``request_t_s`` is when the request had been handed to the kernel; ``ttfb_s`` runs from there
    to the first byte of the answer; ``duration_s`` is the whole trial from the first look-up to
    the last byte or the end we made. ``censored`` names the limit by which *we* ended it
    (``time``, ``bytes`` or ``judge``): then bytes over time is a bound, and never a failure.
    ``handshake`` holds what the kernel had received at each read of the TLS handshake.
    ``body_bytes`` counts the body that arrived; ``expected_bytes`` what the server announced. Of
    an upload it counts what the peer's kernel has acknowledged. ``location`` is where a redirect
    pointed, without its query. Of a ``test`` for freezes ``body_bytes`` are the bytes of
    requests that were answered, out of ``expected_bytes``.
    """

    url: str
    method: Literal["GET", "POST", "HEAD"] = "GET"
    direction: Literal["down", "up"] = "down"
    address: str | None = None
    port: int | None = None
    http: str | None = None
    sni: str | None = None
    certificate_checked: bool = True
    dns: tuple[DnsAnswer, ...] = ()
    connects: tuple[Connect, ...] = ()
    dns_s: float | None = None
    connect_s: float | None = None
    tls_s: float | None = None
    request_t_s: float | None = None
    ttfb_s: float | None = None
    duration_s: float | None = None
    status: int | None = None
    location: str | None = None
    body_bytes: int = 0
    expected_bytes: int | None = None
    limit_bytes: int | None = None
    limit_s: float | None = None
    censored: Literal["time", "bytes", "judge"] | None = None
    handshake: Timeline = Timeline()
    timeline: Timeline = Timeline()
    tcp_info: tuple[TcpInfo, ...] = ()
    sender_tcp_info: tuple[TcpInfo, ...] = ()
    idle_rtt_s: float | None = None
    loaded_rtt: tuple[RttSample, ...] = ()
    tls_version: str | None = None
    tls_cipher: str | None = None
    body_sha256: str | None = None
    body_head: str | None = None
    parallel: int = 1
    overlapped: bool = False
    test: FetchTest = "plain"


class Trace(msgspec.Struct, frozen=True, kw_only=True):
    """Every packet of a flow, in packed columns (``probe.trace`` packs and unpacks them).

    Columns, each a list with one entry per sent packet, ``None`` where it did not happen:
    ``planned_ns user_send_ns kernel_send_ns far_receive_ns far_send_ns kernel_receive_ns
    user_receive_ns`` (ns; the probe's since the flow's planned start, the far end's on its own
    clock since its first stamp), ``size_bytes``, ``fate`` (index into ``FATES``).
    """

    packets: int = 0
    columns: dict[str, str] = {}


class Check(msgspec.Struct, frozen=True, kw_only=True):
    """One look at another side of a service while a call to it was under way."""

    endpoint: str
    failure: str | None = None
    duration_s: float | None = None


class WebRtc(msgspec.Struct, frozen=True, kw_only=True):
    """What a real WebRTC stack counted of its own call (``getStats``), beside our trace.

    ``path`` is ``relayed`` where a TURN server carried it. Names follow the W3C's statistics:
    what we sent (outbound-rtp), what came here (inbound-rtp), what the far end's stack reported of
    our packets (``remote_``: remote-inbound-rtp), and all of the transport. Only counts and times.
    """

    path: Literal["direct", "relayed"] = "direct"
    packets_sent: int | None = None
    bytes_sent: int | None = None
    packets_received: int | None = None
    packets_lost: int | None = None
    jitter_s: float | None = None
    remote_packets_received: int | None = None
    remote_packets_lost: int | None = None
    remote_jitter_s: float | None = None
    remote_rtt_s: float | None = None
    transport_packets_sent: int | None = None
    transport_packets_received: int | None = None
    transport_bytes_sent: int | None = None
    transport_bytes_received: int | None = None


class Call(msgspec.Struct, frozen=True, kw_only=True):
    """One call-shaped UDP flow; the flow it is paired with has the same session and round.

    ``peer`` says who answered: ``far_end`` (loss has a direction) or ``relay`` (it has not).
    ``setup`` is ``ok``, or what stopped the call before the first media packet. ``ended`` is
    ``complete``, or why the flow stopped early. ``messaging`` holds what the service's chat
    servers and web side answered meanwhile, where they were asked. ``webrtc`` is there for the
    shape ``webrtc``.
    """

    peer: Literal["far_end", "relay"] = "far_end"
    host: str = ""
    address: str | None = None
    port: int = 0
    profile: str = "voip-60"
    shape: str = "random"
    interval_s: float = 0.06
    planned: int = 0
    sent: int = 0
    far_received: int | None = None
    received: int = 0
    lost_up: int | None = None
    lost_down: int | None = None
    lost: int | None = None
    late: int = 0
    duplicates: int = 0
    sender_late: int = 0
    setup: Literal["ok", "no_answer", "refused", "rejected"] = "ok"
    setup_s: float | None = None
    ended: Literal["complete", "silence", "unreachable", "interrupted"] = "complete"
    trace: Trace = Trace()
    messaging: tuple[Check, ...] = ()
    webrtc: WebRtc | None = None


class Reach(msgspec.Struct, frozen=True, kw_only=True):
    """A TCP connect to one address, and its first answer where one is asked for."""

    address: str
    port: int
    connect_s: float | None = None
    answer_s: float | None = None
    rtt_s: float | None = None


class Hop(msgspec.Struct, frozen=True, kw_only=True):
    """One router on the way and what it said."""

    ttl: int
    rtt_s: float | None = None
    triggered: bool | None = None


class Path(msgspec.Struct, frozen=True, kw_only=True):
    """Where on the path a trigger acted."""

    trigger: str
    hops: tuple[Hop, ...] = ()


class Measurement(msgspec.Struct, frozen=True, kw_only=True):
    """One trial. Exactly one of ``fetch call reach path`` is set, the one ``kind`` names.

    ``id run session`` are UUIDs of version 7. ``round`` numbers the pair within the session;
    ``control_kind`` says what this session's target is compared with. ``start`` is UTC.
    ``neutral`` is what the line check found, before the first session. ``out_of_budget``: as this
    was stored, too few bytes were left for another pair of the session.
    ``unknown`` keeps what a newer minor version wrote and this one does not understand.
    """

    schema_version: int = SCHEMA_VERSION
    id: str
    run: str
    session: str
    round: int
    arm: Arm
    control_kind: ControlKind | None = None
    start: datetime
    service: str
    kind: Kind
    endpoint: str
    vantage: Vantage = Vantage()
    software: Software = Software()
    host: Host = Host()
    failure: str | None = None
    neutral: NeutralHosts = NeutralHosts()
    out_of_budget: bool = False
    fetch: Fetch | None = None
    call: Call | None = None
    reach: Reach | None = None
    path: Path | None = None
    unknown: dict[str, Any] = {}

    def __post_init__(self) -> None:
        """Refuse a record whose body is not the one its kind names."""
        bodies = [k for k in ("fetch", "call", "reach", "path") if getattr(self, k) is not None]
        if bodies != [self.kind]:
            raise ValueError(
                f"a {self.kind} record holds {bodies or 'no body'}, not one {self.kind}"
            )

    @property
    def subject(self) -> Subject:
        """What the trial tells of: its kind, but ``upload`` for a transfer to the server."""
        return "upload" if self.fetch is not None and self.fetch.method == "POST" else self.kind


_encoder = msgspec.json.Encoder()


def encode(measurement: Measurement) -> bytes:
    """Write a record as one line of JSON, without the newline.

    Args:
        measurement: the trial.

    Returns:
        UTF-8 JSON with every field present, unknown fields back in their places.
    """
    plain: dict[str, Any] = msgspec.to_builtins(measurement)
    unknown = plain.pop("unknown", {})
    return _encoder.encode(merge(plain, unknown))


def decode(line: bytes | str) -> Measurement:
    """Read one record.

    Args:
        line: one JSON object.

    Returns:
        The trial, with fields this version does not know kept in ``unknown``.

    Raises:
        SchemaError: the line is not a record, or a newer version wrote it.
    """
    try:
        raw = msgspec.json.decode(line)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise SchemaError(
            f"found a line that is not JSON ({error}), expected one record"
        ) from error
    if not isinstance(raw, dict):
        raise SchemaError(f"found {type(raw).__name__}, expected a JSON object: one record")
    version = raw.get("schema_version")
    if not isinstance(version, int) or isinstance(version, bool) or version < 1:
        raise SchemaError(f"found schema_version {version!r}, expected a whole number")
    if version > SCHEMA_VERSION:
        raise SchemaError(
            f"found a record of schema version {version}, but this program reads up to version "
            f"{SCHEMA_VERSION}: install a newer throttle-probe to read it"
        )
    # Of the JSON it is a name like any other: a newer version may have a field called so.
    aside = {"unknown": raw.pop("unknown")} if "unknown" in raw else {}
    try:
        record = msgspec.convert(raw, Measurement)
    except (msgspec.ValidationError, ValueError) as error:
        raise SchemaError(f"found a record that breaks the schema: {error}") from error
    unknown = leftover(raw, Measurement) | aside
    return msgspec.structs.replace(record, unknown=unknown) if unknown else record
