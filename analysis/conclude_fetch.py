"""From the evidence of a fetch session to its verdict, through the guards."""

from __future__ import annotations

import math
from collections.abc import Sequence

from analysis import (
    conclude_open,
    conclude_slow,
    freezes,
    guards,
    judge_fetch,
    mechanism,
    repeats,
    sentences,
    sequential,
)
from analysis.conclusion import Conclusion
from analysis.fetch_case import FetchCase
from analysis.pairs import Pair
from probe import failure
from probe.measurement import Measurement


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
    case = FetchCase(
        service=service,
        grade=grade,
        pairs=tuple(pairs),
        beside=tuple(beside),
        reading=judge_fetch.read(pairs, sequential.scale(grade), offset),
        offset=offset,
    )
    if grade == "D":
        return conclude_open.unsure(
            case, "there was no control at the same time, only the past", done=True
        )
    return _blocked(case) or _cut_off(case) or _by_speed(case)


def _by_speed(case: FetchCase) -> Conclusion:
    decision = sequential.decide(case.reading.evidence)
    if decision == "slower":
        return conclude_slow.conclude(case)
    return _clear(case) if decision == "clear" else conclude_open.undecided(case)


def _blocked(case: FetchCase) -> Conclusion | None:
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


def _cut_off(case: FetchCase) -> Conclusion | None:
    """The answer begins and is cut off at the same place each time by an error."""
    cut = case.reading.of("stopped")
    usable = len(cut) + len(case.compared)
    odds = repeats.log_evidence(len(cut), usable - len(cut))
    point = mechanism.stop_point([c.target for c in cut])
    if point is None or odds < -math.log(sequential.ALPHA):
        return None
    ended = sentences.most_common(c.reason for c in cut)
    if case.grade == "C" and ended == failure.EOF:
        return conclude_open.unsure(
            case,
            f"its server hangs up in good order after {point / 1000:.1f} kB, which may be a limit "
            "of its own",
            done=True,
        )
    counted = freezes.read(case.beside)
    return Conclusion(
        verdict="throttled",
        mechanism="frozen",
        pairs=usable,
        decided=True,
        log_odds=odds,
        want=None if counted else "freeze",
        why=f"{case.service} stops dead: in {len(cut)} of {usable} tries the transfer ended "
        f"({ended}) after {point / 1000:.1f} kB, while the "
        f"control passed that point each time{freezes.clause(counted)} "
        f"({sentences.GRADES[case.grade]}).",
    )


def _clear(case: FetchCase) -> Conclusion:
    slower = case.slowdown
    assert slower is not None
    _, control_bps = judge_fetch.medians_bps(case.compared)
    if control_bps < guards.SLOW_CONTROL_BPS:
        return conclude_open.slow_line(case, slower)
    strays = f", {case.share} being slow by chance" if case.wild else ""
    return Conclusion(
        verdict="normal",
        pairs=len(case.compared),
        decided=True,
        slowdown=slower,
        log_odds=sequential.log_odds(case.reading.evidence),
        why=f"{case.service} runs as it should: {case.sides}; being held to half the control's "
        f"speed is ruled out{strays} ({case.basis}).",
    )
