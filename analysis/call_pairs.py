"""Two flows at once that differ in their bytes only: which one fares worse, by exact counts.

Whatever hits the line in a moment hits both flows; only neighbours of which one came through and
the other did not tell anything. Without interference either is as likely to be the unlucky one,
so their number is binomial with one half (McNemar's test, exact).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final, Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from analysis.calls import Flow, flow
from analysis.losses import upper_tail
from analysis.pairs import Pair
from analysis.sequential import ALPHA

Flags = NDArray[np.bool_]
Aspect = Literal["up", "down", "any", "delay"]

MIN_PAIRS: Final = 2
MAX_PAIRS: Final = 6
#: Cleared when loss can exceed the control's by no more than this.
CLEARED_RATIO: Final = 0.03
#: An excess smaller than this is no degradation that anyone would notice, however sure.
LEAST_RATIO: Final = 0.02
#: A packet this much later than the quickest of both flows is late: past what the buffers of
#: apps take up (60 ms frames, two to twenty of them in libtgvoip).
LATE_S: Final = 0.1
#: A pair agrees with the verdict when its own counts would come by chance less often than this.
_AGREES: Final = 0.05
#: One-sided normal quantile of 1 %, the miss rate at which a service is cleared.
_Z: Final = 2.326
#: The wall clock that stamps packets may move this much before delays mean nothing.
_CLOCK_STEP_S: Final = 0.01


class Counts(msgspec.Struct, frozen=True):
    """Neighbours: only the target's suffered, only the control's did, all that were compared."""

    worse: int = 0
    better: int = 0
    compared: int = 0

    def __add__(self, other: Counts) -> Counts:
        """Pool the counts of two pairs."""
        return Counts(
            self.worse + other.worse, self.better + other.better, self.compared + other.compared
        )

    @property
    def excess(self) -> float:
        """Share of packets by which the target fared worse."""
        return (self.worse - self.better) / self.compared if self.compared else 0.0

    @property
    def p_value(self) -> float:
        """Chance of at least so many worse ones without interference."""
        return upper_tail(self.worse, self.worse + self.better, 0.5)

    @property
    def upper_bound(self) -> float:
        """Excess that is exceeded in 1 % of cases (Agresti and Min 2005)."""
        if not self.compared:
            return 1.0
        worse, better, n = self.worse + 0.5, self.better + 0.5, self.compared + 2.0
        spread = math.sqrt(max(worse + better - (worse - better) ** 2 / n, 0.0)) / n
        return (worse - better) / n + _Z * spread


class FlowPair(msgspec.Struct, frozen=True):
    """Both flows of a pair, and what the comparison of each aspect counts."""

    target: Flow
    control: Flow
    counts: dict[Aspect, Counts]


def compare(pair: Pair) -> FlowPair:
    """Compare the flows of one pair, packet by packet with the neighbour half an interval off.

    Args:
        pair: two calls.

    Returns:
        Their arrays and counts. ``up`` and ``down`` only where the peer tells them apart.

    Raises:
        ValueError: a record is not a call.
        probe.trace.TraceError: a trace does not unpack.
    """
    if pair.target.call is None or pair.control.call is None:
        raise ValueError(f"found {pair.target.kind} records, expected calls")
    steps = [trial.host.clock_step_s or 0.0 for trial in (pair.target, pair.control)]
    return count(
        flow(pair.target.call),
        flow(pair.control.call),
        directed=pair.target.call.peer == "far_end",
        timed=max(map(abs, steps)) <= _CLOCK_STEP_S and _stamped_alike(pair),
    )


def _stamped_alike(pair: Pair) -> bool:
    """Whether both flows' times are the kernel's, or neither's.

    Of a WebRTC stack only the process's own times are known: on a busy machine it alone looks late.
    """
    return set(pair.target.host.stamps) == set(pair.control.host.stamps)


def count(target: Flow, control: Flow, *, directed: bool = True, timed: bool = True) -> FlowPair:
    """Count neighbours of which only one suffered.

    Args:
        target: the flow of the app's shape.
        control: the other, half an interval later.
        directed: whether the peer tells losses on the way up from those on the way down.
        timed: whether delays mean anything.

    Returns:
        Flows and counts.
    """
    both = min(len(target.lost), len(control.lost))
    everywhere = np.ones(both, dtype=bool)
    counts: dict[Aspect, Counts] = {
        "any": _count(target.lost[:both], control.lost[:both], everywhere)
    }
    if directed:
        counts["up"] = _count(target.lost_up[:both], control.lost_up[:both], everywhere)
        reached = target.reached[:both] & control.reached[:both]
        counts["down"] = _count(target.lost_down[:both], control.lost_down[:both], reached)
    if timed:
        counts["delay"] = _delays(target.rtt_s[:both], control.rtt_s[:both])
    return FlowPair(target, control, counts)


def pooled(pairs: Sequence[FlowPair]) -> dict[Aspect, Counts]:
    """Add up the counts of several pairs.

    Args:
        pairs: compared.

    Returns:
        Counts by aspect.
    """
    total: dict[Aspect, Counts] = {}
    for pair in pairs:
        for aspect, counts in pair.counts.items():
            total[aspect] = total.get(aspect, Counts()) + counts
    return total


def worse_in(pairs: Sequence[FlowPair]) -> tuple[Aspect, ...]:
    """Say in what the target fares worse.

    The chance of a false answer in a whole session is ``ALPHA``: each look and each aspect gets
    its share (Bonferroni). One pair may have met one bad path of several, so at least two must
    show it by themselves.

    Args:
        pairs: compared so far.

    Returns:
        Aspects, the strongest evidence first; empty for none or fewer than two pairs.
    """
    if len(pairs) < MIN_PAIRS:
        return ()
    total = pooled(pairs)
    threshold = ALPHA / (MAX_PAIRS - 1) / len(total)
    found = []
    for aspect, counts in total.items():
        agree = sum(
            aspect in pair.counts and pair.counts[aspect].p_value < _AGREES for pair in pairs
        )
        if counts.p_value < threshold and agree >= MIN_PAIRS and counts.excess >= LEAST_RATIO:
            found.append(aspect)
    return tuple(sorted(found, key=lambda aspect: total[aspect].p_value))


def is_cleared(pairs: Sequence[FlowPair]) -> bool:
    """Say whether the target loses at most ``CLEARED_RATIO`` more than the control.

    Args:
        pairs: compared so far.

    Returns:
        Whether the upper bound of every kind of loss is under it, after two pairs at least.
    """
    total = pooled(pairs)
    kinds = [counts for aspect, counts in total.items() if aspect != "delay"]
    return len(pairs) >= MIN_PAIRS and all(c.upper_bound < CLEARED_RATIO for c in kinds)


def log_odds(p_value: float) -> float:
    """Bound the odds that a p-value amounts to (Sellke, Bayarri and Berger 2001).

    Args:
        p_value: corrected for all looks.

    Returns:
        Natural log of ``-1 / (e p ln p)``; 0 where the p-value is no evidence.
    """
    if p_value >= 1.0 / math.e:
        return 0.0
    p_value = max(p_value, 1e-300)
    return -1.0 - math.log(p_value) - math.log(-math.log(p_value))


def _count(target: Flags, control: Flags, where: Flags) -> Counts:
    return Counts(
        int((target & ~control & where).sum()),
        int((control & ~target & where).sum()),
        int(where.sum()),
    )


def _delays(target_s: NDArray[np.float64], control_s: NDArray[np.float64]) -> Counts:
    known = np.isfinite(target_s) & np.isfinite(control_s)
    if not known.any():
        return Counts()
    late = min(target_s[known].min(), control_s[known].min()) + LATE_S
    with np.errstate(invalid="ignore"):
        return _count(target_s > late, control_s > late, known)
