"""How well the mechanism is told at each rate of a sweep. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from analysis.evaluate.confusion import macro_f1, scores
from analysis.evaluate.lab_compare import NOTHING, Outcome
from analysis.evaluate.lab_matrix import Preset
from analysis.evaluate.tables import Report, Row

_TARGET: Final = 0.90

Named = tuple[str, str]


def report(outcomes: Iterable[Outcome], presets: Mapping[str, Preset], title: str) -> Report | None:
    """Score the mechanism at each rate of a sweep alone.

    The rules' thresholds were chosen before any of these runs was made, so every rate is one that
    they were not chosen at.

    Args:
        outcomes: of all runs.
        presets: they were made behind; those without a fold are left out.
        title: of the report.

    Returns:
        One row a fold and one for all together; ``None`` where no preset has a fold.
    """
    folds: dict[str, list[Named]] = {preset.fold: [] for preset in presets.values() if preset.fold}
    for item in outcomes:
        fold, pair = presets[item.cell.preset].fold, item.mechanisms
        if fold and pair:
            folds[fold].append(pair)
    if not folds:
        return None
    pooled = [pair for named in folds.values() for pair in named]
    rows = [_row("mechanism, macro F1 at all rates", pooled)]
    rows += [_row(f"... at {fold}, or as gravely", named) for fold, named in folds.items()]
    return Report(title=title, rows=tuple(rows))


def _row(what: str, named: Sequence[Named]) -> Row:
    f1 = macro_f1(scores(named, nothing=NOTHING))
    return Row(what=what, value=f1, target=_TARGET, sense="at least", note=_misses(named))


def _misses(named: Sequence[Named]) -> str:
    wrong = Counter(pair for pair in named if pair[0] != pair[1])
    listed = (f"{true} taken for {found} {count}" for (true, found), count in wrong.most_common())
    return "; ".join((f"{len(named)} answers", *listed))
