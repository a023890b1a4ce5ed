"""Does an address answer at all? One session of TCP connects to one verdict."""

from __future__ import annotations

import math
from collections.abc import Sequence

from analysis import repeats, sentences, sequential
from analysis.conclusion import Conclusion
from analysis.pairs import Pair
from probe import failure as f


def conclude(service: str, grade: str, pairs: Sequence[Pair]) -> Conclusion:
    """Judge one session of reach trials.

    Args:
        service: its name, for the sentence.
        grade: kind of the control.
        pairs: target and control connects.

    Returns:
        ``blocked``, ``normal`` or ``inconclusive``.
    """
    worked = [pair for pair in pairs if pair.control.failure is None]
    failures = [p.target.failure for p in worked if repeats.may_be_blocking(p.target.failure)]
    known = [failure for failure in failures if failure is not None]
    passed = [pair for pair in worked if pair.target.failure is None]
    odds = repeats.log_evidence(len(known), len(passed))
    count = len(known) + len(passed)
    if len(known) >= repeats.MIN_FAILURES and odds >= -math.log(sequential.ALPHA):
        how = repeats.mechanism(known)
        return Conclusion(
            verdict="blocked",
            mechanism=how,
            pairs=count,
            decided=True,
            log_odds=odds,
            why=f"{service} cannot be reached: {sentences.BLOCKED_BY[how]} "
            f"({sentences.most_common(known)}) in {len(known)} of {count} tries, while the "
            f"control answered each time ({sentences.GRADES[grade]}).",
        )
    if passed and odds <= math.log(sequential.BETA):
        return Conclusion(
            verdict="normal",
            pairs=count,
            decided=True,
            log_odds=odds,
            why=f"{service} can be reached: {len(passed)} of {count} connects worked "
            f"({sentences.evidence(count, grade)}).",
        )
    return Conclusion(
        verdict="inconclusive",
        pairs=count,
        decided=False,
        log_odds=odds,
        why=f"Not sure about {service}: {_missing(pairs, len(known), count)}.",
    )


def _missing(pairs: Sequence[Pair], failed: int, count: int) -> str:
    if any(f.LOCAL & {pair.target.failure, pair.control.failure} for pair in pairs):
        return "this machine had no way out"
    if not count:
        reasons = (p.control.failure or p.target.failure or "" for p in pairs)
        return f"no usable pair ({sentences.most_common(reasons) or 'none was complete'})"
    return f"{failed} of {count} connects failed, which is too few to tell"
