"""Logarithmic bins: how a positive quantity becomes a small whole number, once, at ingest.

Eight bins an octave are 9 % wide, so a bin's centre is within 4.5 % of the value. Histograms over
bins add up across files, days and query engines and give any quantile or tail share afterwards;
a bin computed inside a query would not (engines differ in the last bit of a logarithm).
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np
from numpy.typing import NDArray

BINS_PER_OCTAVE: Final = 8
#: A throttled rate is a fingerprint, so its bins are finer: 1.1 % wide.
RATE_BINS_PER_OCTAVE: Final = 64


def log_bin(value: float | None, per_octave: int = BINS_PER_OCTAVE) -> int | None:
    """Bin one value.

    Args:
        value: any unit; None where it was not measured.
        per_octave: how many bins a doubling spans.

    Returns:
        ``floor(per_octave * log2(value))``; None for None and for what has no logarithm.
    """
    if value is None or not 0 < value < math.inf:
        return None
    return math.floor(per_octave * math.log2(value))


def centre(index: float, per_octave: int = BINS_PER_OCTAVE) -> float:
    """Return the geometric centre of a bin, in the unit of the values that were binned."""
    return float(2 ** ((index + 0.5) / per_octave))


def quantile(
    bins: NDArray[np.int64],
    counts: NDArray[np.int64],
    share: float,
    per_octave: int = BINS_PER_OCTAVE,
) -> float:
    """Read a quantile from a histogram.

    Args:
        bins: bin indices, shape (n,), in any order, repeats allowed.
        counts: how many values fell in each, shape (n,), none negative, not all zero.
        share: between 0 and 1.
        per_octave: how many bins a doubling spans.

    Returns:
        The centre of the bin that holds the quantile, in the values' unit.
    """
    order = np.argsort(bins, kind="stable")
    reached = np.cumsum(counts[order])
    at = int(np.searchsorted(reached, share * reached[-1], side="left"))
    return centre(int(bins[order][min(at, len(reached) - 1)]), per_octave)
