"""One session of fetches to one answer: pairs compared, tested, guarded, named."""

from __future__ import annotations

import math
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from statistics import median
from typing import Final, Literal

import msgspec

from analysis import fetches, repeats, sequential
from analysis.fetches import BEGUN_BYTES, FetchFigures
from analysis.pairs import Pair
from analysis.sequential import Evidence, LogRatio
from probe import failure as f
from probe.measurement import Fetch, Host, Measurement

#: Fewer bytes fit into the burst that a policer lets through (Xue et al., IMC 2021: 16 kB).
LEAST_BYTES: Final = 64_000
#: A ticker that comes this late, or a processor this busy, speaks of the machine and not the line
GREATEST_LAG_S: Final = 0.05
GREATEST_BUSY_RATIO: Final = 0.97
#: ... unless the transfer was so slow that no machine could be the cause.
_LAG_SHARE: Final = 0.1
_MACHINE_BPS: Final = 2e6

NO_WAY_OUT: Final = "this machine had no way out"

Outcome = Literal["compared", "failed", "stopped", "void"]


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    """What one pair says.

    ``compared`` gives a log ratio; in ``failed`` the target ended before its answer began while
    the control worked; in ``stopped`` it was cut off by an error after that; ``void`` says
    nothing, for the reason in ``reason``. ``target_bps`` and ``control_bps`` are what both made of
    the same number of bytes, as many as both have.
    """

    outcome: Outcome
    target: FetchFigures
    control: FetchFigures
    log_ratio: LogRatio | None = None
    target_bps: float = 0.0
    control_bps: float = 0.0
    reason: str = ""


class Reading(msgspec.Struct, frozen=True, kw_only=True):
    """Everything the judge knows of a session after its pairs so far."""

    comparisons: tuple[Comparison, ...]
    evidence: Evidence
    blocking: float

    def of(self, outcome: Outcome) -> tuple[Comparison, ...]:
        """Pick the comparisons with one outcome."""
        return tuple(c for c in self.comparisons if c.outcome == outcome)


def read(pairs: Sequence[Pair], scale: float, offset: float) -> Reading:
    """Read the pairs of a session in their order.

    Args:
        pairs: target and control fetches.
        scale: of the noise in log ratio beside this kind of control.
        offset: log ratio of target to control that is usual for this probe; 0 if unknown.

    Returns:
        Comparisons and the evidence they add up to.
    """
    comparisons = tuple(compare(pair, offset) for pair in pairs)
    outcomes = Counter(comparison.outcome for comparison in comparisons)
    return Reading(
        comparisons=comparisons,
        evidence=weigh(comparisons, scale),
        blocking=repeats.log_evidence(outcomes["failed"], outcomes["compared"]),
    )


def weigh(comparisons: Sequence[Comparison], scale: float) -> Evidence:
    """Put pairs through the sequential test.

    Args:
        comparisons: in the order of their pairs.
        scale: of the noise in log ratio.

    Returns:
        The evidence of those that have a log ratio.
    """
    evidence = Evidence(scale=scale)
    for comparison in comparisons:
        if comparison.log_ratio is not None:
            evidence = sequential.update(evidence, comparison.log_ratio)
    return evidence


def compare(pair: Pair, offset: float = 0.0) -> Comparison:
    """Compare one target fetch with its control.

    Args:
        pair: two fetches.
        offset: subtracted from the log ratio.

    Returns:
        What the pair says.

    Raises:
        ValueError: a record of the pair is not a fetch.
    """
    target, control = fetches.figures(pair.target), fetches.figures(pair.control)
    bare = Comparison(outcome="void", target=target, control=control)
    reason = _void(pair, target, control)
    if reason:
        return msgspec.structs.replace(bare, reason=reason)
    assert pair.target.fetch is not None
    assert pair.control.fetch is not None
    outcome, failure = _ending(pair.target, target)
    if outcome != "compared":
        return msgspec.structs.replace(bare, outcome=outcome, reason=failure)
    ratio = log_ratio(pair.target.fetch, target, pair.control.fetch, control)
    if ratio is None:
        return msgspec.structs.replace(bare, reason="fewer than 64 kB to compare")
    target_bps, control_bps = _alike_bps(pair.target.fetch, target, pair.control.fetch, control)
    return msgspec.structs.replace(
        bare,
        outcome="compared",
        log_ratio=LogRatio(ratio.low - offset, ratio.high - offset),
        target_bps=target_bps,
        control_bps=control_bps,
    )


def log_ratio(
    target: Fetch, target_figures: FetchFigures, control: Fetch, control_figures: FetchFigures
) -> LogRatio | None:
    """Compare the time two transfers took for the same number of bytes.

    Args:
        target: the target transfer.
        target_figures: its figures.
        control: the control transfer.
        control_figures: its figures.

    Returns:
        Natural log of target over control goodput; open towards the side that a cut transfer
        leaves open. Two that were both cut are compared at the bytes that both have. ``None``
        where there are fewer than 64 kB to compare.
    """
    sides = ((target, target_figures), (control, control_figures))
    size = min(_size(fetch, seen) for fetch, seen in sides)
    if all(_falls_short(seen, size) for _, seen in sides):
        size = min(target_figures.size_bytes, control_figures.size_bytes)
    if size < LEAST_BYTES:
        return None
    times = []
    for fetch, seen in sides:
        whole = not _falls_short(seen, size)
        times.append((fetches.time_to_s(fetch, size) if whole else seen.spent_s, whole))
    (target_s, target_whole), (control_s, control_whole) = times
    if min(target_s, control_s) <= 0.0:
        return None
    value = math.log(control_s / target_s)
    return LogRatio(value if target_whole else -math.inf, value if control_whole else math.inf)


def _falls_short(seen: FetchFigures, size: int) -> bool:
    """Whether the time for so many bytes is only known to be longer than the transfer.

    One that had just as many when it was cut fell short if it had stopped by then.
    """
    if seen.complete or seen.size_bytes > size:
        return False
    return seen.size_bytes < size or seen.silence_s >= fetches.STALL_S


def medians_bps(compared: Sequence[Comparison]) -> tuple[float, float]:
    """Return the median goodput of targets and of controls over as many bytes each, bit/s.

    Args:
        compared: at least one pair with a log ratio.

    Returns:
        Target, control.
    """
    return median([c.target_bps for c in compared]), median([c.control_bps for c in compared])


def _alike_bps(
    target: Fetch, target_figures: FetchFigures, control: Fetch, control_figures: FetchFigures
) -> tuple[float, float]:
    """Goodput of both over the first bytes that both have: a longer transfer starts no faster.

    A transfer that brought nothing has none, however many bytes the other has.
    """
    came = [n for n in (target_figures.size_bytes, control_figures.size_bytes) if n]
    size = min(came, default=0)
    return _goodput_bps(target, target_figures, size), _goodput_bps(control, control_figures, size)


def _goodput_bps(fetch: Fetch, seen: FetchFigures, size: int) -> float:
    """Goodput of the first bytes; of a transfer that was cut short of them or at them, until then.

    Silence after the last byte is part of how slow it was.
    """
    if not seen.size_bytes:
        return 0.0
    cut = not seen.complete and seen.size_bytes <= size
    spent_s = seen.spent_s if cut else fetches.time_to_s(fetch, size)
    return 8.0 * size / spent_s if spent_s > 0.0 else 0.0


def _ending(trial: Measurement, figures: FetchFigures) -> tuple[Outcome, str]:
    """Whether a target can be compared, never answered, or was cut off by an error.

    A transfer that ran out of time can be compared if its answer had begun, or if bytes, be they
    of the handshake, were still trickling in: it was slow. Otherwise it was silence.
    """
    assert trial.fetch is not None
    begun = fetches.answer_bytes(trial.fetch) >= BEGUN_BYTES
    timed_out = trial.failure == f.TIMEOUT or trial.fetch.censored in ("time", "judge")
    if not timed_out:
        if trial.failure is None:
            return "compared", ""
        return "stopped" if begun else "failed", trial.failure
    counts = trial.fetch.timeline.bytes
    trickles = bool(counts) and counts[-1] > 0 and figures.silence_s < fetches.STALL_S
    return ("compared", "") if begun or trickles else ("failed", f.TIMEOUT)


def _size(fetch: Fetch, figures: FetchFigures) -> int:
    """Bytes a transfer would have had; without bound where it ended before anyone could tell."""
    if figures.complete:
        return figures.size_bytes
    unknown = fetch.expected_bytes is None and fetch.limit_bytes is None
    return sys.maxsize if unknown else fetches.size_asked(fetch)


def _void(pair: Pair, target: FetchFigures, control: FetchFigures) -> str:
    """Why a pair says nothing; empty when it does say something."""
    return next(_reasons_void(pair, target, control), "")


def _reasons_void(pair: Pair, target: FetchFigures, control: FetchFigures) -> Iterator[str]:
    failures = pair.target.failure, pair.control.failure
    if f.LOCAL & set(failures):
        yield NO_WAY_OUT
    if failures[1] is not None:
        yield f"the control failed too ({failures[1]})"
    if failures[0] is not None:
        if not repeats.may_be_blocking(failures[0]):
            yield f"the target failed in a way that shows nothing ({failures[0]})"
        return
    if control.size_bytes < LEAST_BYTES:
        yield f"the control brought {control.size_bytes / 1000:.0f} kB, fewer than 64 kB"
    if _rotten(pair.target) or _rotten(pair.control):
        yield "the server answered with an error page"
    if _machine_bound(pair.target.host, target) or _machine_bound(pair.control.host, control):
        yield "this machine was too busy to time it"


def _rotten(trial: Measurement) -> bool:
    status = trial.fetch.status if trial.fetch else None
    return status is not None and status >= 400  # noqa: PLR2004 - HTTP: client and server errors


def _machine_bound(host: Host, figures: FetchFigures) -> bool:
    lag = host.loop_lag_s or 0.0
    if lag > GREATEST_LAG_S and lag > _LAG_SHARE * figures.spent_s:
        return True
    busy = (host.cpu_busy_ratio or 0.0) > GREATEST_BUSY_RATIO
    return busy and figures.goodput_bps > _MACHINE_BPS
