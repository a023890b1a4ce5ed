"""Shares of counts, with intervals and tests. Pure functions on whole numbers."""

from __future__ import annotations

import math
from typing import Final

import numpy as np
from numpy.typing import NDArray

from analysis.intervals import wilson

_TINY: Final = 1e-12


def excess(hits: int, n: int, null_share: float) -> float:
    """Return the chance of at least so many hits when each has the null's probability."""
    # Seconds on a small machine, and a probe that merges sessions is measuring meanwhile.
    from scipy.special import bdtrc  # noqa: PLC0415

    return float(bdtrc(hits - 1, n, null_share)) if hits else 1.0


def adjusted(p_values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Adjust p-values for their number by Benjamini and Hochberg (1995).

    Args:
        p_values: shape (n,), each from 0 to 1.

    Returns:
        q-values, shape (n,): calling all those below 5 % makes at most 5 % of the calls false.
    """
    from scipy import stats  # noqa: PLC0415 - as above

    if not len(p_values):
        return p_values
    return np.asarray(stats.false_discovery_control(p_values), dtype=np.float64)


def log_ratio(hits: int, n: int, null_share: float, other_share: float) -> float:
    """Return the natural log likelihood ratio of one share of hits against another."""
    misses = n - hits
    return hits * math.log(other_share / null_share) + misses * math.log(
        (1 - other_share) / (1 - null_share)
    )


def percent(hits: int, n: int) -> str:
    """Write a share with its counts and 95 % interval, for people."""
    if n == 0:
        return "none of none"
    low, high = wilson(hits, n)
    return f"{hits} of {n} ({100 * hits / n:.1f} %, {100 * low:.1f}-{100 * high:.1f})"


def below(q_value: float) -> str:
    """Write a q-value for people: ``= 0.03``, ``< 1e-12``."""
    return "< 1e-12" if q_value < _TINY else f"= {q_value:.1g}"
