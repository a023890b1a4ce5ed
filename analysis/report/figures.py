"""What the report shows of each service: its plots, and the table of its networks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import msgspec
from markupsafe import Markup
from matplotlib.figure import Figure

from analysis import known
from analysis.areas import Area
from analysis.baseline import PAST
from analysis.data import Data
from analysis.detect import Detection
from analysis.events import Event
from analysis.merge import BAD
from analysis.plots import calendar, crowd, trials
from analysis.plots.style import bit_rate, to_svg
from analysis.rates import Mode
from analysis.runfiles import Session
from analysis.shares import percent

_MOST_ROWS: Final = 60


class Plot(msgspec.Struct, frozen=True):
    """One drawn figure. ``svg`` is safe markup; ``caption`` says how to read it."""

    svg: Markup
    caption: str


class EventLine(msgspec.Struct, frozen=True):
    """One event in words; ``known`` is the known event it is taken to be."""

    text: str
    networks: list[str]
    known: str


class Section(msgspec.Struct, frozen=True):
    """One service and kind. ``lead`` is what its networks say together; may be empty.

    ``hint`` says what was unusual for a line and hour: where to look, not evidence.
    """

    service: str
    kind: str
    lead: str
    hint: str
    events: list[EventLine]
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
        A section a service and kind, those interfered with first.
    """
    sessions: dict[tuple[str, str], list[Session]] = {}
    for session in data.sessions:
        first = session.trials[0]
        sessions.setdefault((first.service, first.subject), []).append(session)
    weight = {key: at for at, key in enumerate((*BAD, "slow_line", "inconclusive", "normal"))}
    keys: dict[tuple[str, str], int] = {}
    for finding in detection.findings:
        key = (finding.service, finding.kind)
        keys[key] = min(keys.get(key, len(weight)), weight[finding.verdict])
    ordered = sorted(keys, key=lambda key: (keys[key], key))
    return [_section(key, sessions.get(key, []), detection) for key in ordered]


def _section(key: tuple[str, str], sessions: Sequence[Session], detection: Detection) -> Section:
    service, kind = key
    plots = [
        Plot(_svg(figure, f"{service}-{kind}-{name}"), caption)
        for name, figure, caption in _of_sessions(key, sessions)
    ]
    mine = [a for a in detection.areas if a.cell[:2] == key and _is_crowd(a)]
    plots += [
        Plot(_svg(figure, f"{service}-{kind}-{name}"), caption)
        for name, figure, caption in _of_areas(key, mine, detection)
    ]
    judged = sorted((a for a in mine if a.answer != "too little"), key=_slowest_first)
    return Section(
        service,
        kind,
        _lead(mine, detection.modes.get(key)),
        _hint(*detection.unusual.get(key, (0, 0))),
        [_event_line(event) for event in detection.timeline.events if _is(event, key)],
        plots,
        judged[:_MOST_ROWS],
        len(judged[_MOST_ROWS:]),
        len(mine) - len(judged),
    )


def _is_crowd(area: Area) -> bool:
    """Tell whether a network's sessions come from many lines: one line's are no crowd."""
    return not area.judged or area.answer != "too little"


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
        ("days", calendar.days(rolled.tests, areas, service, marks(key, detection)), _DAYS),
    ]


def marks(key: tuple[str, str], detection: Detection) -> list[calendar.Mark]:
    """Return the dated lines of a service's plots: known events, and those found.

    Args:
        key: service and kind.
        detection: what was found.
    """
    events = [event for event in detection.timeline.events if _is(event, key)]
    windows = [f.window for f in detection.findings if (f.service, f.kind) == key]
    start, end = min(w.start for w in windows), max(w.end for w in windows)
    return [
        calendar.Mark(item.when, item.label)
        for item in known.of_service(known.load(), key[0], start, end)
    ] + [
        calendar.Mark(event.at, f"{event.what} found", found=True)
        for event in events
        if not event.before_data
    ]


def _is(event: Event, key: tuple[str, str]) -> bool:
    return (event.service, event.kind) == key


def _lead(areas: Sequence[Area], rate: Mode | None) -> str:
    """Say in a sentence a country what its networks say together."""
    sentences = []
    judged = [area for area in areas if area.answer != "too little"]
    for country in sorted({area.country for area in judged}):
        here = [area for area in judged if area.country == country]
        slowed = sum(area.answer == "slowed" for area in here)
        if slowed:
            sentences.append(
                f"{country}: slowed on {slowed} of {len(here)} networks that have enough tests."
            )
    if rate:
        sentences.append(
            f"Slow tests gather at {bit_rate(rate.rate_bps)} "
            f"({bit_rate(rate.low_bps)} to {bit_rate(rate.high_bps)}): "
            f"{percent(rate.inside, rate.n)} are within 10 % of it, on lines of every speed."
        )
    return " ".join(sentences)


def _hint(far: int, total: int) -> str:
    if not far:
        return ""
    return (
        f"Of {total} sessions on lines with a past of {PAST} or more, {far} were far below what is "
        "usual for the line at that hour of the week. That is a hint where to look, not evidence."
    )


def _event_line(event: Event) -> EventLine:
    what = "Slowed" if event.what == "onset" else "No longer slowed"
    near = known.match(event, known.load())
    if event.before_data:
        text = f"{what} already when the data begin"
    else:
        text = (
            f"{what} since {event.at:%Y-%m-%d %H:%M} UTC, between {event.earliest:%d %b %H:%M} "
            f"and {event.latest:%d %b %H:%M}"
        )
    networks = [f"{place.country} AS{place.asn} {place.network or ''}" for place in event.places]
    source = f"{near.label}, {near.when:%Y-%m-%d}: {near.scope} ({near.source})" if near else ""
    return EventLine(text, networks, source)


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
_TRANSFERS: Final[list[tuple[str, Draw, str]]] = [
    ("goodput", trials.goodput, _GOODPUT),
    ("timeline", trials.timeline, _TIMELINE),
]
_BY_KIND: Final[dict[str, list[tuple[str, Draw, str]]]] = {
    "fetch": _TRANSFERS,
    "upload": _TRANSFERS,
    "call": [("loss", trials.loss, _LOSS)],
}
