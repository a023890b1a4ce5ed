"""Whether a fixed rate, and not random loss, set the pace of transfers.

Random loss leaves a sender a speed of its own: it halves its window at each loss, so that ``p``
lost in a hundred give ``1.22 / sqrt(p)`` segments a round trip (Mathis et al., 1997). One that runs
far below that was held back by something else. Where no queue shows and the pace is the same from
transfer to transfer and from their start to their end, that is a limiter that drops.
"""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median
from typing import Final

import numpy as np

from analysis import rate
from analysis.fetches import FetchFigures
from analysis.policing import MATHIS

#: Transfers that loss alone would let run so many times faster. At 2 to 15 % random loss in the
#: lab, whose sender is the kernel's, none ran at less than a fourth of Mathis' speed.
_HELD_BACK: Final = 5.0
#: With more out of order than this, time-outs set the pace, which Mathis et al. leave out.
_MOST_DROPS: Final = 0.15
#: Bytes off a straight line, over all: a stall of TCP or a bucketful makes 0.14 of a short transfer
#: of 100 kB behind a policer of the kernel's.
_STRAIGHT: Final = 0.15
_FEWEST_POINTS: Final = 8
_SEGMENT_BITS: Final = 8.0 * 1448.0


def is_held(targets: Sequence[FetchFigures], arrivals: Sequence[rate.Series]) -> bool:
    """Say whether transfers that lost packets ran at a rate that losses do not explain.

    Args:
        targets: figures of the transfers.
        arrivals: theirs, the handshake's included.

    Returns:
        Whether their rates repeat within a tenth, nearly all came in a straight line, and random
        loss would have let them run several times faster. False where nothing was lost.
    """
    rates = [t.late_goodput_bps for t in targets if t.late_goodput_bps and t.size_bytes]
    bends = [found for found in map(bend, arrivals) if found is not None]
    if len(rates) < 3 or not bends:  # noqa: PLR2004 - a rate repeats in three
        return False
    repeats = rate.spread(np.array(rates)) <= rate.REPEATABLE
    return repeats and float(np.median(bends)) <= _STRAIGHT and spare(targets) >= _HELD_BACK


def is_chance(targets: Sequence[FetchFigures], drops: float) -> bool:
    """Say whether random loss may be all that slows transfers.

    Args:
        targets: figures of the transfers.
        drops: their central share of segments out of order.

    Returns:
        False where so little was lost that it would have let them run several times faster.
    """
    return drops > _MOST_DROPS or spare(targets) < _HELD_BACK


def bend(arrivals: rate.Series) -> float | None:
    """Measure how far arrivals leave the straight line through them.

    Args:
        arrivals: of one transfer; its first tenth is left out.

    Returns:
        The greatest distance in bytes over all bytes; ``None`` of few arrivals.
    """
    late = rate.late(arrivals)
    if len(late.t_s) < _FEWEST_POINTS:
        return None
    line = np.polyval(np.polyfit(late.t_s, late.wire_bytes, 1), late.t_s)
    return float(np.abs(late.wire_bytes - line).max() / np.ptp(late.wire_bytes))


def spare(targets: Sequence[FetchFigures]) -> float:
    """Say how many times faster random loss would have let transfers run.

    Args:
        targets: figures of the transfers.

    Returns:
        The median; 0 where most lost nothing or do not say.
    """
    found = [_spare(target) or 0.0 for target in targets]
    return median(found) if found else 0.0


def _spare(figures: FetchFigures) -> float | None:
    """How many times faster random loss would have let a transfer run.

    A loss puts the rest of its window out of order, so their share is 1.22 sqrt(p).
    """
    drops, rtt_s, late_bps = figures.out_of_order_ratio, figures.rtt_s, figures.late_goodput_bps
    if not (drops and rtt_s and late_bps):
        return None
    return MATHIS**2 / drops * _SEGMENT_BITS / rtt_s / late_bps
