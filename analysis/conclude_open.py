"""Fetch sessions that stay open, and what they lack."""

from __future__ import annotations

from typing import Final

from analysis import guards, judge_fetch, repeats, sentences, sequential
from analysis.conclusion import Conclusion
from analysis.fetch_case import FetchCase
from analysis.finding import Slowdown

#: More pairs that say nothing are a waste of a volunteer's bytes.
_MOST_VOID: Final = 12


def slow_line(case: FetchCase, slower: Slowdown) -> Conclusion:
    """Conclude that target and control are both slow.

    Args:
        case: the session.
        slower: how many times slower the target was.

    Returns:
        ``slow_line``; of grade A it may as well be the server, whatever it is asked for.
    """
    if case.grade == "A":
        what = (
            f"{case.service}'s server is slow under either name: {case.sides}; it, its address or "
            "the line is"
        )
    else:
        what = (
            f"The line itself is slow: {case.service} ran at {case.sides} of its control, too near "
            "to tell"
        )
    return Conclusion(
        verdict="slow_line",
        pairs=len(case.compared),
        decided=True,
        slowdown=slower,
        log_odds=sequential.log_odds(case.reading.evidence),
        why=f"{what} ({case.basis}).",
    )


def undecided(case: FetchCase) -> Conclusion:
    """Say what a session lacks that the test could not decide.

    Args:
        case: the session.

    Returns:
        ``inconclusive``.
    """
    usable = [c for c in case.reading.comparisons if c.outcome != "void"]
    void = case.reading.of("void")
    if len(void) > len(usable):
        reason = sentences.most_common(c.reason for c in void)
        missing = f"{reason} in {len(void)} of {len(case.pairs)} pairs"
        return unsure(case, missing, done=_lacks_control(case) or len(void) >= _MOST_VOID)
    if not usable:
        return unsure(case, "no pair of a target and a control was complete")
    if guards.scatters(case.compared):
        return unsure(case, swing(case))
    if 0 < len(case.wild) < len(case.compared):
        missing = f"{_some_slow(case)}, which may be chance ({sentences.GRADES[case.grade]})"
    else:
        missing = (
            f"{len(usable)} pairs did not suffice to tell a slowdown of 2x from none "
            f"({sentences.GRADES[case.grade]})"
        )
    return unsure(case, missing, done=sequential.is_spent(case.reading.evidence, case.grade))


def _some_slow(case: FetchCase) -> str:
    """Count the wildly slow connections, and say how slow they were."""
    slow = case.only(case.wild)
    how = f"{sentences.times(slow.slowdown)} slower than their controls " if slow.slowdown else ""
    return f"{case.share} were {how}({slow.sides}), the others not"


def _lacks_control(case: FetchCase) -> bool:
    """Whether the control came to nothing too often for more pairs to help.

    As often as a target must fail to count as blocked, and in most pairs: behind a censor of
    addresses the same address under a neutral name fares no better.
    """
    fruitless = sum(
        pair.control.failure is not None or seen.control.size_bytes < judge_fetch.LEAST_BYTES
        for pair, seen in zip(case.pairs, case.reading.comparisons, strict=True)
    )
    return fruitless >= repeats.MIN_FAILURES and 2 * fruitless > len(case.pairs)


def swing(case: FetchCase) -> str:
    """Say between which speeds the control swung.

    Args:
        case: a session with compared pairs.
    """
    speeds = [c.control_bps for c in case.compared]
    return f"the control swung too much ({sentences.against(min(speeds), max(speeds))})".replace(
        " against ", " to "
    )


def unsure(case: FetchCase, missing: str, *, done: bool = False) -> Conclusion:
    """Leave a session open.

    Args:
        case: the session.
        missing: what it lacks, a clause.
        done: whether more pairs would not help.

    Returns:
        ``inconclusive``.
    """
    evidence = case.reading.evidence
    return Conclusion(
        verdict="inconclusive",
        pairs=len([c for c in case.reading.comparisons if c.outcome != "void"]),
        decided=done,
        log_odds=sequential.log_odds(evidence) if evidence.pairs else 0.0,
        why=f"Not sure about {case.service}: {missing}.",
    )
