"""The case study of Twitter in Russia, spring 2021, written from the measurements alone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import numpy as np

from analysis import known
from analysis.areas import Area
from analysis.evaluate.areas import LIFT, MOBILE, SERVICE, Evaluated, evaluated_report
from analysis.events import Event
from analysis.plots import calendar, crowd, style
from analysis.plots.style import bit_rate
from analysis.shares import below, percent

_KEY: Final = (SERVICE, "fetch")
_MOST_ROWS: Final = 25
_FAST_BPS: Final = 1e6
_CREDIT: Final = (
    'Data: "Russia Twitter Throttle Dataset" by Andrey Viktorov and Leonid Evdokimov '
    "(4ndv/russia-twitter-throttle), CC BY 4.0; it contains data from the CAIDA UCSD Routeviews "
    "Prefix to AS mappings and Inferred AS to Organization Mapping data sets. The event is "
    'described in Xue et al., "Throttling Twitter: an emerging censorship technique in Russia", '
    "IMC 2021."
)


def write(found: Evaluated, page: Path) -> None:
    """Write the study and its plots.

    Args:
        found: the measurements, analysed.
        page: the Markdown file; plots go to a folder of its name beside it.
    """
    folder = page.with_suffix("")
    folder.mkdir(parents=True, exist_ok=True)
    _draw(found, folder)
    page.write_text("\n".join(_lines(found, folder.name)) + "\n", encoding="utf-8")


def _draw(found: Evaluated, folder: Path) -> None:
    areas = [network.area for network in found.networks]
    rolled = found.rolled
    target, control, slow = (
        crowd.of_service(part, *_KEY) for part in (rolled.target, rolled.control, rolled.rates)
    )
    marks = [
        calendar.Mark(event.when, event.label)
        for event in known.of_service(known.load(), SERVICE, *_window(areas))
    ]
    for name, figure in (
        ("networks", crowd.areas(areas, "Twitter")),
        ("speeds", crowd.rates(target, control, slow, "Twitter")),
        ("days", calendar.days(rolled.tests, areas, "Twitter", marks)),
    ):
        style.save(figure, str(folder / f"{name}.svg"))


def _lines(found: Evaluated, folder: str) -> Iterator[str]:
    areas = [network.area for network in found.networks]
    judged = [area for area in areas if area.answer != "too little"]
    slowed = [area for area in judged if area.answer == "slowed"]
    start, end = _window(areas)
    yield "# Twitter in Russia, spring 2021: what volunteers' browsers measured"
    yield ""
    yield from _summary(found, slowed, judged)
    yield "## What was measured"
    yield ""
    yield (
        f"Between {start:%d %B} and {end:%d %B %Y} a web page let visitors' browsers fetch a file "
        "from `abs.twimg.com`, one from a neutral host, and one from a neutral host whose name "
        "contains `t.co`, and recorded the three speeds with the network and a five-minute time. "
        f"{_tests(areas):,} tests of {len(areas)} networks with at least ten tests are used here. "
        "The first two speeds make a pair of grade C (another network's server as the control); "
        "the last two compare controls with each other, which shows how far two downloads differ "
        "when nobody is in the way. A test is a *hit* when Twitter was slower than a quarter of "
        "its control in the same minutes. One test per line (a /24 or /48) and day has a vote."
    )
    yield ""
    yield from _networks(slowed, judged, folder)
    yield from _rate(found, slowed, folder)
    yield from _dates(found, folder)
    yield from _after(found, slowed)
    yield from _limits(found)
    yield "## How often this is right"
    yield ""
    yield "Truth here is the share of a network's tests between 60 and 200 kbit/s."
    yield ""
    yield evaluated_report(found).text()
    yield "## Again"
    yield ""
    yield "    analysis evaluate twitter2021 measurements.csv.gz --write docs/twitter-2021.md"
    yield ""
    yield _CREDIT


def _summary(found: Evaluated, slowed: Sequence[Area], judged: Sequence[Area]) -> Iterator[str]:
    rate = found.modes.get(_KEY)
    russian = [area for area in judged if area.country == "RU"]
    lifts = _events(found, "lift")
    last = lifts[-1] if lifts else None
    abroad = sum(area.country != "RU" for area in slowed)
    where = f"{len(slowed) - abroad} of {len(russian)} Russian networks with enough tests"
    others = f"{abroad} of {len(judged) - len(russian)} elsewhere"
    sentences = [f"On {where}, and on {others}, Twitter was slowed far beyond chance."]
    if rate:
        sentences.append(
            f"Browsers saw it held to about {bit_rate(rate.rate_bps)} "
            f"({bit_rate(rate.low_bps)} to {bit_rate(rate.high_bps)}) on lines of every speed."
        )
    if last:
        sentences.append(
            f"On {_names(last)} it ended on {last.at:%d %B} at about {last.at:%H:%M} UTC (between "
            f"{last.earliest:%d %B %H:%M} and {last.latest:%d %B %H:%M}); on mobile networks it "
            "did not."
        )
    yield f"**{' '.join(sentences)}**"
    yield ""


def _networks(slowed: Sequence[Area], judged: Sequence[Area], folder: str) -> Iterator[str]:
    partly = [area for area in slowed if area.target_bps and area.target_bps > _FAST_BPS]
    null = judged[0].null if judged else None
    russian = next((area.null for area in judged if area.country == "RU"), null)
    yield "## Where"
    yield ""
    yield f"![Share of slow tests by network]({folder}/networks.svg)"
    yield ""
    if russian:
        yield (
            f"Chance explains {100 * russian.share:.1f} % of hits ({russian.source}). All networks "
            "are tested together, so that at most 5 % of the names below are here by chance."
        )
        yield ""
    yield (
        f"Throttling was partial on many networks: on {len(partly)} of the {len(slowed)} the "
        "*median* test was faster than 1 Mbit/s, so that a median would have called them fine."
    )
    yield ""
    yield "| network | tests | lines | hits, one vote a line and day | their speed | control | q |"
    yield "| --- | ---: | ---: | --- | ---: | ---: | ---: |"
    for area in sorted(slowed, key=lambda area: -area.sessions)[:_MOST_ROWS]:
        speeds = [bit_rate(speed) if speed else "" for speed in (area.hit_bps, area.control_bps)]
        yield (
            f"| {area.country} {crowd.label(area)} | {area.sessions} | {area.probes} | "
            f"{percent(area.vote_hits, area.votes)} | {speeds[0]} | {speeds[1]} | "
            f"{below(area.q_value).removeprefix('= ')} |"
        )
    if len(slowed) > _MOST_ROWS:
        yield ""
        yield f"{len(slowed) - _MOST_ROWS} smaller ones are not listed."
    yield ""


def _rate(found: Evaluated, slowed: Sequence[Area], folder: str) -> Iterator[str]:
    rate = found.modes.get(_KEY)
    yield "## How slow"
    yield ""
    yield f"![Speeds measured]({folder}/speeds.svg)"
    yield ""
    if rate:
        control = float(np.median([area.control_bps or 0.0 for area in slowed]))
        yield (
            f"Slow tests gather at {bit_rate(rate.rate_bps)}: {percent(rate.inside, rate.n)} lie "
            f"within 10 % of it, while the controls of the same lines have a median of "
            f"{bit_rate(control)} and spread over two decades. That is what a limiter does and "
            "congestion does not. The limit on the wire is higher: the IMC study, which replayed "
            "packets, found 130 to 150 kbit/s; a browser counts payload only and its TCP stalls "
            "when packets over the limit are dropped. The interval comes from drawing networks "
            "with replacement."
        )
        yield ""


def _dates(found: Evaluated, folder: str) -> Iterator[str]:
    yield "## Since when, and until when"
    yield ""
    yield f"![Share of slow tests by day]({folder}/days.svg)"
    yield ""
    yield (
        "Each network is followed alone: the mix of networks that report drifts from week to week, "
        "and a pooled series then moves though no network did."
    )
    yield ""
    for event in found.timeline.events:
        what = "slowed" if event.what == "onset" else "no longer slowed"
        if event.before_data:
            yield f"* {what} already when the data begin: {len(event.places)} networks."
            continue
        near = known.match(event, known.load())
        told = f" Known: {near.scope} ({near.source})." if near else ""
        yield (
            f"* {_names(event)}: {what} since {event.at:%d %B %H:%M} UTC, between "
            f"{event.earliest:%d %B %H:%M} and {event.latest:%d %B %H:%M}.{told}"
        )
    yield ""


def _after(found: Evaluated, slowed: Sequence[Area]) -> Iterator[str]:
    counts = {"landline": (0, 0), "mobile": (0, 0)}
    starts = np.asarray(found.rows["start_s"])
    service = np.asarray(found.rows["service"].to_pylist(), dtype=object) == SERVICE
    for area in slowed:
        kind = "mobile" if MOBILE.search(area.network or "") else "landline"
        here = service & (np.asarray(found.rows["asn"]) == area.asn) & (starts > LIFT.timestamp())
        hits = int(np.asarray(found.rows["hits"])[here].sum())
        counts[kind] = counts[kind][0] + hits, counts[kind][1] + int(here.sum())
    yield (
        "After the announced end of 17 May, 13:40 UTC, on the networks that had been slowed: "
        f"landlines {percent(*counts['landline'])} of tests slow, mobile networks "
        f"{percent(*counts['mobile'])}. (Which operators are mobile is read from their names.)"
    )
    yield ""


def _limits(found: Evaluated) -> Iterator[str]:
    areas = [network.area for network in found.networks]
    few = sum(area.answer == "too little" for area in areas)
    taco = sorted(
        (area for area in found.controls if area.hits and area.p_value < _ODD),
        key=lambda area: area.p_value,
    )
    yield "## What this does not show"
    yield ""
    yield (
        "* Who tested chose to, most of them in the first days, when Twitter was in the news; the "
        "shares are of tests, not of subscribers."
    )
    yield (
        "* The control is another network's server. That the slowing hung on the name in the TLS "
        "handshake was shown by replay (IMC 2021), not here."
    )
    yield "* It had begun before the data do (10 March), so the onset cannot be dated from them."
    yield f"* {few} networks have fewer than 3 lines and are not judged, whatever they measured."
    if taco:
        names = "; ".join(
            f"{crowd.label(area)}, {percent(area.vote_hits, area.votes)}" for area in taco
        )
        yield (
            "* Control against control flags no network. The control with `t.co` in its name was "
            f"nevertheless slow a little more often than elsewhere on: {names}."
        )
    yield ""


_ODD: Final = 0.05


def _events(found: Evaluated, what: str) -> list[Event]:
    return [e for e in found.timeline.events if e.what == what and not e.before_data]


def _names(event: Event | None) -> str:
    places = event.places if event else ()
    return ", ".join(f"AS{place.asn} ({place.network})" for place in places)


def _tests(areas: Sequence[Area]) -> int:
    return sum(area.sessions for area in areas)


def _window(areas: Sequence[Area]) -> tuple[datetime, datetime]:
    return (
        datetime.fromtimestamp(min(area.first_s for area in areas), UTC),
        datetime.fromtimestamp(max(area.last_s for area in areas), UTC),
    )
