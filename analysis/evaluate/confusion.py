"""Expected against found: counts, and the F1 score of each class. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

import msgspec


class Score(msgspec.Struct, frozen=True):
    """How well one class is told: how often it was the truth, how often found, how often both."""

    name: str
    true: int
    found: int
    both: int

    @property
    def f1(self) -> float:
        """Harmonic mean of precision and recall; 0 where the class was never found."""
        return 2.0 * self.both / (self.true + self.found)


def scores(pairs: Sequence[tuple[str, str]], *, nothing: str) -> list[Score]:
    """Score every class that was true at least once.

    Args:
        pairs: (true class, found class) of each case.
        nothing: the class that stands for none of the others; it has no score.

    Returns:
        One score a class, by name.
    """
    true = Counter(truth for truth, _ in pairs)
    found = Counter(answer for _, answer in pairs)
    both = Counter(truth for truth, answer in pairs if truth == answer)
    return [
        Score(name, true[name], found[name], both[name]) for name in sorted(true) if name != nothing
    ]


def macro_f1(found: Sequence[Score]) -> float | None:
    """Average the F1 of classes, each with the same weight; None where there are none."""
    return sum(score.f1 for score in found) / len(found) if found else None


def counted(pairs: Iterable[tuple[str, str]]) -> tuple[list[str], list[list[str]]]:
    """Lay a confusion table out.

    Args:
        pairs: (expected, found) of each case.

    Returns:
        The heading and the rows: one row an expected class, one column a found one; a count of
        nought is left empty.
    """
    counts = Counter(pairs)
    expected = sorted({truth for truth, _ in counts})
    found = sorted({answer for _, answer in counts})
    rows = [[truth, *(str(counts[truth, answer] or "") for answer in found)] for truth in expected]
    return ["expected \\ found", *found], rows


def table(heading: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Write a Markdown table whose columns line up, so that it reads well as text too.

    Args:
        heading: of each column.
        rows: cells, as many as there are columns.

    Returns:
        Lines, the last one ended.
    """
    cells = [list(heading), *map(list, rows)]
    widths = [max(3, *map(len, column)) for column in zip(*cells, strict=True)]
    cells.insert(1, ["-" * width for width in widths])
    lines = (
        " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        for row in cells
    )
    return "".join(f"| {line} |\n" for line in lines)
