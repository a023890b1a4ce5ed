"""From a slowdown that the test has found, through the guards, to how and how much."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from statistics import median
from typing import Final

import msgspec
import numpy as np

from analysis import (
    conclude_open,
    fetches,
    freezes,
    guards,
    judge_fetch,
    mechanism,
    policing,
    rate,
    sentences,
    sequential,
)
from analysis.conclusion import Conclusion
from analysis.fetch_case import FetchCase
from analysis.fetches import FetchFigures
from analysis.finding import Rate, Slowdown
from analysis.judge_fetch import Comparison
from analysis.mechanism import Answer, Load
from analysis.pairs import Pair
from probe.measurement import Fetch, Measurement

#: The same trials give the same interval, whoever asks.
_SEED: Final = 20210310


def conclude(case: FetchCase) -> Conclusion:
    """Judge a session whose targets, or some of them, the test has found slow.

    Args:
        case: the session.

    Returns:
        ``throttled``, or what a guard makes of it.
    """
    slow = case.narrowed()
    slower = slow.slowdown
    assert slower is not None
    return next(_objections(case, slow, slower), None) or _throttled(case, slow, slower)


def _objections(case: FetchCase, slow: FetchCase, slower: Slowdown) -> Iterator[Conclusion]:
    """List what speaks against a slowdown the test has found, the weightiest first."""
    _, control_bps = judge_fetch.medians_bps(slow.compared)
    if control_bps < guards.SLOW_CONTROL_BPS and slower.value < guards.PLAIN_SLOWDOWN:
        yield conclude_open.slow_line(case, slower)
    if slow.is_mild:
        yield conclude_open.unsure(
            case,
            f"it is {sentences.times(slower)} slower than its control ({slow.sides}), and twice is "
            "the least that counts",
            done=True,
        )
    if guards.scatters(slow.compared) or _is_noise(case):
        yield conclude_open.unsure(case, conclude_open.swing(case))
    # A machine too busy to time what is fast leaves the slow, be it slow by chance.
    picked = len(case.reading.of("void")) > len(case.compared)
    if slow is not case and (picked or not guards.stand_apart(slow.compared, case.compared)):
        yield conclude_open.undecided(case)
    if (swing := guards.idle_swing(case.compared)) and slower.value < guards.PLAIN_SLOWDOWN:
        low_ms, high_ms = (1000.0 * rtt_s for rtt_s in swing)
        yield conclude_open.unsure(
            case,
            f"the line was congested: the control's round trip swung from {low_ms:.0f} to "
            f"{high_ms:.0f} ms with nothing under way",
        )
    if case.grade == "C" and guards.is_far(slow.compared):
        rtt_ms = 1000.0 * median([c.target.rtt_s or 0.0 for c in slow.compared])
        yield conclude_open.unsure(
            case,
            f"the target's distance (round trip {rtt_ms:.0f} ms) may explain {slow.sides}",
            done=True,
        )


def _is_noise(case: FetchCase) -> bool:
    """Whether so noisy a line as the controls show explains the slowdown."""
    noise = guards.noise(case.compared, case.reading.evidence.scale)
    if noise is None or guards.stand_apart(case.compared, case.compared):
        return False
    return sequential.decide(judge_fetch.weigh(case.compared, noise)) != "slower"


def _throttled(case: FetchCase, slow: FetchCase, slower: Slowdown) -> Conclusion:
    partial = slow is not case
    answer = mechanism.classify(transfers(case))
    limit = _limit(slow.pairs, answer)
    odds = sequential.log_evidence(case.reading.evidence)
    stopped = answer.mechanism == "frozen" or not judge_fetch.medians_bps(slow.compared)[0]
    held = f", held to {sentences.rate(limit)}" if limit else ""
    proxied = _proxied(slow, answer)
    return Conclusion(
        verdict="throttled",
        mechanism=answer.mechanism,
        pairs=len(case.compared),
        decided=True,
        log_odds=odds,
        rate_bps=limit,
        # What stops gets slower for as long as one waits: there is no ratio to name.
        slowdown=None if stopped else slower,
        want=None if partial and answer.want == "parallel" else answer.want,
        why=f"{_what(case, slow, None if stopped else slower)}{held}: {answer.because}{proxied} "
        f"({case.basis}; {sentences.odds(odds)}).",
    )


def transfers(case: FetchCase) -> mechanism.Transfers:
    """Read from a session what its mechanism is told by.

    Args:
        case: the session.

    Returns:
        Figures, marks and arrivals of the transfers that were slow.
    """
    slow = case.narrowed()
    return mechanism.Transfers(
        targets=[c.target for c in slow.compared],
        marks=[policing.marks(fetch) for fetch in _transfers(slow.pairs)],
        arrivals=[rate.series(fetch) for fetch in _transfers(slow.pairs)],
        controls=[c.control for c in slow.compared],
        # Which of several parallel connections are slowed is a toss where only some are.
        loads=() if slow is not case else loads(case.beside, case.compared),
        counted=freezes.read(case.beside),
    )


def _what(case: FetchCase, slow: FetchCase, slower: Slowdown | None) -> str:
    """Say how slow it was; with ``slower`` None, that nothing came through."""
    if slow is case:
        how = f"{sentences.times(slower)} slower than its control" if slower else ""
        return f"{case.service} {f'is {how}' if how else 'does not come through'} ({slow.sides})"
    how = f"were {sentences.times(slower)} slower than their controls" if slower else "stop dead"
    return f"{case.share} to {case.service} {how} ({slow.sides}), the others not"


def _limit(pairs: Sequence[Pair], answer: Answer) -> Rate | None:
    """Estimate the rate where there is one: a frozen or delayed transfer has none."""
    if answer.mechanism in ("frozen", "delayed"):
        return None
    rtts = [pair.target.fetch.idle_rtt_s for pair in pairs if pair.target.fetch is not None]
    found = rate.estimate(
        [rate.series(fetch) for fetch in _transfers(pairs)],
        np.random.default_rng(_SEED),
        # A queue keeps what comes at once: there no bucket can be too small for TCP.
        rtt_s=None if answer.mechanism == "shaped" else fetches.central(rtts),
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


def _proxied(slow: FetchCase, answer: Answer) -> str:
    """Say so where the mechanism could not be read from packets, because a proxy is in between."""
    by_packets = answer.mechanism not in ("frozen", "delayed")
    behind = all(c.target.proxied for c in slow.compared)
    return sentences.BEHIND_PROXY if by_packets and behind else ""
