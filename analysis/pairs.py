"""Trials into pairs: the unit of evidence is a target trial beside a control trial."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from probe.measurement import Measurement


class Pair(msgspec.Struct, frozen=True):
    """A target trial and the control trial of the same round."""

    target: Measurement
    control: Measurement


def is_compared(trial: Measurement) -> bool:
    """Say whether a trial may be half of a pair.

    Args:
        trial: any.

    Returns:
        False for what only tells how a target is slowed: several transfers at once, freeze tests.
    """
    fetch = trial.fetch
    return fetch is None or (fetch.parallel == 1 and not fetch.test.startswith("freeze"))


def pair_up(trials: Sequence[Measurement]) -> tuple[Pair, ...]:
    """Match targets with controls by round.

    Args:
        trials: of one session, in any order. Of a service ``control`` both arms are controls:
            the earlier one of a round is then taken as the target.

    Returns:
        Complete pairs in the order of their rounds; a trial without its partner is left out, and
        so is one that is not for comparing.
    """
    rounds: dict[int, list[Measurement]] = {}
    compared = filter(is_compared, trials)
    for trial in sorted(compared, key=lambda trial: (trial.round, trial.start, trial.id)):
        rounds.setdefault(trial.round, []).append(trial)
    pairs = []
    for group in rounds.values():
        targets = [trial for trial in group if trial.arm == "target"]
        controls = [trial for trial in group if trial.arm == "control"]
        if not targets and len(controls) > 1:
            targets = [controls.pop(0)]
        if targets and controls:
            pairs.append(Pair(targets[0], controls[0]))
    return tuple(pairs)
