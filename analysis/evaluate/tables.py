"""Rows of figures against targets, as text: what was counted, how sure, and whether it suffices."""

from __future__ import annotations

from typing import Literal

import msgspec

from analysis.intervals import wilson


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One figure.

    ``value`` is compared with ``target`` in the direction of ``sense``. A share has ``hits`` and
    ``tries`` and an interval, other figures may have neither. ``met`` is ``None`` without a
    target. With ``within_error`` the nearer end of the interval is what must keep it: for figures
    that lie at their target by construction.
    """

    what: str
    value: float | None
    unit: str = ""
    target: float | None = None
    sense: Literal["at least", "at most"] = "at most"
    hits: int | None = None
    tries: int | None = None
    low: float | None = None
    high: float | None = None
    within_error: bool = False
    note: str = ""

    @property
    def met(self) -> bool | None:
        """Whether the value keeps its target."""
        if self.target is None:
            return None
        if self.value is None:
            return False
        if self.sense == "at least":
            best = self.high if self.within_error and self.high is not None else self.value
            return best >= self.target
        best = self.low if self.within_error and self.low is not None else self.value
        return best <= self.target


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """Rows under one heading, with what a reader must know about them."""

    title: str
    rows: tuple[Row, ...]
    notes: tuple[str, ...] = ()

    def text(self) -> str:
        """Write the report as a Markdown table."""
        lines = [f"## {self.title}", "", *(f"{note}\n" for note in self.notes)]
        lines += [
            "| what | measured | 95 % interval | target | met |",
            "| --- | --- | --- | --- | --- |",
        ]
        for row in self.rows:
            met = {True: "yes", False: "**no**", None: ""}[row.met]
            cells = (row.what, _measured(row), _interval(row), _target(row), met)
            lines.append("| " + " | ".join(cells) + " |")
            if row.note:
                lines.append(f"| | {row.note} | | | |")
        return "\n".join(lines) + "\n"


def share(
    what: str,
    hits: int,
    tries: int,
    *,
    target: float | None = None,
    sense: Literal["at least", "at most"] = "at least",
    note: str = "",
) -> Row:
    """Make the row of a share, with its Wilson interval.

    Args:
        what: what is counted.
        hits: how many.
        tries: of how many.
        target: share to keep, if any.
        sense: on which side.
        note: anything the reader must know.

    Returns:
        The row, in percent.
    """
    low, high = wilson(hits, tries)
    return Row(
        what=what,
        value=100.0 * hits / tries if tries else None,
        unit="%",
        target=None if target is None else 100.0 * target,
        sense=sense,
        hits=hits,
        tries=tries,
        low=100.0 * low,
        high=100.0 * high,
        note=note,
    )


def _measured(row: Row) -> str:
    if row.value is None:
        return "none measured"
    counts = f" ({row.hits} of {row.tries})" if row.tries is not None else ""
    return f"{_number(row.value)} {row.unit}{counts}".replace("  ", " ").strip()


def _interval(row: Row) -> str:
    if row.low is None or row.high is None:
        return ""
    return f"{_number(row.low)} - {_number(row.high)}"


def _target(row: Row) -> str:
    return "" if row.target is None else f"{row.sense} {_number(row.target)} {row.unit}".strip()


def _number(value: float) -> str:
    return f"{value:.3g}"
