"""The days of an event: which share of a network's tests was slow, day by day."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

import msgspec
import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LinearSegmentedColormap, Normalize
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from analysis.areas import Area
from analysis.baseline import is_hit
from analysis.plots import style
from analysis.plots.crowd import label
from analysis.rollup import Columns, groups

_MOST_NETWORKS: Final = 24
_HOURS_PER_DAY: Final = 24
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_SHADES: Final = LinearSegmentedColormap.from_list("slow", [style.CONTROL, "#9AA0A6", style.TARGET])


class Mark(msgspec.Struct, frozen=True):
    """A dated line to draw: what happened, or what was found."""

    when: datetime
    text: str
    found: bool = False


def days(tests: Columns, found: Sequence[Area], title: str, marks: Sequence[Mark] = ()) -> Figure:
    """Draw a dot a network and day: its colour the share of slow tests, its size their number.

    A day without tests stays empty, which says nothing either way.

    Args:
        tests: :func:`analysis.rollup.tests`.
        found: tested cells of one service; the flagged ones with most tests are shown.
        title: what the plot shows.
        marks: events to draw.
    """
    chosen = sorted((a for a in found if a.answer == "slowed"), key=lambda a: -a.sessions)
    chosen = chosen[:_MOST_NETWORKS][::-1]
    with style.styled():
        figure, (axes,) = style.canvas(1.5 + 0.2 * max(len(chosen), 3))
        style.head(figure, f"{title}: share of slow tests by day (UTC)")
        if not chosen:
            style.nothing(axes, "no network was found slowed")
            return figure
        places = groups(tests)
        for row, area in enumerate(chosen):
            cell = (area.service, area.kind, area.country, area.asn)
            _dots(axes, row, tests, places[cell], area.null.offset_bins)
        axes.set_yticks(range(len(chosen)), [f"{label(a)}  n={a.sessions}" for a in chosen])
        axes.tick_params(axis="y", labelsize=7.5)
        axes.set_ylim(-0.8, len(chosen) - 0.2)
        _dates(axes)
        _draw_marks(axes, marks)
        shades = ScalarMappable(Normalize(0, 1), _SHADES)
        bar = figure.colorbar(shades, ax=axes, fraction=0.025, pad=0.01)
        bar.ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:.0f} %"))
        return figure


def _dots(axes: Axes, row: int, tests: Columns, rows: slice, offset_bins: int) -> None:
    here = {name: values[rows] for name, values in tests.items()}
    day, index = np.unique(here["hour"] // _HOURS_PER_DAY, return_inverse=True)
    n = np.bincount(index, here["n"])
    k = np.bincount(index, here["n"] * is_hit(here, offset_bins))
    at = [_EPOCH + timedelta(days=float(value) + 0.5) for value in day]
    axes.scatter(
        at,  # type: ignore[arg-type]  # dates are what a date axis takes
        np.full(len(day), row),
        s=8 + 14 * np.log2(1 + n),
        c=k / n,
        cmap=_SHADES,
        vmin=0,
        vmax=1,
        linewidths=0,
        alpha=0.9,
    )


def _dates(axes: Axes) -> None:
    locator = AutoDateLocator(tz=UTC)  # type: ignore[no-untyped-call]
    axes.xaxis.set_major_locator(locator)
    form = ConciseDateFormatter(locator, tz=UTC, show_offset=False)  # type: ignore[no-untyped-call]
    axes.xaxis.set_major_formatter(form)


def _draw_marks(axes: Axes, marks: Sequence[Mark]) -> None:
    low, high = axes.get_xlim()
    for mark in marks:
        line = axes.axvline(
            mark.when,  # type: ignore[arg-type]  # dates are what a date axis takes
            color=style.EVENT,
            ls="-" if mark.found else ":",
            lw=1.2,
        )
        axes.annotate(
            mark.text,
            (line.get_xdata()[0], 1),  # type: ignore[index]  # a vertical line has two points
            (3 if mark.found else -3, 3),
            xycoords=("data", "axes fraction"),
            textcoords="offset points",
            ha="left" if mark.found else "right",
            fontsize=7.5,
            color=style.EVENT,
        )
    axes.set_xlim(low, high)
