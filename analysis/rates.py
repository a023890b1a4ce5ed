"""The rate slow tests are held to: the narrow band most of them sit in.

A limiter gives every line the same rate however fast the line is, so the slow tests of an event
gather in one place. The band names the rate and supports a finding; alone it proves nothing, for
a rate-limited plan gathers its tests as well.
"""

from __future__ import annotations

from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from analysis.bins import RATE_BINS_PER_OCTAVE, centre
from analysis.rollup import Columns, groups

#: Width of the band: a rate within 10 % either way, in fine bins.
BAND_BINS: Final = round(RATE_BINS_PER_OCTAVE * np.log2(1.1 / 0.9))
#: The share of slow tests that must lie in the band before it is called the rate. In networks
#: without a limiter the fullest such band holds a quarter of the tests, in 9 of 10 under 0.36
#: (Russia Twitter Throttle data set, CC BY 4.0).
CONCENTRATED: Final = 0.45
_FEWEST: Final = 5
_DRAWS: Final = 400


class Mode(msgspec.Struct, frozen=True):
    """The fullest band: ``rate_bps`` is the median inside it, with a 95 % interval.

    ``inside`` of ``n`` slow tests lie in the band. ``near`` is the lowest and highest fine bin
    within a factor of two of the rate: as far as a limiter's tests stray in one event.
    """

    near: tuple[int, int]
    rate_bps: float
    low_bps: float
    high_bps: float
    inside: int
    n: int

    @property
    def concentrated(self) -> bool:
        """Whether the band holds enough of the tests to be a rate."""
        return self.n >= _FEWEST and self.inside >= CONCENTRATED * self.n


def mode(rates: Columns, seed: int = 2021) -> Mode | None:
    """Find the band of one service's slow tests.

    The interval comes from drawing networks, not tests, with replacement: tests of one network
    are not independent. With one network, its tests are drawn.

    Args:
        rates: rows of :func:`analysis.rollup.rates`.
        seed: of the draws.

    Returns:
        The band, or None where there is no slow test.
    """
    if not len(rates["n"]):
        return None
    low = int(rates["bin"].min()) - BAND_BINS
    width = int(rates["bin"].max()) + BAND_BINS + 1 - low
    rows = list(groups(rates, ("country", "asn")).values())
    counts = np.zeros((len(rows), width), dtype=np.int64)
    for row, part in zip(counts, rows, strict=True):
        np.add.at(row, rates["bin"][part] - low, rates["n"][part])
    total = counts.sum(axis=0)
    start, middle = _fullest(total)
    random = np.random.default_rng(seed)
    drawn = np.array([_fullest(_draw(counts, random))[1] for _ in range(_DRAWS)])
    edges = np.quantile(drawn, [0.025, 0.975])
    return Mode(
        near=(middle + low - RATE_BINS_PER_OCTAVE, middle + low + RATE_BINS_PER_OCTAVE),
        rate_bps=centre(middle + low, RATE_BINS_PER_OCTAVE),
        low_bps=centre(min(edges[0], middle) + low, RATE_BINS_PER_OCTAVE),
        high_bps=centre(max(edges[1], middle) + low, RATE_BINS_PER_OCTAVE),
        inside=int(total[start : start + BAND_BINS].sum()),
        n=int(total.sum()),
    )


def _draw(counts: NDArray[np.int64], random: np.random.Generator) -> NDArray[np.int64]:
    if len(counts) == 1:
        n = int(counts.sum())
        return np.asarray(random.multinomial(n, counts[0] / n), dtype=np.int64)
    chosen = random.integers(0, len(counts), len(counts))
    return np.asarray(counts[chosen].sum(axis=0), dtype=np.int64)


def _fullest(counts: NDArray[np.int64]) -> tuple[int, int]:
    """Return where the fullest band starts, and the median bin inside it."""
    reached = np.concatenate([[0], np.cumsum(counts)])
    inside = reached[BAND_BINS:] - reached[:-BAND_BINS]
    best = np.flatnonzero(inside == inside.max())
    start = int(best[len(best) // 2])
    half = reached[start] + inside[start] / 2
    return start, int(np.searchsorted(reached, half, side="left")) - 1
