"""The mechanism at rates its thresholds were not chosen at: one rate left out after the other.

For each fold of a sweep (all runs at one rate) the thresholds of the mechanism's rules are chosen
anew, on the runs of the other folds alone, by the macro F1 of a small grid; the fold left out says
how well they do. The shipped thresholds, chosen before any of these runs was made, stand beside.
Not chosen anew are the marks of a policer in one transfer, whose thresholds come from captures.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import product
from typing import Final

import msgspec
import numpy as np

from analysis import conclude_slow, judge_fetch, mechanism, sequential
from analysis.evaluate.confusion import macro_f1, scores
from analysis.evaluate.lab_compare import NOTHING, Outcome
from analysis.evaluate.tables import Report, Row
from analysis.fetch_case import FetchCase
from analysis.finding import Finding
from analysis.mechanism import Thresholds, Transfers
from analysis.merge import merge_cell
from analysis.pairs import is_compared, pair_up
from analysis.verdict import judge
from probe.measurement import Measurement

#: What is chosen from, per threshold.
GRID: Final[Mapping[str, tuple[float, ...]]] = {
    "queue_ratio": (1.25, 1.5, 1.75, 2.0, 2.5),
    "receiver_queue_ratio": (2.0, 2.5, 3.0, 4.0),
    "steady": (0.03, 0.05, 0.08),
    "drop_ratio": (0.01, 0.02, 0.03, 0.05, 0.08),
}
_TARGET: Final = 0.90

Named = tuple[str, str]


class Case(msgspec.Struct, frozen=True, kw_only=True):
    """One service of a run: what was found, and from what its mechanism is read.

    ``sessions`` are their findings, and the transfers of those that were slower than the control.
    """

    fold: str
    outcome: Outcome
    sessions: tuple[tuple[Finding, Transfers | None], ...]


def case(fold: str, found: Outcome, sessions: Sequence[list[Measurement]]) -> Case:
    """Read once from the sessions of a service what every choice of thresholds looks at.

    Args:
        fold: of the run.
        found: its outcome.
        sessions: the service's sessions, oldest first.

    Returns:
        The case.
    """
    read = []
    for trials in sessions:
        finding = judge(trials)
        read.append((finding, _transfers(finding, trials)))
    return Case(fold=fold, outcome=found, sessions=tuple(read))


def _transfers(finding: Finding, trials: Sequence[Measurement]) -> Transfers | None:
    """Read what the mechanism of a throttled session was told by."""
    if finding.verdict != "throttled":
        return None
    pairs = pair_up(trials)
    reading = judge_fetch.read(pairs, sequential.scale(finding.grade), 0.0)
    slow = FetchCase(
        service=finding.service,
        grade=finding.grade,
        pairs=pairs,
        beside=tuple(trial for trial in trials if not is_compared(trial)),
        reading=reading,
        offset=0.0,
    )
    return conclude_slow.transfers(slow) if slow.compared else None


def answer(one: Case, thresholds: Thresholds) -> Named | None:
    """Name a case's mechanism by given thresholds.

    Args:
        one: the case.
        thresholds: of the rules.

    Returns:
        True and found mechanism; ``None`` of a case that has none to name.
    """
    findings = [
        msgspec.structs.replace(found, mechanism=mechanism.classify(seen, thresholds).mechanism)
        if seen is not None
        else found
        for found, seen in one.sessions
    ]
    if not findings:
        return one.outcome.mechanisms
    return msgspec.structs.replace(one.outcome, finding=merge_cell(findings)).mechanisms


def report(cases: Sequence[Case], title: str) -> Report:
    """Leave one fold out after the other.

    Args:
        cases: of all folds.
        title: of the report.

    Returns:
        One row for all folds together, one a fold, and those of the shipped thresholds.
    """
    candidates = list(_candidates())
    answers = [[answer(one, candidate) for one in cases] for candidate in candidates]
    shipped = [answer(one, mechanism.THRESHOLDS) for one in cases]
    folds: dict[str, list[int]] = defaultdict(list)
    for number, one in enumerate(cases):
        folds[one.fold].append(number)
    pooled: list[Named | None] = []
    rows = []
    for fold, left_out in folds.items():
        others = [number for number in range(len(cases)) if cases[number].fold != fold]
        best = _best([_f1(said[n] for n in others) for said in answers])
        unseen = [answers[best][number] for number in left_out]
        pooled += unseen
        rows.append(
            _row(
                f"... left out: {fold}",
                unseen,
                f"as shipped {_f1(shipped[n] for n in left_out):.2f}; "
                + ", ".join(f"{name} {getattr(candidates[best], name):g}" for name in GRID),
            )
        )
    whole = _row("mechanism, macro F1 at rates left out, all together", pooled, _misses(pooled))
    beside = Row(
        what="... with the thresholds as shipped", value=_f1(shipped), note=_misses(shipped)
    )
    return Report(title=title, rows=(whole, *rows, beside))


def _candidates() -> Iterator[Thresholds]:
    for values in product(*GRID.values()):
        chosen = dict(zip(GRID, values, strict=True))
        yield msgspec.structs.replace(mechanism.THRESHOLDS, **chosen)


def _best(f1: Sequence[float]) -> int:
    """Pick the best of the grid; of several, the one in their middle, farthest from any edge."""
    places = np.array(list(np.ndindex(*map(len, GRID.values()))))
    equals = np.flatnonzero(np.array(f1) >= max(f1) - 1e-9)
    off = np.abs(places[equals] - places[equals].mean(axis=0)).sum(axis=1)
    return int(equals[off.argmin()])


def _f1(said: Iterable[Named | None]) -> float:
    return macro_f1(scores([pair for pair in said if pair], nothing=NOTHING)) or 0.0


def _row(what: str, said: Sequence[Named | None], note: str) -> Row:
    return Row(what=what, value=_f1(said), target=_TARGET, sense="at least", note=note)


def _misses(said: Sequence[Named | None]) -> str:
    named = [pair for pair in said if pair]
    wrong = Counter(pair for pair in named if pair[0] != pair[1])
    listed = (f"{true} taken for {found} {count}" for (true, found), count in wrong.most_common())
    return "; ".join((f"{len(named)} answers", *listed))
