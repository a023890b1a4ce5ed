"""How a slow target is slowed, by rules on what the receiver saw.

A queue shows as round trips that grow under load and is trusted. Drops without a queue are either
a policer, whose rate repeats from transfer to transfer, or random loss, whose rate does not (Flach
et al., SIGCOMM 2016; in their captures no policed transfer was ever taken for a queue by the
ratio of round trips). What fits no rule stays ``unclassified``, with the trial that would settle
it: rates that scale with parallel connections tell random loss from a shared limiter.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from statistics import median
from typing import Final

import msgspec
import numpy as np

from analysis import freezes, limiter, policing, rate
from analysis.conclusion import Want
from analysis.fetches import BEGUN_BYTES, FetchFigures, central
from analysis.finding import Mechanism
from analysis.freezes import Counted
from analysis.policing import Marks

#: Transfers that must bear the marks of a policer.
_VOTES: Final = 2
#: Stop points of one byte limit agree within this: two segments, since a segment more or less may
#: still be under way.
STOP_SPREAD_BYTES: Final = 2 * 1460
_REPEATS: Final = 3
#: A body that runs so many times slower than its control's is slow itself, whatever it waited for.
_USUAL_PACE: Final = 2.0
_ALIKE: Final = 5


class Thresholds(msgspec.Struct, frozen=True, kw_only=True):
    """What the rules compare with.

    ``queue_ratio``: round trip under load over idle, from which on there is a queue.
    ``receiver_queue_ratio``: the same by the receiver's own estimate, which reads up to 2 under a
    pacing sender; a queue made 8 and 54. ``steady``: late rates of three transfers that agree this
    well come from a limiter; where drops were counted they must agree within ``steady_drops``,
    since random loss comes near by chance. ``drop_ratio``: share of segments out of order.
    """

    queue_ratio: float = 1.5
    receiver_queue_ratio: float = 2.5
    steady: float = 0.05
    steady_drops: float = 0.02
    drop_ratio: float = policing.DROP_RATIO


THRESHOLDS: Final = Thresholds()


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """A mechanism, what it was read from (a clause for a sentence), and what would settle it."""

    mechanism: Mechanism
    because: str
    want: Want | None = None


class Load(msgspec.Struct, frozen=True):
    """What one transfer was, of so many parallel ones: connections, and their summed rate.

    ``late_bps`` is the late rate of each of several connections, where it is known.
    """

    connections: int
    rate_bps: float
    late_bps: tuple[float, ...] = ()


class Transfers(msgspec.Struct, frozen=True, kw_only=True):
    """What a mechanism is read from.

    Figures, policer's marks and arrivals of the target transfers, figures of their controls,
    parallel-connection trials of the target and what freeze tests say, if any were made.
    """

    targets: Sequence[FetchFigures]
    marks: Sequence[Marks]
    controls: Sequence[FetchFigures]
    arrivals: Sequence[rate.Series] = ()
    loads: Sequence[Load] = ()
    counted: Counted | None = None


def classify(transfers: Transfers, thresholds: Thresholds = THRESHOLDS) -> Answer:
    """Name the mechanism behind a target that was found slow.

    Args:
        transfers: of one session.
        thresholds: what the rules compare with.

    Returns:
        The first rule that fits.
    """
    targets = transfers.targets
    return (
        _frozen(targets, transfers.counted)
        or _delayed(targets, transfers.controls)
        or _queued(targets, transfers.controls, thresholds)
        or _dropped(transfers, thresholds)
        or Answer(
            mechanism="unclassified",
            because="the transfers fit no known way of slowing",
            want=_telling(targets, transfers.counted),
        )
    )


def _telling(targets: Sequence[FetchFigures], counted: Counted | None) -> Want:
    """Name the trial that tells most about transfers that fit no rule."""
    if counted is None and any((t.stop_bytes or 0) >= BEGUN_BYTES for t in targets):
        return "freeze"
    return "longer" if max(t.size_bytes for t in targets) < 2 * 64_000 else "parallel"


def stop_point(targets: Sequence[FetchFigures]) -> float | None:
    """Find the byte count at which transfers stop.

    Args:
        targets: figures of the target transfers.

    Returns:
        The median stop point, if at least three transfers stopped there after they had begun,
        and they are most of all; else ``None``.
    """
    stops = [t.stop_bytes for t in targets if t.stop_bytes and t.stop_bytes >= BEGUN_BYTES]
    if len(stops) < _REPEATS:
        return None
    middle = median(stops)
    same = [stop for stop in stops if abs(stop - middle) <= STOP_SPREAD_BYTES]
    return middle if len(same) >= _REPEATS and 2 * len(same) > len(targets) else None


def _frozen(targets: Sequence[FetchFigures], counted: Counted | None) -> Answer | None:
    """Most transfers stop at one point, or as many as not stop and freeze tests do too."""
    stop = stop_point(targets)
    begun = [t.stop_bytes for t in targets if t.stop_bytes and t.stop_bytes >= BEGUN_BYTES]
    if stop is not None:
        because = f"transfers stop dead after {stop / 1000:.1f} kB every time"
    elif 2 * len(begun) >= len(targets) and counted in ("bytes", "packets"):
        because = f"{len(begun)} of {len(targets)} transfers stop dead"
    else:
        return None
    return Answer(
        mechanism="frozen",
        because=because + freezes.clause(counted),
        want=None if counted else "freeze",
    )


def _delayed(targets: Sequence[FetchFigures], controls: Sequence[FetchFigures]) -> Answer | None:
    """Most of the time lost went before the first byte, and the rest ran at its usual pace."""
    unasked = [t for t in targets if not t.requested]
    if 2 * len(unasked) > len(targets):
        return Answer(
            mechanism="delayed",
            because=f"the handshake alone takes more than {median(t.spent_s for t in unasked):.0f} "
            "s, its bytes trickling in",
        )

    if any(not t.complete and t.size_bytes for t in targets) or not _runs(targets, controls):
        return None
    lost = median([t.spent_s for t in targets]) - median([c.spent_s for c in controls])
    waited = median(map(_waited_s, targets)) - median(map(_waited_s, controls))
    if lost <= 0.0 or waited < lost / 2.0:
        return None
    then = "then it runs as usual" if any(t.size_bytes for t in targets) else "if it comes at all"
    return Answer(
        mechanism="delayed",
        because=f"{waited:.1f} s more pass before the first byte, {then}",
    )


def _runs(targets: Sequence[FetchFigures], controls: Sequence[FetchFigures]) -> bool:
    """Whether what came of the targets' bodies came at about the controls' pace."""
    mine = central([t.late_goodput_bps for t in targets if t.size_bytes])
    usual = central([c.late_goodput_bps for c in controls])
    return mine is None or usual is None or _USUAL_PACE * mine >= usual


def _waited_s(figures: FetchFigures) -> float:
    """Seconds to the first byte of the answer; all of them where none came."""
    if figures.first_byte_s is None and not figures.size_bytes:
        return figures.spent_s
    return figures.setup_s + (figures.first_byte_s or 0.0)


def _queued(
    targets: Sequence[FetchFigures], controls: Sequence[FetchFigures], thresholds: Thresholds
) -> Answer | None:
    if not _has_queue(targets, thresholds):
        return None
    if _has_queue(controls, thresholds):
        return Answer(
            mechanism="unclassified",
            because="round trips grow under load for the control too, so a queue on the line "
            "may be part of it",
            want="parallel",
        )
    ratio = central([t.rtt_ratio for t in targets]) or 0.0
    ratio = max(ratio, central([t.receiver_rtt_ratio for t in targets]) or 0.0)
    return Answer(
        mechanism="shaped", because=f"round trips grow {ratio:.1f} times under load: a queue"
    )


def _has_queue(figures: Sequence[FetchFigures], thresholds: Thresholds) -> bool:
    beside = central([_rtt_growth(f) for f in figures])
    within = central([f.receiver_rtt_ratio for f in figures])
    if (beside or 0.0) >= thresholds.queue_ratio:
        return True
    return (within or 0.0) >= thresholds.receiver_queue_ratio


def _rtt_growth(figures: FetchFigures) -> float | None:
    """Round trip under load over idle; none to speak of where a busy host may be all of it."""
    ratio, idle_s = figures.rtt_ratio, figures.rtt_s
    if ratio is None or idle_s is None or (ratio - 1.0) * idle_s >= policing.FLAT_S:
        return ratio
    return min(ratio, 1.0)


def _dropped(transfers: Transfers, thresholds: Thresholds) -> Answer | None:
    """Drops without a queue: by a policer or at random; ``None`` where neither shows."""
    rates = [t.late_goodput_bps for t in transfers.targets if t.late_goodput_bps and t.size_bytes]
    if len(rates) < _REPEATS:
        return None
    drops = central([t.out_of_order_ratio for t in transfers.targets])
    shared = _shares_limiter(transfers.loads)
    marked = sum(mark.policed for mark in transfers.marks)
    dropped = drops is not None and drops >= thresholds.drop_ratio
    agreeing = thresholds.steady if drops is None else thresholds.steady_drops
    steady = rate.spread(np.array(rates)) <= agreeing
    even = steady and (drops is None or dropped)
    held = limiter.is_held(transfers.targets, transfers.arrivals)
    limited = shared is not False and (marked >= _VOTES or even or held)
    if limited or (shared is False and _are_limited_alike(rates, transfers.loads, thresholds)):
        return Answer(
            mechanism="policed",
            because="packets over a fixed rate are dropped and none are queued",
        )
    if drops is not None and dropped and limiter.is_chance(transfers.targets, drops):
        return Answer(
            mechanism="random_loss",
            because=f"{drops:.0%} of packets are lost or late, without a queue and without a "
            "rate that repeats: packets are dropped at random",
            want=None if shared is False else "parallel",
        )
    return None


def _are_limited_alike(
    rates: Sequence[float], loads: Sequence[Load], thresholds: Thresholds
) -> bool:
    """Whether each connection has a limiter of its own: alone or beside others, one rate.

    Five rates lost at random (a fifth apart) agree this well as seldom as three within
    ``steady_drops``: about once in a hundred.
    """
    each = np.array([*rates, *(bps for load in loads for bps in load.late_bps)])
    return len(each) >= _ALIKE and bool(np.std(each) <= thresholds.steady * np.mean(each))


def _shares_limiter(loads: Sequence[Load]) -> bool | None:
    """Whether the sum over parallel connections stays what one connection gets."""
    sums: dict[int, list[float]] = {}
    for load in loads:
        sums.setdefault(load.connections, []).append(load.rate_bps)
    steps = [median(rates) for _, rates in sorted(sums.items())]
    if len(steps) < 2:  # noqa: PLR2004 - a comparison needs two
        return None
    grows = [later / earlier for earlier, later in pairwise(steps) if earlier > 0.0]
    return bool(grows) and median(grows) < math.sqrt(2.0)
