"""Delay and its variation in a flow, and what a de-jitter buffer makes of it."""

from __future__ import annotations

from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

#: Gain of the running mean of RFC 3550 section 6.4.1.
_GAIN: Final = 1.0 / 16.0


class Quantiles(msgspec.Struct, frozen=True):
    """Seconds at 50, 95, 99 and 99.9 %."""

    p50_s: float
    p95_s: float
    p99_s: float
    p999_s: float


class Jitter(msgspec.Struct, frozen=True):
    """RFC 3550 interarrival jitter in seconds: the last value, and mean and greatest of all."""

    last_s: float
    mean_s: float
    max_s: float


def rfc3550(sent_s: Array, received_s: Array) -> Jitter:
    """Follow the interarrival jitter of RFC 3550 section 6.4.1 through a flow.

    Args:
        sent_s: send time of each packet that came, in the order of arrival. The send time stands
            for the media time, so that a late send of ours is not counted as the network's.
        received_s: receive times; duplicates and reordered packets included.

    Returns:
        The jitter; it starts with the second packet.
    """
    if len(sent_s) < 2:  # noqa: PLR2004 - a difference needs two
        return Jitter(0.0, 0.0, 0.0)
    steps = np.abs(np.diff(received_s) - np.diff(sent_s))
    jitter = total = greatest = 0.0
    for step in steps:
        jitter += (float(step) - jitter) * _GAIN
        total += jitter
        greatest = max(greatest, jitter)
    return Jitter(jitter, total / len(steps), greatest)


def ipdv(transit_s: Array) -> Array:
    """Return the delay variation between neighbours (RFC 3393, RFC 5481).

    Args:
        transit_s: one-way transit by sequence number, NaN where the packet did not come. A
            constant clock offset cancels.

    Returns:
        Signed differences where both of two consecutive packets came, s.
    """
    differences = np.diff(transit_s)
    kept: Array = differences[np.isfinite(differences)]
    return kept


def pdv(transit_s: Array) -> Array:
    """Return the delay over the flow's least (RFC 5481): what sizes a jitter buffer.

    Args:
        transit_s: one-way transit, NaN where the packet did not come.

    Returns:
        Seconds, at least 0, one per packet that came.
    """
    came: Array = transit_s[np.isfinite(transit_s)]
    return came - came.min() if len(came) else came


def quantiles(values_s: Array) -> Quantiles | None:
    """Summarise a distribution.

    Args:
        values_s: seconds, NaN where there is none.

    Returns:
        Its quantiles, ``None`` for none.
    """
    came = values_s[np.isfinite(values_s)]
    if not len(came):
        return None
    return Quantiles(*(float(q) for q in np.quantile(came, (0.5, 0.95, 0.99, 0.999))))


def played(transit_s: Array, buffer_s: float) -> NDArray[np.bool_]:
    """Play a flow through a fixed de-jitter buffer.

    Args:
        transit_s: one-way transit by sequence number, NaN where the packet did not come.
        buffer_s: how long after the first packet's transit each is played.

    Returns:
        Per packet whether it came in time; what comes later is as good as lost.
    """
    came = np.flatnonzero(np.isfinite(transit_s))
    if not len(came):
        return np.zeros(len(transit_s), dtype=bool)
    with np.errstate(invalid="ignore"):
        in_time: NDArray[np.bool_] = transit_s <= transit_s[came[0]] + buffer_s
    return in_time
