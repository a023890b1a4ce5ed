"""Plots of many sessions: networks and rates."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analysis import bins
from analysis.areas import Area
from analysis.intervals import wilson
from analysis.plots import style
from analysis.rollup import Columns, groups

_MOST_AREAS: Final = 30
_NAME_CHARS: Final = 34
_LOOK: Final = {
    "slowed": (style.TARGET, "D", "slower than chance allows"),
    "clear": (style.CONTROL, "o", "cleared"),
    "open": (style.NEUTRAL, "s", "too few to tell"),
}


def label(area: Area) -> str:
    """Name a network: ``AS12389 PJSC Rostelecom``."""
    name = (area.network or "").strip()
    short = name if len(name) <= _NAME_CHARS else name[: _NAME_CHARS - 1] + "…"
    return f"AS{area.asn} {short}".strip()


def areas(found: Sequence[Area], title: str) -> Figure:
    """Draw each network's share of slow votes with its 95 % interval, the largest first.

    Args:
        found: tested cells of one service.
        title: what the plot shows.
    """
    judged = sorted((a for a in found if a.answer != "too little"), key=lambda a: -a.votes)
    shown = sorted(judged[:_MOST_AREAS], key=lambda a: a.vote_hits / max(a.votes, 1))
    with style.styled():
        figure, (axes,) = style.canvas(1.2 + 0.19 * max(len(shown), 4))
        more = f", the {len(shown)} with most of {len(judged)}" if len(judged) > len(shown) else ""
        style.head(figure, f"{title}: share of tests slower than ¼ of control{more}")
        if not shown:
            style.nothing(axes, "no network has enough sessions")
            return figure
        for answer, (colour, marker, text) in _LOOK.items():
            rows = [(y, area) for y, area in enumerate(shown) if area.answer == answer]
            if not rows:
                continue
            for y, area in rows:
                low, high = wilson(area.vote_hits, area.votes)
                axes.plot([low, high], [y, y], "-", color=colour, lw=1.4)
            at = [area.vote_hits / area.votes for _, area in rows]
            axes.plot(at, [y for y, _ in rows], marker, color=colour, ms=5, ls="", label=text)
        axes.axvline(shown[0].null.share, color=style.EVENT, ls=":", label="by chance")
        axes.set_yticks(range(len(shown)), [f"{label(a)}  n={a.votes}" for a in shown])
        axes.tick_params(axis="y", labelsize=7.5)
        axes.set_xlim(-0.02, 1.02)
        axes.grid(visible=True, axis="x")
        style.percent_axis(axes, "x")
        axes.legend(loc="lower right")
        return figure


def rates(target: Columns, control: Columns, slow: Columns, title: str) -> Figure:
    """Draw how often each speed was measured: all targets, slow targets and controls.

    Args:
        target: :func:`analysis.rollup.speeds` of the target arm, one service.
        control: the same of the control arm.
        slow: :func:`analysis.rollup.rates`, one service.
        title: what the plot shows.
    """
    with style.styled():
        figure, (axes,) = style.canvas(2.6)
        style.head(figure, f"{title}: speeds measured")
        for columns, text, colour, line in (
            (control, "control", style.CONTROL, "--"),
            (target, "target", style.TARGET, "-"),
        ):
            _steps(axes, columns, (text, colour, line))
        if len(slow["n"]):
            middle = bins.quantile(slow["bin"], slow["n"], 0.5, bins.RATE_BINS_PER_OCTAVE)
            axes.axvline(middle, color=style.EVENT, ls=":")
            axes.annotate(
                f"median of slow pairs\n{style.bit_rate(middle)} (n = {slow['n'].sum()})",
                (middle, 1),
                (4, -2),
                xycoords=("data", "axes fraction"),
                textcoords="offset points",
                va="top",
                fontsize=8,
            )
        style.rate_axis(axes, "x")
        axes.set_ylabel("tests")
        axes.legend(loc="upper right")
        return figure


def _steps(axes: Axes, columns: Columns, look: tuple[str, str, str]) -> None:
    text, colour, line = look
    if not len(columns["n"]):
        return
    low, high = int(columns["bin"].min()), int(columns["bin"].max())
    counts = np.bincount(columns["bin"] - low, columns["n"], minlength=high - low + 1)
    edges = 2.0 ** (np.arange(low, high + 2) / bins.BINS_PER_OCTAVE)
    axes.stairs(
        counts, edges, color=colour, ls=line, lw=1.4, label=f"{text} (n = {int(counts.sum())})"
    )


def of_service(columns: Columns, service: str, kind: str) -> Columns:
    """Return the rows of a roll-up that belong to one service."""
    rows = groups(columns, ("service", "kind")).get((service, kind), slice(0, 0))
    return {name: values[rows] for name, values in columns.items()}
