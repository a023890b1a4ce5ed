"""The rate a limiter lets through, from what the receiver saw.

``E(tau)``, the most bytes that came in any window of length ``tau``, is bounded by ``b + r tau``
behind a token bucket of depth ``b`` and rate ``r``. A sender that does not use the bucket fully
only lowers it. So the slope of ``E`` over long windows estimates ``r`` where an average over the
transfer would be too high by the first bucketful (network calculus; Le Boudec and Thiran 2001).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from analysis.fetches import LATE_FROM
from analysis.finding import Rate
from analysis.onset import onset
from probe.measurement import Fetch

Array = NDArray[np.float64]

#: Windows used for the slope, as shares of the time in which bytes came: shorter ones still hold
#: the bucket, longer ones only the one place that fits them.
_WINDOWS: Final = (0.3, 0.9)
#: Windows tried.
_GRID: Final = 32
#: Most points of a timeline used; beyond it the envelope gains nothing.
_POINTS: Final = 512
#: IPv4 and TCP headers with time stamps, bytes a segment; an Ethernet frame has 14 more.
IP_HEADER_BYTES: Final = 52
_USUAL_MSS_BYTES: Final = 1448
#: TLS 1.3 record header, content type and tag per full record: only in body timelines.
_TLS_SHARE: Final = 22 / 16384
#: Shortest stretch of arrivals that has a rate.
_SHORTEST_S: Final = 1.0
#: Stretch of a sum of flows that gets an envelope of its own.
PIECE_S: Final = 20.0
_RESAMPLES: Final = 1000
_QUANTILE: Final = 0.75
#: What headers that a limiter may or may not count (14 of 1514 bytes) and the fit leave open.
_METHOD_ERROR: Final = 0.03
#: Rates of one limiter agree within a tenth.
REPEATABLE: Final = 0.10
_ROBUST_FROM: Final = 5
_STRAY_FROM: Final = 4
#: Least wait for a lost packet that nothing else tells of, after a round trip (Linux; RFC 6298
#: asks for a second). Tokens that the bucket cannot hold until then are lost to TCP.
_TIME_OUT_S: Final = 0.2
#: Of fewer than three packets none follows the lost one, so that every loss waits for its time-out.
_FEWEST_BYTES: Final = 4_500.0
#: Ten packets, the first flight (RFC 6928): a bucket that let them through holds more.
_FLIGHT_BYTES: Final = 15_000.0


class Series(msgspec.Struct, frozen=True):
    """Arrivals: seconds, and cumulative bytes of IP packets at each. Equal lengths, both rising.

    ``emptied_s`` is when losses began: until then a first bucketful may have passed.
    """

    t_s: Array
    wire_bytes: Array
    emptied_s: float | None = None


class Envelope(msgspec.Struct, frozen=True):
    """The line that bounds the arrivals: bit/s, and bytes that may come at once."""

    rate_bps: float
    bucket_bytes: float


def series(fetch: Fetch, header_bytes: int = IP_HEADER_BYTES) -> Series:
    """Read the arrivals of a transfer, with the headers they travelled under.

    Args:
        fetch: the transfer, with its byte timeline.
        header_bytes: per segment, as the limiter counts them.

    Returns:
        The arrivals: one entry for each moment at which bytes came.
    """
    sizes = [info.rcv_mss_bytes for info in fetch.tcp_info if info.rcv_mss_bytes]
    mss = max(sizes, default=_USUAL_MSS_BYTES)
    share = 1.0 + header_bytes / mss
    if fetch.timeline.source == "body":
        share *= 1.0 + _TLS_SHARE
    count = np.asarray(fetch.timeline.bytes, dtype=float)
    came = np.flatnonzero(np.diff(count, prepend=0.0) > 0.0)
    begun = onset(fetch)
    return Series(
        np.asarray(fetch.timeline.t_s, dtype=float)[came],
        count[came] * share,
        None if begun is None else begun.t_s,
    )


def late(arrivals: Series) -> Series:
    """Leave out the first tenth of the bytes: handshake, slow start, a first bucketful.

    Args:
        arrivals: of a transfer.

    Returns:
        The rest, counted from there.
    """
    if not len(arrivals.t_s):
        return arrivals
    start = np.searchsorted(arrivals.wire_bytes, LATE_FROM * arrivals.wire_bytes[-1])
    return _from(arrivals, int(start))


def emptied(arrivals: Series) -> Series:
    """Leave out what came before losses began.

    Args:
        arrivals: of a transfer.

    Returns:
        The rest, counted from there; all where none were seen.
    """
    if arrivals.emptied_s is None:
        return arrivals
    return _from(arrivals, int(np.searchsorted(arrivals.t_s, arrivals.emptied_s)))


def _from(arrivals: Series, start: int) -> Series:
    before = arrivals.wire_bytes[start - 1] if start else 0.0
    return Series(arrivals.t_s[start:], arrivals.wire_bytes[start:] - before)


def summed(flows: Sequence[Series]) -> Series:
    """Add up flows that went through one limiter at the same time.

    Args:
        flows: arrivals on one clock.

    Returns:
        Their sum at every moment any of them changed; empty for none.
    """
    if not flows:
        return Series(np.empty(0), np.empty(0))
    moments = np.unique(np.concatenate([flow.t_s for flow in flows]))
    total = np.zeros_like(moments)
    for flow in flows:
        at = np.searchsorted(flow.t_s, moments, side="right") - 1
        total += np.where(at >= 0, flow.wire_bytes[at], 0.0)
    return Series(moments, total)


def envelope(arrivals: Series) -> Envelope | None:
    """Fit the bounding line to one transfer.

    Args:
        arrivals: of one transfer, or the sum of several.

    Returns:
        Rate and bucket, or ``None`` where bytes came for less than a second.
    """
    t_s, count = _thin(arrivals)
    if len(t_s) < 4 or t_s[-1] - t_s[0] < _SHORTEST_S:  # noqa: PLR2004 - a line needs points
        return None
    busy_s = t_s[-1] - t_s[0]
    windows = np.linspace(*_WINDOWS, _GRID) * busy_s
    # Bytes that came in the closed window that opens with each arrival.
    before = np.concatenate([[0.0], count[:-1]])
    at = np.searchsorted(t_s, t_s[:, None] + windows[None, :], side="right") - 1
    most = (count[at] - before[:, None]).max(axis=0)
    slope, intercept = np.polyfit(windows, most, 1)
    return Envelope(8.0 * max(float(slope), 0.0), max(float(intercept), 0.0))


def joined(transfers: Sequence[Series]) -> Series:
    """Put the transfers of one connection behind each other.

    Args:
        transfers: on one clock, in their order.

    Returns:
        One series that goes on counting.
    """
    if not transfers:
        return Series(np.empty(0), np.empty(0))
    ends = np.cumsum([0.0, *(t.wire_bytes[-1] if len(t.wire_bytes) else 0.0 for t in transfers)])
    return Series(
        np.concatenate([t.t_s for t in transfers]),
        np.concatenate([t.wire_bytes + end for t, end in zip(transfers, ends, strict=False)]),
    )


def pieces(arrivals: Series) -> list[Series]:
    """Cut a long series, such as a sum of flows, into stretches fit for one envelope each.

    Args:
        arrivals: of several transfers.

    Returns:
        Stretches of about ``PIECE_S`` or shorter, cut where nothing came for a second.
    """
    if not len(arrivals.t_s):
        return []
    cuts = np.flatnonzero(np.diff(arrivals.t_s) > _SHORTEST_S) + 1
    out = []
    for part in np.split(np.arange(len(arrivals.t_s)), cuts):
        count = max(1, int(np.ptp(arrivals.t_s[part]) // PIECE_S))
        edges = np.linspace(arrivals.t_s[part[0]], arrivals.t_s[part[-1]], count + 1)[1:-1]
        for piece in np.split(part, np.searchsorted(arrivals.t_s[part], edges)):
            if len(piece) > 1:
                start = arrivals.wire_bytes[piece[0]]
                out.append(Series(arrivals.t_s[piece], arrivals.wire_bytes[piece] - start))
    return out


def estimate(
    transfers: Sequence[Series],
    rng: np.random.Generator,
    *,
    rtt_s: float | None = None,
    flows: int = 1,
) -> Rate | None:
    """Estimate the limiter's rate from several transfers.

    A transfer in which TCP was slow to recover shows less than the limiter allows and none shows
    more, so the upper quartile is taken, not the median.

    Args:
        transfers: one series each; flows that shared the limiter summed beforehand.
        rng: draws the bootstrap.
        rtt_s: round trip where the limiter drops, by which it is judged whether TCP could fill
            its bucket; ``None`` where it queues.
        flows: that were summed.

    Returns:
        The rate with a 95 % bootstrap interval over transfers, widened by the method's own error;
        no interval from fewer than three transfers, and ``None`` from none that lasted a second.
        ``lower_bound`` where TCP did not fill the limiter.
    """
    rates = np.array([fit.rate_bps for fit in _fits(map(emptied, transfers))])
    if not len(rates):
        return None
    value = float(np.quantile(rates, _QUANTILE))
    unfilled = not _repeats(rates) or (
        rtt_s is not None and _overflows(transfers, value, (rtt_s + _TIME_OUT_S) / flows)
    )
    if len(rates) < 3:  # noqa: PLR2004 - two values have no spread worth the name
        return Rate(value=value, lower_bound=unfilled)
    drawn = np.quantile(rng.choice(rates, (_RESAMPLES, len(rates))), _QUANTILE, axis=1)
    low, high = np.quantile(drawn, (0.025, 0.975))
    return Rate(
        value=value,
        low=float(low) * (1.0 - _METHOD_ERROR),
        high=float(high) * (1.0 + _METHOD_ERROR),
        lower_bound=unfilled,
    )


def spread(values: Array) -> float:
    """Return how far values lie apart.

    Args:
        values: positive numbers, at least one.

    Returns:
        Standard deviation over mean; of five and more values by the median absolute deviation,
        so that one stray transfer does not hide that the others agree.
    """
    if len(values) < _ROBUST_FROM:
        return float(np.std(values) / np.mean(values))
    middle = np.median(values)
    return float(1.4826 * np.median(np.abs(values - middle)) / middle)


def _repeats(rates: Array) -> bool:
    """Whether rates agree; of four and more, without the one farthest out.

    The median absolute deviation would pass over two of five.
    """
    if len(rates) >= _STRAY_FROM:
        rates = np.delete(rates, np.argmax(np.abs(rates - np.median(rates))))
    return bool(np.std(rates) <= REPEATABLE * np.mean(rates))


def _overflows(transfers: Sequence[Series], rate_bps: float, wait_s: float) -> bool:
    """Whether the bucket holds less than comes in while TCP waits, or than three packets."""
    once = _bucket_bytes(transfers)
    tiny = once < _FLIGHT_BYTES and _bucket_bytes(map(late, transfers)) < _FEWEST_BYTES
    return tiny or once < rate_bps / 8.0 * wait_s


def _bucket_bytes(transfers: Iterable[Series]) -> float:
    """What could come at once: the lower quartile, since an uneven rate reads as more."""
    buckets = [fit.bucket_bytes for fit in _fits(transfers)]
    return float(np.quantile(buckets, 1.0 - _QUANTILE)) if buckets else math.inf


def _fits(transfers: Iterable[Series]) -> list[Envelope]:
    return [fit for fit in map(envelope, transfers) if fit is not None and fit.rate_bps > 0.0]


def _thin(arrivals: Series) -> tuple[Array, Array]:
    """Keep at most ``_POINTS`` moments."""
    t_s, count = arrivals.t_s, arrivals.wire_bytes
    if len(t_s) <= _POINTS:
        return t_s, count
    kept = np.linspace(0, len(t_s) - 1, _POINTS).astype(int)
    return t_s[kept], count[kept]
