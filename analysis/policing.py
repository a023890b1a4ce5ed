"""Marks of a policer in one transfer, from what the receiver saw.

A policer drops what exceeds its tokens and queues nothing. So packets are lost while round trips
stay flat, and the losses differ from those of a line that tosses for every packet in one of four
ways: the window always breaks at the same size, the rate is even to a few percent, one overrun
loses many packets at once, or a bucketful passes untouched before the first loss. Thresholds were
chosen on one half of the captures of Flach et al. (SIGCOMM 2016), split by a hash of the file name;
``analysis.evaluate.capture_rows`` reports on the other half.

What a full bucket lets pass tells nothing of what comes once it is empty. So the share of drops and
the evenness are those after the first segment out of order.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec
import numpy as np

from analysis import fetches, rate
from analysis.onset import onset
from probe.measurement import Fetch

#: Share of segments out of order; a queue of five packets at 10 Mbit/s stays under 0.04.
DROP_RATIO: Final = 0.05
#: Round trip under load over idle, without a queue; a queue of 8 kB at 1.5 Mbit/s makes 1.19.
FLAT_RATIO: Final = 1.15
#: What a round trip may grow by for other reasons than a queue: a host that was busy.
FLAT_S: Final = 0.008
#: Jumps by which repaired holes are filled: their quartiles over their median, and how many.
_SAME_SIZE: Final = 0.45
_FEWEST_HOLES: Final = 8
#: A window of fewer segments breaks at about the same size whatever breaks it, and the relation
#: of Mathis et al. does not hold for it: at 10 % random loss it is three or four.
_WINDOW_SEGMENTS: Final = 5.5
#: Nor does it hold when most arrives out of order; and few segments show a pattern by chance.
_MOST_DROPS: Final = 0.35
_FEWEST_SEGMENTS: Final = 150
#: Deviation of the rate over fifths of the time.
_EVEN: Final = 0.06
_PARTS: Final = 5
#: Holes, over those that single losses would make for so many segments out of order.
_BUNCHED: Final = 0.25
#: An in-order jump of more segments than delayed acknowledgements make.
_HOLE_SEGMENTS: Final = 2.5
_SEGMENT_BYTES: Final = 1500.0
#: Packets out of order a loss makes in a window that single losses of ratio p allow: the window
#: is 1.22 / sqrt(p) (Mathis et al. 1997), so their share is 1.22 sqrt(p).
MATHIS: Final = 1.22
#: Losses that chance leaves out once in ten thousand transfers (Poisson).
_NOT_BY_CHANCE: Final = 9.2
_FEWEST_POINTS: Final = 8


class Marks(msgspec.Struct, frozen=True, kw_only=True):
    """What one transfer shows; ``None`` where it was not measured.

    ``drops`` is the share of segments out of order, from the first of them on.
    """

    flat: bool | None
    drops: float | None
    same_size: bool
    even: bool
    bunched: bool
    spared: bool = False

    @property
    def policed(self) -> bool:
        """Whether it bears the marks of a policer: drops, no queue, and not by the toss."""
        dropped = self.drops is not None and self.drops >= DROP_RATIO
        pattern = self.same_size or self.even or self.bunched or self.spared
        return bool(self.flat) and dropped and pattern


def marks(fetch: Fetch) -> Marks:
    """Look for the marks of a policer.

    Args:
        fetch: a transfer with its byte timeline.

    Returns:
        Its marks.
    """
    whole = rate.series(fetch)
    arrivals = rate.late(whole)
    overall = None if fetches.is_proxied(fetch) else fetches.out_of_order_ratio(fetch)
    begun = onset(fetch)
    drops = begun.ratio if begun is not None else overall
    if len(arrivals.t_s) < _FEWEST_POINTS:
        return Marks(flat=is_flat(fetch), drops=drops, same_size=False, even=False, bunched=False)
    jumps = np.diff(arrivals.wire_bytes) / _SEGMENT_BYTES
    holes = jumps[jumps > _HOLE_SEGMENTS]
    segments = float(arrivals.wire_bytes[-1] - arrivals.wire_bytes[0]) / _SEGMENT_BYTES
    wide = (
        segments >= _FEWEST_SEGMENTS
        and len(holes) > 0
        and float(np.median(holes)) > _WINDOW_SEGMENTS
    )
    single = segments * _loss_ratio(overall or 0.0)
    few = single >= _NOT_BY_CHANCE and len(holes) <= _BUNCHED * single
    return Marks(
        flat=is_flat(fetch),
        drops=drops,
        same_size=wide and len(holes) >= _FEWEST_HOLES and _width(holes) <= _SAME_SIZE,
        even=_is_even(rate.emptied(whole) if begun is not None else arrivals),
        bunched=wide and (overall or 0.0) <= _MOST_DROPS and few,
        spared=begun is not None and begun.segments * _loss_ratio(begun.ratio) >= _NOT_BY_CHANCE,
    )


def _loss_ratio(out_of_order: float) -> float:
    """Losses a segment that would, one by one, put such a share out of order."""
    return (min(out_of_order, 1.0) / MATHIS) ** 2


def marks_of_sum(arrivals: rate.Series, fetches_in: Sequence[Fetch]) -> Marks:
    """Look for the marks of a policer that several flows share.

    Each flow alone is as uneven as the others make it; behind one limiter their sum is not.

    Args:
        arrivals: the sum of the flows, or a stretch of it.
        fetches_in: the transfers in it.

    Returns:
        Its marks: of flatness and drops what holds for the transfers, of evenness the sum's own.
    """
    known = [flat for flat in map(is_flat, fetches_in) if flat is not None]
    drops = fetches.central([fetches.out_of_order_ratio(fetch) for fetch in fetches_in])
    return Marks(
        flat=all(known) if known else None,
        drops=drops,
        same_size=False,
        even=_is_even(arrivals),
        bunched=False,
    )


def is_flat(fetch: Fetch) -> bool | None:
    """Say whether round trips stayed as they are on an idle line.

    Args:
        fetch: the transfer.

    Returns:
        ``None`` where they were not measured under load, or only those of a local proxy.
    """
    ratio = fetches.rtt_ratio(fetch)
    if ratio is None or fetches.is_proxied(fetch):
        return None
    return ratio < FLAT_RATIO or (ratio - 1.0) * (fetch.idle_rtt_s or 0.0) < FLAT_S


def _width(values: rate.Array) -> float:
    low, middle, high = np.quantile(values, (0.25, 0.5, 0.75))
    return float((high - low) / middle)


def _is_even(arrivals: rate.Series) -> bool:
    if len(arrivals.t_s) < _FEWEST_POINTS:
        return False
    edges = np.linspace(arrivals.t_s[0], arrivals.t_s[-1], _PARTS + 1)
    parts = np.diff(np.interp(edges, arrivals.t_s, arrivals.wire_bytes))
    return bool(parts.std() <= _EVEN * parts.mean())
