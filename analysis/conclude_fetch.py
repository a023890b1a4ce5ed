"""From the evidence of a fetch session to its verdict, through the guards."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import median
from typing import Final

import msgspec
import numpy as np

from analysis import (
    fetches,
    freezes,
    guards,
    judge_fetch,
    mechanism,
    policing,
    rate,
    repeats,
    sentences,
    sequential,
    slowdown,
)
from analysis.conclusion import Conclusion
from analysis.fetches import FetchFigures
from analysis.finding import Rate, Slowdown
from analysis.judge_fetch import Comparison, Reading
from analysis.mechanism import Answer, Load
from analysis.pairs import Pair
from probe.measurement import Fetch, Measurement

#: The same trials give the same interval, whoever asks.
_SEED: Final = 20210310


class Case(msgspec.Struct, frozen=True, kw_only=True):
    """A fetch session before the judge: its trials and what was read from them.

    ``beside`` holds trials that are not compared: several connections at once, freeze tests.
    """

    service: str
    grade: str
    pairs: tuple[Pair, ...]
    beside: tuple[Measurement, ...]
    reading: Reading
    offset: float

    @property
    def compared(self) -> tuple[Comparison, ...]:
        """The pairs that have a log ratio."""
        return self.reading.of("compared")

    @property
    def sides(self) -> str:
        """Both median goodputs, in words."""
        return sentences.against(*judge_fetch.medians_bps(self.reading))

    @property
    def basis(self) -> str:
        """Pairs and grade, in words."""
        return sentences.evidence(len(self.compared), self.grade)


def conclude(
    service: str,
    grade: str,
    pairs: Sequence[Pair],
    *,
    offset: float = 0.0,
    beside: Sequence[Measurement] = (),
) -> Conclusion:
    """Judge one session of fetches.

    Args:
        service: its name, for the sentence.
        grade: kind of the control.
        pairs: target and control fetches in their order.
        offset: usual log ratio of target to control for this probe, 0 if unknown.
        beside: trials that are not compared, made to tell how the target is slowed.

    Returns:
        The conclusion; the same for the same trials, live or later.
    """
    case = Case(
        service=service,
        grade=grade,
        pairs=tuple(pairs),
        beside=tuple(beside),
        reading=judge_fetch.read(pairs, sequential.scale(grade), offset),
        offset=offset,
    )
    if grade == "D":
        return _unsure(case, "there was no control at the same time, only the past", done=True)
    return _blocked(case) or _cut_off(case) or _by_speed(case)


def _by_speed(case: Case) -> Conclusion:
    log_ratios = [_measured(c, case.offset) for c in case.compared]
    slower = slowdown.estimate(log_ratios, sequential.scale(case.grade))
    decision = sequential.decide(case.reading.evidence)
    if slower is None or decision is None:
        return _undecided(case)
    if decision == "clear":
        return _clear(case, slower)
    return _objection(case, slower) or _throttled(case, slower)


def _blocked(case: Case) -> Conclusion | None:
    failed = case.reading.of("failed")
    if len(failed) < repeats.MIN_FAILURES or case.reading.blocking < -math.log(sequential.ALPHA):
        return None
    how = repeats.mechanism([c.reason for c in failed])
    usable = len(failed) + len(case.compared)
    return Conclusion(
        verdict="blocked",
        mechanism=how,
        pairs=usable,
        decided=True,
        log_odds=case.reading.blocking,
        why=f"{case.service} is blocked: {sentences.BLOCKED_BY[how]} "
        f"({sentences.most_common(c.reason for c in failed)}) in {len(failed)} of {usable} tries, "
        f"while the control worked each time ({sentences.GRADES[case.grade]}).",
    )


def _cut_off(case: Case) -> Conclusion | None:
    """The answer begins and is cut off at the same place each time by an error."""
    cut = case.reading.of("stopped")
    usable = len(cut) + len(case.compared)
    odds = repeats.log_evidence(len(cut), usable - len(cut))
    point = mechanism.stop_point([c.target for c in cut])
    if point is None or odds < -math.log(sequential.ALPHA):
        return None
    counted = freezes.read(case.beside)
    return Conclusion(
        verdict="throttled",
        mechanism="frozen",
        pairs=usable,
        decided=True,
        log_odds=odds,
        want=None if counted else "freeze",
        why=f"{case.service} stops dead: in {len(cut)} of {usable} tries the transfer ended "
        f"({sentences.most_common(c.reason for c in cut)}) after {point / 1000:.1f} kB, while the "
        f"control passed that point each time{freezes.clause(counted)} "
        f"({sentences.GRADES[case.grade]}).",
    )


def _objection(case: Case, slower: Slowdown) -> Conclusion | None:
    """Return what speaks against a slowdown the test has found."""
    _, control_bps = judge_fetch.medians_bps(case.reading)
    if control_bps < guards.SLOW_CONTROL_BPS and slower.value < guards.PLAIN_SLOWDOWN:
        return _slow_line(case, slower)
    if guards.scatters(case.compared):
        return _unsure(case, _swing(case))
    if case.grade == "C" and guards.is_far(case.compared):
        rtt_ms = 1000.0 * median([c.target.rtt_s or 0.0 for c in case.compared])
        return _unsure(
            case,
            f"the target's distance (round trip {rtt_ms:.0f} ms) may explain {case.sides}",
            done=True,
        )
    return None


def _throttled(case: Case, slower: Slowdown) -> Conclusion:
    answer = mechanism.classify(
        mechanism.Transfers(
            targets=[c.target for c in case.compared],
            marks=[policing.marks(fetch) for fetch in _transfers(case.pairs)],
            controls=[c.control for c in case.compared],
            loads=loads(case.beside, case.compared),
            counted=freezes.read(case.beside),
        )
    )
    limit = _limit(case.pairs, answer)
    odds = sequential.log_evidence(case.reading.evidence)
    stopped = answer.mechanism == "frozen" or not judge_fetch.medians_bps(case.reading)[0]
    if stopped:
        what = f"{case.service} does not come through ({case.sides})"
    else:
        what = f"{case.service} is {sentences.times(slower)} slower than its control ({case.sides})"
    held = f", held to {sentences.rate(limit)}" if limit else ""
    return Conclusion(
        verdict="throttled",
        mechanism=answer.mechanism,
        pairs=len(case.compared),
        decided=True,
        log_odds=odds,
        rate_bps=limit,
        # What stops gets slower for as long as one waits: there is no ratio to name.
        slowdown=None if stopped else slower,
        want=answer.want,
        why=f"{what}{held}: {answer.because} ({case.basis}; {sentences.odds(odds)}).",
    )


def _limit(pairs: Sequence[Pair], answer: Answer) -> Rate | None:
    """Estimate the rate where there is one: a frozen or delayed transfer has none."""
    if answer.mechanism in ("frozen", "delayed"):
        return None
    rtts = [pair.target.fetch.idle_rtt_s for pair in pairs if pair.target.fetch is not None]
    found = rate.estimate(
        [rate.series(fetch) for fetch in _transfers(pairs)],
        np.random.default_rng(_SEED),
        rtt_s=fetches.central(rtts),
    )
    if found is None or answer.mechanism in ("policed", "shaped"):
        return found
    return msgspec.structs.replace(found, lower_bound=True)


def _transfers(pairs: Sequence[Pair]) -> list[Fetch]:
    return [
        pair.target.fetch
        for pair in pairs
        if pair.target.fetch is not None and pair.target.failure is None
    ]


def loads(parallel: Sequence[Measurement], compared: Sequence[Comparison]) -> tuple[Load, ...]:
    """Sum up what parallel connections got, beside what single ones did.

    Args:
        parallel: target trials, of which those with ``fetch.parallel`` over 1 count, one record a
            connection.
        compared: the session's pairs, over one connection each.

    Returns:
        One load per single transfer and one per group of parallel ones (same round).
    """
    groups: dict[tuple[int, int], list[FetchFigures]] = {}
    for trial in parallel:
        if trial.fetch is not None and trial.fetch.parallel > 1 and trial.failure is None:
            key = trial.fetch.parallel, trial.round
            groups.setdefault(key, []).append(fetches.figures(trial))
    if not groups:
        return ()
    single = [Load(1, c.target.goodput_bps) for c in compared]
    several = (
        Load(
            count,
            sum(flow.goodput_bps for flow in flows),
            tuple(flow.late_goodput_bps for flow in flows if flow.late_goodput_bps),
        )
        for (count, _), flows in groups.items()
    )
    return (*single, *several)


def _clear(case: Case, slower: Slowdown) -> Conclusion:
    _, control_bps = judge_fetch.medians_bps(case.reading)
    if control_bps < guards.SLOW_CONTROL_BPS:
        return _slow_line(case, slower)
    return Conclusion(
        verdict="normal",
        pairs=len(case.compared),
        decided=True,
        slowdown=slower,
        log_odds=sequential.log_odds(case.reading.evidence),
        why=f"{case.service} runs as it should: {case.sides}; being held to half the control's "
        f"speed is ruled out ({case.basis}).",
    )


def _slow_line(case: Case, slower: Slowdown) -> Conclusion:
    return Conclusion(
        verdict="slow_line",
        pairs=len(case.compared),
        decided=True,
        slowdown=slower,
        log_odds=sequential.log_odds(case.reading.evidence),
        why=f"The line itself is slow: {case.service} ran at {case.sides} of its control, too "
        f"near to tell ({case.basis}).",
    )


def _undecided(case: Case) -> Conclusion:
    usable = [c for c in case.reading.comparisons if c.outcome != "void"]
    void = case.reading.of("void")
    if len(void) > len(usable):
        reason = sentences.most_common(c.reason for c in void)
        missing = f"{reason} in {len(void)} of {len(case.pairs)} pairs"
        return _unsure(case, missing, done=_lacks_control(case))
    if not usable:
        return _unsure(case, "no pair of a target and a control was complete")
    if guards.scatters(case.compared):
        return _unsure(case, _swing(case))
    return _unsure(
        case,
        f"{len(usable)} pairs did not suffice to tell a slowdown of 2x from none "
        f"({sentences.GRADES[case.grade]})",
        done=len(case.pairs) >= sequential.CAP_PAIRS.get(case.grade, sequential.CAP_PAIRS["C"]),
    )


def _lacks_control(case: Case) -> bool:
    """Whether the control came to nothing too often for more pairs to help.

    As often as a target must fail to count as blocked, and in most pairs: behind a censor of
    addresses the same address under a neutral name fares no better.
    """
    fruitless = sum(
        pair.control.failure is not None or seen.control.size_bytes < judge_fetch.LEAST_BYTES
        for pair, seen in zip(case.pairs, case.reading.comparisons, strict=True)
    )
    return fruitless >= repeats.MIN_FAILURES and 2 * fruitless > len(case.pairs)


def _swing(case: Case) -> str:
    speeds = [c.control.goodput_bps for c in case.compared]
    return f"the control swung too much ({sentences.against(min(speeds), max(speeds))})".replace(
        " against ", " to "
    )


def _unsure(case: Case, missing: str, *, done: bool = False) -> Conclusion:
    evidence = case.reading.evidence
    return Conclusion(
        verdict="inconclusive",
        pairs=len([c for c in case.reading.comparisons if c.outcome != "void"]),
        decided=done,
        log_odds=sequential.log_odds(evidence) if evidence.pairs else 0.0,
        why=f"Not sure about {case.service}: {missing}.",
    )


def _measured(comparison: Comparison, offset: float) -> float:
    """Log ratio of goodput as measured: of a cut transfer, of what came until then."""
    assert comparison.log_ratio is not None
    if comparison.log_ratio.low == comparison.log_ratio.high:
        return comparison.log_ratio.low
    target = max(comparison.target.goodput_bps, 1.0)
    return math.log(target / max(comparison.control.goodput_bps, 1.0)) - offset
