"""What the report shows of each service: its plots, and the table of its networks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import msgspec
from markupsafe import Markup
from matplotlib.figure import Figure

from analysis.areas import Area
from analysis.data import Data
from analysis.detect import Detection
from analysis.plots import calendar, crowd, trials
from analysis.plots.style import to_svg
from analysis.runfiles import Session

_MOST_ROWS: Final = 60


class Plot(msgspec.Struct, frozen=True):
    """One drawn figure. ``svg`` is safe markup; ``caption`` says how to read it."""

    svg: Markup
    caption: str


class Section(msgspec.Struct, frozen=True):
    """One service and kind."""

    service: str
    kind: str
    plots: list[Plot]
    areas: list[Area]
    areas_left_out: int
    too_little: int


def sections(data: Data, detection: Detection) -> list[Section]:
    """Draw every service.

    Args:
        data: what was opened.
        detection: what was found in it.

    Returns:
        A section a service and kind, in the order of their names.
    """
    sessions: dict[tuple[str, str], list[Session]] = {}
    for session in data.sessions:
        first = session.trials[0]
        sessions.setdefault((first.service, first.kind), []).append(session)
    keys = sorted({(finding.service, finding.kind) for finding in detection.findings})
    return [_section(key, sessions.get(key, []), detection) for key in keys]


def _section(key: tuple[str, str], sessions: Sequence[Session], detection: Detection) -> Section:
    service, kind = key
    plots = [
        Plot(_svg(figure, f"{service}-{kind}-{name}"), caption)
        for name, figure, caption in _of_sessions(key, sessions)
    ]
    mine = [a for a in detection.areas if (a.service, a.kind) == key and not a.judged]
    plots += [
        Plot(_svg(figure, f"{service}-{kind}-{name}"), caption)
        for name, figure, caption in _of_areas(key, mine, detection)
    ]
    judged = sorted((a for a in mine if a.answer != "too little"), key=_slowest_first)
    return Section(
        service,
        kind,
        plots,
        judged[:_MOST_ROWS],
        len(judged[_MOST_ROWS:]),
        len(mine) - len(judged),
    )


def _slowest_first(area: Area) -> tuple[bool, float, int]:
    return (
        area.answer != "slowed",
        -area.share if area.answer == "slowed" else 0.0,
        -area.sessions,
    )


def _of_sessions(
    key: tuple[str, str], sessions: Sequence[Session]
) -> list[tuple[str, Figure, str]]:
    service, kind = key
    if not sessions or kind not in _BY_KIND:
        return []
    return [(name, draw(sessions, service), text) for name, draw, text in _BY_KIND[kind]]


def _of_areas(
    key: tuple[str, str], areas: Sequence[Area], detection: Detection
) -> list[tuple[str, Figure, str]]:
    if not areas:
        return []
    service, kind = key
    rolled = detection.rolled
    target, control, slow = (
        crowd.of_service(columns, service, kind)
        for columns in (rolled.target, rolled.control, rolled.rates)
    )
    return [
        ("areas", crowd.areas(areas, service), _AREAS),
        ("rates", crowd.rates(target, control, slow, service), _RATES),
        ("days", calendar.days(rolled.tests, areas, service), _DAYS),
    ]


def _svg(figure: Figure, name: str) -> Markup:
    """Mark as safe what matplotlib wrote: it escapes the text it is given."""
    return Markup(to_svg(figure, name))  # noqa: S704  # see above


_GOODPUT: Final = (
    "Each pair fetched the same number of bytes from both, back to back in random order. "
    "An arrow down marks a transfer that ended early: it was slower still."
)
_TIMELINE: Final = (
    "A rate limit is a straight slope, the same in every transfer; a stop is a flat line."
)
_LOSS: Final = (
    "Both flows ran at once to the same server, with the same sizes and times; only the bytes "
    "differed. What the line does hits both, what a filter does hits one."
)
_AREAS: Final = (
    "A hit is a test slower than a quarter of its control in the same minute. One test per line "
    "and day counts. Bars are 95 % intervals, the dotted line is what chance explains."
)
_RATES: Final = (
    "A limiter gathers the slow tests in one narrow place, however fast the lines are. Bins are "
    "9 % wide."
)
_DAYS: Final = (
    "A dot is a network's day: its colour the share of slow tests, its size their number. Days "
    "without tests are empty, which says nothing either way."
)

Draw = Callable[[Sequence[Session], str], Figure]
_BY_KIND: Final[dict[str, list[tuple[str, Draw, str]]]] = {
    "fetch": [("goodput", trials.goodput, _GOODPUT), ("timeline", trials.timeline, _TIMELINE)],
    "call": [("loss", trials.loss, _LOSS)],
}
