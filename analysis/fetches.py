"""Derived figures of one fetch: how fast, how far, and what its packets say about the path."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from statistics import median
from typing import Final

import msgspec

from probe import failure
from probe.measurement import Fetch, Measurement

#: A transfer without a byte for this long has stopped; a policer at 100 kbit/s lets a packet
#: through every 0.1 s, and TCP's own back-off under it stays below (Xue et al., IMC 2021).
STALL_S: Final = 10.0
#: Below this many bytes of answer a transfer was not stopped but never began.
BEGUN_BYTES: Final = 1000
#: The start of a transfer says more about the handshake and the bucket than about the rate.
LATE_FROM: Final = 0.1
#: A path whose TCP round trip is this short beside its TLS handshake ends at a local proxy.
_LOCAL_RTT_S: Final = 0.002
_LOCAL_SHARE: Final = 0.1


class FetchFigures(msgspec.Struct, frozen=True, kw_only=True):
    """What one transfer comes to.

    ``spent_s`` runs from the first connect to the last byte or the end, without the name
    look-up; ``setup_s`` is the part before the request, ``requested`` whether it came to one,
    ``first_byte_s`` the wait for the answer, which says nothing of an upload: it comes at its end.
    ``complete`` says that all bytes asked for came, so that ``goodput_bps`` is a value and not an
    upper bound. ``rtt_ratio`` and ``receiver_rtt_ratio`` are round trip under load over idle, seen
    from beside and from within the transfer; ``out_of_order_ratio`` is the share of arriving data
    segments that came out of order. Behind a local proxy the last two tell nothing.
    """

    size_bytes: int
    spent_s: float
    setup_s: float
    requested: bool
    first_byte_s: float | None
    goodput_bps: float
    late_goodput_bps: float | None
    complete: bool
    stop_bytes: int | None
    silence_s: float
    rtt_s: float | None
    rtt_ratio: float | None
    receiver_rtt_ratio: float | None
    out_of_order_ratio: float | None
    proxied: bool


def figures(trial: Measurement) -> FetchFigures:
    """Derive the figures of a fetch.

    Args:
        trial: a fetch record.

    Returns:
        Its figures; a transfer that never got to send has zero bytes and goodput.

    Raises:
        ValueError: the record is not a fetch.
    """
    fetch = trial.fetch
    if fetch is None:
        raise ValueError(f"found a {trial.kind} record, expected a fetch")
    spent = _spent_s(fetch)
    complete = trial.failure is None and fetch.censored in (None, "bytes")
    silence = _silence_s(fetch)
    arrived = answer_bytes(fetch)
    broken = trial.failure not in (None, failure.TIMEOUT)
    stopped = arrived > 0 and (broken or silence >= STALL_S)
    proxied = is_proxied(fetch)
    upward = fetch.direction == "up"
    return FetchFigures(
        size_bytes=fetch.body_bytes,
        spent_s=spent,
        setup_s=(fetch.connect_s or 0.0) + (fetch.tls_s or 0.0),
        requested=fetch.request_t_s is not None,
        first_byte_s=None if upward else fetch.ttfb_s,
        goodput_bps=8.0 * fetch.body_bytes / spent if spent > 0.0 else 0.0,
        late_goodput_bps=late_goodput_bps(fetch),
        complete=complete,
        stop_bytes=arrived if stopped and not complete else None,
        silence_s=silence,
        rtt_s=fetch.idle_rtt_s or fetch.connect_s,
        rtt_ratio=rtt_ratio(fetch),
        receiver_rtt_ratio=None if proxied or upward else receiver_rtt_ratio(fetch),
        out_of_order_ratio=None if proxied else out_of_order_ratio(fetch),
        proxied=proxied,
    )


def answer_bytes(fetch: Fetch) -> int:
    """Return how much of the answer the kernel received.

    A transfer frozen within its first TLS record has no body yet, but bytes came all the same.

    Args:
        fetch: the transfer.

    Returns:
        Bytes after the request by the timeline, headers included; the body where there is none.
    """
    t_s, counts = fetch.timeline.t_s, fetch.timeline.bytes
    if fetch.timeline.source != "tcp_info" or not counts or fetch.request_t_s is None:
        return fetch.body_bytes
    at = bisect_right(t_s, fetch.request_t_s)
    return counts[-1] - (counts[at - 1] if at else 0)


def size_asked(fetch: Fetch) -> int:
    """Return the bytes the transfer would have had, had nothing cut it.

    Args:
        fetch: the transfer.

    Returns:
        The smaller of what the server announced and what we would read; what came if neither
        is known.
    """
    known = [n for n in (fetch.expected_bytes, fetch.limit_bytes) if n]
    return max(min(known), fetch.body_bytes) if known else fetch.body_bytes


def time_to_s(fetch: Fetch, size_bytes: int) -> float:
    """Return when a transfer had delivered its first ``size_bytes`` of body.

    Args:
        fetch: the transfer.
        size_bytes: at most what it delivered.

    Returns:
        Seconds from the first connect, by the byte timeline; where there is none, in proportion.
    """
    spent = _spent_s(fetch)
    t_s, counts = fetch.timeline.t_s, fetch.timeline.bytes
    if size_bytes >= fetch.body_bytes or not counts or counts[-1] <= 0:
        return spent
    # The timeline may count TLS and headers too; the share of the whole is the same to a percent.
    wanted = counts[-1] * size_bytes / fetch.body_bytes
    at = bisect_left(counts, wanted)
    return min(max(t_s[at] - (fetch.dns_s or 0.0), 1e-6), spent)


def late_goodput_bps(fetch: Fetch) -> float | None:
    """Return the rate after the first tenth of the bytes.

    Args:
        fetch: the transfer.

    Returns:
        Bit/s between the moment a tenth had come and the last byte; ``None`` without a timeline.
    """
    t_s, counts = fetch.timeline.t_s, fetch.timeline.bytes
    if len(counts) < 3 or counts[-1] <= 0:  # noqa: PLR2004 - a slope needs a start and an end
        return None
    start = bisect_left(counts, LATE_FROM * counts[-1])
    end = bisect_left(counts, counts[-1])
    if t_s[end] <= t_s[start]:
        return None
    return 8.0 * (counts[end] - counts[start]) / (t_s[end] - t_s[start])


def rtt_ratio(fetch: Fetch) -> float | None:
    """Compare the round trip under load with the idle one, as measured on purpose.

    Args:
        fetch: the transfer.

    Returns:
        Median over least round trip by the kernel that sent (of a download the far end's, of an
        upload our own); else the median of a second small connection over the idle one; ``None``
        where neither was measured.
    """
    sender = fetch.sender_tcp_info
    if fetch.direction == "up" and not is_proxied(fetch):
        sender = fetch.tcp_info
    sent = [i.rtt_s for i in sender if i.rtt_s]
    least = [i.min_rtt_s for i in sender if i.min_rtt_s]
    if sent and least:
        return median(sent) / min(least)
    loaded = [sample.rtt_s for sample in fetch.loaded_rtt]
    return median(loaded) / fetch.idle_rtt_s if loaded and fetch.idle_rtt_s else None


def receiver_rtt_ratio(fetch: Fetch) -> float | None:
    """Compare our kernel's estimate of the round trip during the transfer with the unloaded one.

    It follows the very packets that were slowed, but reads up to twice too high under a sender
    that paces itself (BBR). Unloaded is the greater of the least round trip and the wait for the
    far end's first packet: what holds every packet up alike, load or no load, is a delay and not
    a queue.

    Args:
        fetch: the transfer.

    Returns:
        The ratio, ``None`` where the kernel did not say.
    """
    seen = [i.rcv_rtt_s for i in fetch.tcp_info if i.rcv_rtt_s]
    known = [i.min_rtt_s for i in fetch.tcp_info if i.min_rtt_s]
    base = max(min(known, default=fetch.connect_s or 0.0), _first_packet_s(fetch))
    return median(seen) / base if seen and base > 0.0 else None


def _first_packet_s(fetch: Fetch) -> float:
    """Wait for the first packet of the handshake's answer, which no queue of ours can hold up.

    The body's first byte may follow a whole TLS record, which a slow limiter takes a second for.
    """
    reads = fetch.handshake.t_s
    return reads[1] - reads[0] if len(reads) > 1 else fetch.ttfb_s or 0.0


def out_of_order_ratio(fetch: Fetch) -> float | None:
    """Return the share of data segments that arrived out of order (kernel 5.4 or newer).

    Args:
        fetch: the transfer; of an upload, the share that our kernel sent again stands for it.

    Returns:
        0 to 1, or ``None`` where the kernel did not say.
    """
    if fetch.direction == "up":
        return _resent_ratio(fetch)
    for info in reversed(fetch.tcp_info):
        segments = info.data_segs_in or info.segs_in
        if info.rcv_ooopack is not None and segments:
            return info.rcv_ooopack / segments
    return None


def _resent_ratio(fetch: Fetch) -> float | None:
    for info in reversed(fetch.tcp_info):
        if info.retransmits is not None and info.bytes_acked and info.snd_mss_bytes:
            segments = info.bytes_acked / info.snd_mss_bytes + info.retransmits
            return info.retransmits / segments
    return None


def is_proxied(fetch: Fetch) -> bool:
    """Say whether the TCP connection ends close by while TLS goes on (user-space NAT, proxy).

    Args:
        fetch: the transfer.

    Returns:
        Whether the kernel's round trip is under 2 ms and under a tenth of the TLS handshake's.
    """
    rtts = [i.min_rtt_s for i in fetch.tcp_info if i.min_rtt_s]
    rtt = min(rtts, default=fetch.connect_s or 1.0)
    return fetch.tls_s is not None and rtt < _LOCAL_RTT_S and rtt < _LOCAL_SHARE * fetch.tls_s


def central(values: Sequence[float | None]) -> float | None:
    """Return the median of the values that are there.

    Args:
        values: numbers or ``None``.

    Returns:
        The median, ``None`` for none.
    """
    known = [value for value in values if value is not None]
    return median(known) if known else None


def _spent_s(fetch: Fetch) -> float:
    last = fetch.timeline.t_s[-1] if fetch.timeline.t_s else 0.0
    whole = fetch.duration_s if fetch.duration_s is not None else last
    return max(whole - (fetch.dns_s or 0.0), 0.0)


def _silence_s(fetch: Fetch) -> float:
    """Seconds between the last new byte and the end."""
    t_s, counts = fetch.timeline.t_s, fetch.timeline.bytes
    if not counts or fetch.duration_s is None:
        return 0.0
    return max(fetch.duration_s - t_s[bisect_left(counts, counts[-1])], 0.0)
