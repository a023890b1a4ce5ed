"""Runs the sequential test over many sessions at once, the very functions a live session uses."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from analysis import sequential, slowdown
from analysis.evaluate.tables import Row, share
from analysis.sequential import DF, Decision, Evidence

Array = NDArray[np.float64]

SESSIONS: Final = 10_000


class Outcome(msgspec.Struct, frozen=True):
    """How one session ended: the decision, after how many pairs, with which log evidence.

    ``covered`` says whether the interval of the slowdown held the truth.
    """

    decision: Decision | None
    pairs: int
    log_evidence: float
    covered: bool | None = None


def play(
    log_ratios: Iterable[float], scale: float, cap: int, truth: float | None = None
) -> Outcome:
    """Take pairs until the test decides.

    Args:
        log_ratios: natural log of target over control goodput, pair by pair.
        scale: scale of the noise that the test assumes.
        cap: most pairs.
        truth: true slowdown, to check the interval against.

    Returns:
        How the session ended.
    """
    state, seen = Evidence(scale=scale), []
    for log_ratio in log_ratios:
        seen.append(log_ratio)
        state = sequential.update(state, sequential.exactly(log_ratio))
        if sequential.decide(state) is not None or state.pairs >= cap:
            break
    covered = None
    if truth is not None:
        found = slowdown.estimate(seen, scale)
        assert found is not None
        assert found.low is not None
        assert found.high is not None
        covered = found.low <= truth <= found.high
    decision = sequential.decide(state)
    slow = [z for z in seen if sequential.is_wild(sequential.exactly(z), scale)]
    # Of a target of which only some pairs are slow, the judge weighs those.
    if decision == "slower" and slowdown.is_mild(slow if state.partial else seen, scale):
        decision = None
    return Outcome(decision, state.pairs, sequential.log_evidence(state), covered)


def simulated(slower: float, scale: float, rng: np.random.Generator, cap: int) -> Array:
    """Draw sessions of Student-t pairs.

    Args:
        slower: true slowdown.
        scale: of the noise in natural log ratio.
        rng: source of chance.
        cap: pairs a session.

    Returns:
        ``SESSIONS`` rows of ``cap`` log ratios.
    """
    noise: Array = scale * rng.standard_t(DF, (SESSIONS, cap)) - math.log(slower)
    return noise


def null_rows(what: str, outcomes: Sequence[Outcome], most_pairs: float | None = None) -> list[Row]:
    """Summarise sessions in which nothing was wrong.

    Args:
        what: where they come from.
        outcomes: of the sessions.
        most_pairs: mean number of pairs to stay under, if one is set.

    Returns:
        False decisions, mean likelihood ratio, mean pairs.
    """
    flagged = sum(o.decision == "slower" for o in outcomes)
    ratios = np.exp([min(o.log_evidence, 700.0) for o in outcomes])
    error = 1.96 * float(ratios.std()) / len(outcomes) ** 0.5
    mean = float(ratios.mean())
    return [
        share(
            f"{what}: sessions called throttled",
            flagged,
            len(outcomes),
            target=sequential.ALPHA,
            sense="at most",
        ),
        Row(
            what=f"{what}: mean likelihood ratio at the end",
            value=mean,
            target=1.0,
            low=max(mean - error, 0.0),
            high=mean + error,
            within_error=True,
        ),
        Row(
            what=f"{what}: mean pairs",
            value=float(np.mean([o.pairs for o in outcomes])),
            target=most_pairs,
        ),
    ]


def power_rows(what: str, outcomes: Sequence[Outcome], *, most_pairs: float) -> list[Row]:
    """Summarise sessions in which the target was slower.

    Args:
        what: how much slower, and how the pairs were made.
        outcomes: of the sessions.
        most_pairs: 95th percentile of pairs to stay under.

    Returns:
        Share found, pairs needed, coverage of the slowdown's interval.
    """
    found = sum(o.decision == "slower" for o in outcomes)
    covered = [o.covered for o in outcomes if o.covered is not None]
    return [
        share(f"{what}: found", found, len(outcomes), target=0.99),
        Row(
            what=f"{what}: 95th percentile of pairs",
            value=float(np.quantile([o.pairs for o in outcomes], 0.95)),
            target=most_pairs,
        ),
        share(
            f"{what}: interval of the slowdown covers the truth",
            sum(covered),
            len(covered),
            target=0.93,
        ),
    ]
