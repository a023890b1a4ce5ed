"""Intervals for shares."""

from __future__ import annotations

import math
from typing import Final

#: Two-sided normal quantile of 95 %.
_Z: Final = 1.959964


def wilson(hits: int, tries: int) -> tuple[float, float]:
    """Return the 95 % interval of a share (Wilson 1927).

    Args:
        hits: successes.
        tries: attempts.

    Returns:
        Lower and upper bound, 0 to 1; the whole range for no attempts.
    """
    if tries <= 0:
        return 0.0, 1.0
    share, weight = hits / tries, _Z**2 / tries
    middle = (share + weight / 2.0) / (1.0 + weight)
    spread = math.sqrt(share * (1.0 - share) * weight + weight**2 / 4.0) / (1.0 + weight)
    low = 0.0 if hits == 0 else middle - spread
    high = 1.0 if hits == tries else middle + spread
    return low, high
