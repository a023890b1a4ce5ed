"""How many times slower the target was, with an interval that says what it claims.

With three pairs no distribution-free interval can reach 95 % (three signs agree by chance in one
case of four). The noise of a pair is known from many controls, so the interval comes from it: the
posterior of the location under Student-t noise with a flat prior, whose credible intervals cover
as often as they say for a location family (Pitman 1939).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from analysis.finding import Slowdown
from analysis.sequential import ALPHA, ALTERNATIVES, DF

#: How often the intervals that are told cover the truth.
LEVEL: Final = 0.95
_GRID: Final = 2001
#: The grid reaches this many noise scales beyond the outermost pair.
_MARGIN: Final = 60.0


def estimate(log_ratios: Sequence[float], scale: float, level: float = LEVEL) -> Slowdown | None:
    """Estimate the slowdown from pairs.

    Args:
        log_ratios: natural log of target over control goodput, one a pair, each finite.
        scale: scale of the noise in log ratio (``analysis.sequential.SCALE``).
        level: how often the interval is to cover the truth.

    Returns:
        Median and interval of control over target goodput; ``None`` without pairs.
    """
    if not log_ratios:
        return None
    seen = np.asarray(log_ratios, dtype=float)
    # One value alone has tails that the grid must still hold: the margin grows as pairs lack.
    margin = _MARGIN * scale * max(1.0, 3.0 / len(seen)) ** 3
    grid = np.linspace(seen.min() - margin, seen.max() + margin, _GRID)
    distance = (seen[:, None] - grid[None, :]) / scale
    log_likelihood = (-(DF + 1.0) / 2.0 * np.log1p(distance**2 / DF)).sum(axis=0)
    mass = np.exp(log_likelihood - log_likelihood.max())
    share = np.cumsum(mass) / mass.sum()
    tail = (1.0 - level) / 2.0
    low, middle, high = np.interp((tail, 0.5, 1.0 - tail), share, grid)
    return Slowdown(
        value=float(np.exp(-middle)), low=float(np.exp(-high)), high=float(np.exp(-low))
    )


def is_mild(log_ratios: Sequence[float], scale: float) -> bool:
    """Say whether pairs rule out that the target was as slow as the test's alternative.

    Half-way to it the sequential test decides either way, and often for it: so it is ruled out as
    surely as that test is told to be.

    Args:
        log_ratios: as for :func:`estimate`.
        scale: of the noise in log ratio.

    Returns:
        Whether the slowdown lies below the stated one.
    """
    found = estimate(log_ratios, scale, 1.0 - 2.0 * ALPHA)
    return found is not None and found.high is not None and found.high < ALTERNATIVES[0].ratio
