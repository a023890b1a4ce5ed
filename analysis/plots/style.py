"""How every plot looks: colours told apart by colour-blind readers, legible on dark and light.

Lines and text take the page's own colour (``currentColor``) in an SVG; data take the Okabe-Ito
colours, always with a second channel (marker, line style or place) beside them. Backgrounds are
clear. Nothing of a plot comes from elsewhere: text is text, in the page's font.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

#: Okabe and Ito's colours (2008) that keep their contrast on black and on white.
TARGET: Final = "#D55E00"
CONTROL: Final = "#0072B2"
CONTROL_LIGHT: Final = "#3B9BD9"
UP: Final = "#D55E00"
DOWN: Final = "#009E73"
EVENT: Final = "#CC79A7"
NEUTRAL: Final = "#8A8A8A"
#: Stands for the page's text colour until the SVG is written.
INK: Final = "#010203"

WIDTH_IN: Final = 7.2

_RC: Final[dict[str, Any]] = {
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 9.0,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "grid.alpha": 0.18,
    "grid.linewidth": 0.6,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "grid.color": INK,
    "legend.frameon": False,
    "legend.fontsize": 8.5,
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "savefig.facecolor": "none",
    "svg.fonttype": "none",
    # What a record says is shown as it is: a dollar sign is no formula.
    "text.parse_math": False,
}
_WIDE: Final = 100


@contextmanager
def styled(salt: str = "plot") -> Iterator[None]:
    """Draw with the house style; the same ``salt`` gives the same bytes."""
    settings: Any = {**_RC, "svg.hashsalt": salt}
    with mpl.rc_context(settings):
        yield


def canvas(height_in: float = 2.6, rows: int = 1) -> tuple[Figure, list[Axes]]:
    """Make a figure of page width.

    Args:
        height_in: its height in inches.
        rows: panels, one above the other, on one horizontal axis.

    Returns:
        The figure and its panels, top to bottom.
    """
    figure = Figure(figsize=(WIDTH_IN, height_in), layout="constrained")
    panels = figure.subplots(rows, 1, squeeze=False, sharex=True)
    return figure, [row[0] for row in panels]


def head(figure: Figure, text: str) -> None:
    """Give a figure its title, flush left."""
    figure.suptitle(text, x=0.005, ha="left", fontsize=10, fontweight="bold")


def to_svg(figure: Figure, name: str) -> str:
    """Write a figure as an ``svg`` element to set into a page.

    Args:
        figure: the figure.
        name: unique in the page; keeps the identifiers of its figures apart.

    Returns:
        The element, without scripts, style sheets and outside references.
    """
    with styled(name):
        buffer = io.StringIO()
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = re.sub(r"<style[^>]*>.*?</style>", "", text, flags=re.DOTALL)
    prefix = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")
    text = re.sub(r'(\bid="|url\(#|href="#)', rf"\g<1>{prefix}-", text)
    text = text.replace(INK, "currentColor")
    return re.sub(r'(<svg[^>]*?) width="[^"]*pt"', r"\1", text)


def save(figure: Figure, path: str) -> None:
    """Write a figure to a file of its own, black on white.

    Args:
        figure: the figure.
        path: ends in ``.svg``, ``.png`` or ``.pdf``.
    """
    vector = path.endswith(".svg")
    with styled(Path(path).name):
        figure.savefig(
            path,
            facecolor="white",
            dpi=200,
            metadata={"Date": None, "Creator": None} if vector else None,
        )


def bit_rate(value: float, _: object = None) -> str:
    """Write a rate for people: ``128 kbit/s``, ``41 Mbit/s``."""
    for factor, unit in ((1e9, "Gbit/s"), (1e6, "Mbit/s"), (1e3, "kbit/s")):
        if abs(value) >= factor:
            return f"{value / factor:.3g} {unit}"
    return f"{value:.3g} bit/s"


def rate_axis(axes: Axes, which: str = "y") -> None:
    """Make an axis logarithmic, in bit/s, at least a decade long, labelled."""
    axis = axes.yaxis if which == "y" else axes.xaxis
    (axes.set_yscale if which == "y" else axes.set_xscale)("log")
    low, high = axes.get_ylim() if which == "y" else axes.get_xlim()
    if high < 10 * low:
        # Speeds that hardly differ are shown as hardly differing.
        middle = (low * high) ** 0.5
        low, high = middle / 10**0.75, middle * 10**0.75
        (axes.set_ylim if which == "y" else axes.set_xlim)(low, high)
    steps = (1.0,) if high > _WIDE * low else (1.0, 2.0, 5.0)
    axis.set_major_locator(LogLocator(subs=steps, numticks=12))
    axis.set_major_formatter(FuncFormatter(bit_rate))
    axis.set_minor_formatter(NullFormatter())


def percent_axis(axes: Axes, which: str = "y") -> None:
    """Label an axis of shares in percent."""
    axis = axes.yaxis if which == "y" else axes.xaxis
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:.0f} %"))


def nothing(axes: Axes, text: str) -> None:
    """Say in the panel that there is no data, which is not the same as no effect."""
    axes.text(0.5, 0.5, text, transform=axes.transAxes, ha="center", va="center", alpha=0.7)
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set_visible(False)
