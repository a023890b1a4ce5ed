"""The rate a limiter lets through, from what the receiver saw.

``E(tau)``, the most bytes that came in any window of length ``tau``, is bounded by ``b + r tau``
behind a token bucket of depth ``b`` and rate ``r``. A sender that does not use the bucket fully
only lowers it. So the slope of ``E`` over long windows estimates ``r`` where an average over the
transfer would be too high by the first bucketful (network calculus; Le Boudec and Thiran 2001).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from analysis.finding import Rate
from probe.measurement import Fetch

Array = NDArray[np.float64]

#: Windows used for the slope, as shares of the time in which bytes came: shorter ones still hold
#: the bucket, longer ones only the one place that fits them.
_WINDOWS: Final = (0.3, 0.9)
#: Windows tried.
_GRID: Final = 32
#: Most points of a timeline used; beyond it the envelope gains nothing.
_POINTS: Final = 512
#: IPv4 and TCP headers with time stamps, bytes a segment.
_HEADER_BYTES: Final = 52
_USUAL_MSS_BYTES: Final = 1448
#: TLS 1.3 record header, content type and tag per full record: only in body timelines.
_TLS_SHARE: Final = 22 / 16384
#: Shortest stretch of arrivals that has a rate.
_SHORTEST_S: Final = 1.0
_RESAMPLES: Final = 2000


class Series(msgspec.Struct, frozen=True):
    """Arrivals: seconds, and cumulative bytes of IP packets at each. Equal lengths, both rising."""

    t_s: Array
    wire_bytes: Array


class Envelope(msgspec.Struct, frozen=True):
    """The line that bounds the arrivals: bit/s, and bytes that may come at once."""

    rate_bps: float
    bucket_bytes: float


def series(fetch: Fetch) -> Series:
    """Read the arrivals of a transfer, with the headers they travelled under.

    Args:
        fetch: the transfer, with its byte timeline.

    Returns:
        The arrivals, in bytes of IP packets.
    """
    sizes = [info.rcv_mss_bytes for info in fetch.tcp_info if info.rcv_mss_bytes]
    mss = max(sizes, default=_USUAL_MSS_BYTES)
    share = 1.0 + _HEADER_BYTES / mss
    if fetch.timeline.source == "body":
        share *= 1.0 + _TLS_SHARE
    return Series(
        np.asarray(fetch.timeline.t_s, dtype=float),
        np.asarray(fetch.timeline.bytes, dtype=float) * share,
    )


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


def estimate(
    transfers: Sequence[Series], rng: np.random.Generator, *, lower_bound: bool = False
) -> Rate | None:
    """Estimate the limiter's rate from several transfers.

    Args:
        transfers: one series each; flows that shared the limiter summed beforehand.
        rng: draws the bootstrap.
        lower_bound: whether TCP is known not to have filled the limiter.

    Returns:
        Median over transfers with a 95 % bootstrap interval, bit/s at the IP layer; no interval
        from fewer than three transfers, and ``None`` from none that lasted.
    """
    fits = [fit.rate_bps for fit in map(envelope, transfers) if fit is not None]
    rates = np.array([rate for rate in fits if rate > 0.0])
    if not len(rates):
        return None
    value = float(np.median(rates))
    if len(rates) < 3:  # noqa: PLR2004 - two values have no spread worth the name
        return Rate(value=value, lower_bound=lower_bound)
    drawn = np.median(rng.choice(rates, (_RESAMPLES, len(rates))), axis=1)
    low, high = np.quantile(drawn, (0.025, 0.975))
    return Rate(value=value, low=float(low), high=float(high), lower_bound=lower_bound)


def _thin(arrivals: Series) -> tuple[Array, Array]:
    """Keep the moments at which bytes came, at most ``_POINTS`` of them."""
    t_s, count = arrivals.t_s, arrivals.wire_bytes
    if not len(count):
        return t_s, count
    came = np.flatnonzero(np.diff(count, prepend=0.0) > 0.0)
    if len(came) > _POINTS:
        came = came[np.linspace(0, len(came) - 1, _POINTS).astype(int)]
    return t_s[came], count[came]
