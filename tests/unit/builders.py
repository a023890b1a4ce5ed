"""Builds sessions by hand: trials with the figures a test is about, and plain ones elsewhere."""

from datetime import UTC, datetime, timedelta

import msgspec
import numpy as np

from probe.measurement import (
    Call,
    Fetch,
    Host,
    Measurement,
    Reach,
    RttSample,
    TcpInfo,
    Timeline,
    Vantage,
)
from probe.trace import FATES, pack_trace

START = datetime(2026, 11, 21, 12, tzinfo=UTC)
VANTAGE = Vantage(country="RU", asn=12389, network="PJSC Rostelecom", network_type="fixed")
RTT_S = 0.05
SETUP_S = 0.1
SIZE = 480_000


def trial(kind, arm="target", number=0, **fields):
    """A record with everything but its body filled in."""
    plain = {
        "id": f"{kind}-{arm}-{number}",
        "run": "run",
        "session": "session",
        "round": number,
        "arm": arm,
        "control_kind": "A",
        "start": START + timedelta(minutes=number, seconds=0 if arm == "target" else 30),
        "service": "twitter",
        "kind": kind,
        "endpoint": "https://abs.twimg.com/file",
        "vantage": VANTAGE,
        "host": Host(loop_lag_s=0.001, cpu_busy_ratio=0.2),
    }
    return Measurement(**{**plain, **fields})


def bucket_arrivals(rate_bps, bucket_bytes, size=SIZE, line_bps=40e6, packet=1448):
    """Arrivals behind an ideal token bucket: what it lets through, as soon as it does."""
    packets = np.arange(packet, size + packet, packet)
    packets[-1] = size
    free = packets / (line_bps / 8)
    held = (packets * 1500 / 1448 - bucket_bytes) / (rate_bps / 8)
    return np.maximum(free, held), packets


def lossy_arrivals(rate_bps, seed, size=SIZE, packet=1448):
    """Arrivals of a sender that halves its window at random losses: uneven, holes of any size."""
    rng = np.random.default_rng(seed)
    t_s, counts, now, window, seen = [], [], 0.0, 8.0, 0
    while seen < size:
        seen = min(seen + max(1, round(window)) * packet, size)
        now += RTT_S
        t_s.append(now)
        counts.append(seen)
        window = window / 2 if rng.random() < window * 0.02 else window + 1
    scale = size * 8 / rate_bps / now
    return np.array(t_s) * scale, np.array(counts)


def fetch(
    arm="target",
    number=0,
    bps=40e6,
    *,
    size=SIZE,
    arrivals=None,
    rtt_ratio=1.0,
    receiver_rtt_ratio=1.0,
    out_of_order=0.0,
    cut_s=None,
    censored="time",
    ttfb_s=RTT_S,
    failure=None,
    host=None,
    control_kind="A",
    fetch_fields=None,
    **fields,
):
    """One download: at an even rate, or with the arrivals given (seconds after the first byte)."""
    t_s, counts = arrivals if arrivals is not None else bucket_arrivals(bps, 0, size, bps)
    start = SETUP_S + ttfb_s
    t_s, counts = np.asarray(t_s) + start, np.asarray(counts)
    end = float(t_s[-1]) if len(t_s) else start
    if cut_s is not None:
        kept = t_s <= cut_s
        t_s, counts, end = t_s[kept], counts[kept], cut_s
    body = int(counts[-1]) if len(counts) else 0
    whole = Fetch(
        url="https://abs.twimg.com/file",
        dns_s=0.0,
        connect_s=RTT_S,
        tls_s=SETUP_S - RTT_S,
        request_t_s=SETUP_S,
        ttfb_s=ttfb_s,
        duration_s=end,
        status=200,
        body_bytes=body,
        expected_bytes=size,
        censored=censored if cut_s is not None and body < size else None,
        timeline=Timeline(t_s=(0.0, *map(float, t_s), end), bytes=(0, *map(int, counts), body)),
        idle_rtt_s=RTT_S,
        loaded_rtt=(RttSample(t_s=1.0, rtt_s=RTT_S * rtt_ratio),),
        tcp_info=(
            TcpInfo(
                t_s=end,
                min_rtt_s=RTT_S,
                rcv_rtt_s=RTT_S * receiver_rtt_ratio,
                data_segs_in=1000,
                rcv_ooopack=round(1000 * out_of_order),
                rcv_mss_bytes=1448,
            ),
        ),
    )
    body_fields = msgspec.structs.replace(whole, **(fetch_fields or {}))
    if host is not None:
        fields["host"] = host
    return trial(
        "fetch",
        arm,
        number,
        fetch=body_fields,
        failure=failure,
        control_kind=control_kind,
        **fields,
    )


def failed_fetch(failure, number=0, **fields):
    """A fetch that ended before any byte of its answer."""
    body = Fetch(url="https://abs.twimg.com/file", dns_s=0.0, duration_s=1.0)
    return trial("fetch", "target", number, fetch=body, failure=failure, **fields)


def silent_fetch(number=0, *, handshake_bytes=0, last_byte_s=0.2, **fields):
    """A fetch that we gave up after 12 s, before any answer; perhaps with a handshake's bytes."""
    came = (0, handshake_bytes // 2, handshake_bytes, handshake_bytes)
    body = Fetch(
        url="https://abs.twimg.com/file",
        dns_s=0.0,
        connect_s=RTT_S,
        duration_s=12.0,
        censored="judge",
        timeline=Timeline(t_s=(0.0, last_byte_s / 2, last_byte_s, 12.0), bytes=came),
    )
    return trial("fetch", "target", number, fetch=body, **fields)


def session(targets, control_bps=(40e6, 42e6, 39e6, 41e6, 40e6, 38e6), **fields):
    """Targets in their order, each with a control of its round."""
    controls = [
        fetch("control", t.round, control_bps[i % len(control_bps)], **fields)
        for i, t in enumerate(targets)
    ]
    return [*targets, *controls]


def policed(number=0, rate_bps=130e3, bucket=16_000, **fields):
    """A download behind a policer: no queue, drops, and an even rate."""
    arrivals = bucket_arrivals(rate_bps, bucket)
    return fetch(
        number=number, **{"arrivals": arrivals, "out_of_order": 0.15, "cut_s": 20.0, **fields}
    )


def reach(arm="target", number=0, failure=None, **fields):
    """One TCP connect."""
    body = Reach(address="149.154.167.51", port=443, connect_s=None if failure else RTT_S)
    return trial("reach", arm, number, reach=body, failure=failure, **fields)


def call(
    arm="target",
    number=0,
    fates=None,
    *,
    packets=333,
    rtt_s=RTT_S,
    interval_s=0.06,
    peer="far_end",
    fields=None,
    **call_fields,
):
    """One flow with the fate of each packet given; the rest is a clean line."""
    fates = list(fates) if fates is not None else ["ok"] * packets
    rtts = rtt_s if isinstance(rtt_s, list) else [rtt_s] * len(fates)
    planned = [round(i * interval_s * 1e9) for i in range(len(fates))]
    came = [fate in ("ok", "late", "duplicate") for fate in fates]
    reached = [fate not in ("lost_up", "lost") for fate in fates]
    half = [round(rtt / 2 * 1e9) for rtt in rtts]
    columns = {
        "planned_ns": planned,
        "kernel_send_ns": planned,
        "far_receive_ns": [
            p + h if ok else None for p, h, ok in zip(planned, half, reached, strict=True)
        ],
        "far_send_ns": [
            p + h if ok else None for p, h, ok in zip(planned, half, reached, strict=True)
        ],
        "kernel_receive_ns": [
            p + 2 * h if ok else None for p, h, ok in zip(planned, half, came, strict=True)
        ],
        "size_bytes": [200] * len(fates),
        "fate": [FATES.index(fate) for fate in fates],
    }
    directed = peer == "far_end"
    body = Call(
        peer=peer,
        interval_s=interval_s,
        planned=len(fates),
        sent=len(fates),
        received=sum(came),
        far_received=sum(reached) if directed else None,
        lost_up=fates.count("lost_up") if directed else None,
        lost_down=fates.count("lost_down") if directed else None,
        lost=None if directed else fates.count("lost"),
        shape="whatsapp" if arm == "target" else "random",
        trace=pack_trace(columns),
        **call_fields,
    )
    plain = {"control_kind": "B", "service": "whatsapp", "endpoint": "far end"}
    return trial("call", arm, number, call=body, **{**plain, **(fields or {})})
