"""Data into findings: one a service, kind and network."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec
import numpy as np

from analysis.areas import Area, judge_areas, sharpen
from analysis.baseline import CONTROL, unusual
from analysis.data import Data
from analysis.events import Timeline, find_events
from analysis.finding import Finding, Rate, Slowdown, Verdict, Window
from analysis.ingest import NOT_JUDGED
from analysis.merge import BAD, merge
from analysis.rates import Mode, mode
from analysis.rollup import HOUR_S, Cell, Columns, Rolled, groups, pinned, roll, weeks


class Detection(msgspec.Struct, frozen=True):
    """Findings, and what they rest on. ``areas`` leaves the pairs of controls out.

    By service and kind, ``modes`` has the rate the slow tests of a crowd gather at, ``unusual``
    how many sessions were far below what is usual for their line and hour, of how many.
    """

    findings: tuple[Finding, ...]
    areas: tuple[Area, ...]
    controls: tuple[Area, ...]
    timeline: Timeline
    modes: dict[tuple[str, str], Mode]
    unusual: dict[tuple[str, str], tuple[int, int]]
    rolled: Rolled


def detect(data: Data) -> Detection:
    """Find out what the data say of each service on each network.

    Sessions that a judge decided are merged; single pairs of a crowd, which decide nothing
    alone, are counted by network.

    Args:
        data: opened data.

    Returns:
        The findings, sorted by service, kind, country and AS.
    """
    sessions = data.table()
    seen = survey(sessions)
    claims = tuple(area for area in seen.areas if area.service not in NOT_JUDGED)
    timeline = find_events(seen.rolled, claims, seen.pins)
    rates = groups(seen.rolled.rates)
    counted = [
        from_area(area, _mode(seen.rolled, rates, area)) for area in claims if not area.judged
    ]
    findings = [_dated(finding, timeline) for finding in merge(data.judged) + counted]
    findings.sort(key=lambda item: (item.service, item.kind, item.country, item.asn))
    return Detection(
        tuple(findings),
        claims,
        tuple(area for area in seen.areas if area.service == CONTROL),
        timeline,
        seen.modes,
        unusual(weeks(sessions)),
        seen.rolled,
    )


class Survey(msgspec.Struct, frozen=True):
    """Every cell tested, the rates crowds are held to, and the roll-ups behind both."""

    areas: tuple[Area, ...]
    modes: dict[tuple[str, str], Mode]
    pins: dict[tuple[str, str], Columns]
    rolled: Rolled


def survey(sessions: Any) -> Survey:
    """Test every network; where the slow ones share a rate, again with that knowledge.

    Args:
        sessions: :func:`analysis.rollup.sessions_table`.
    """
    rolled = roll(sessions)
    areas = judge_areas(rolled)
    modes = common_rates(rolled, [area for area in areas if area.service not in NOT_JUDGED])
    pins = {key: pinned(sessions, *key, found.near) for key, found in modes.items()}
    return Survey(tuple(sharpen(areas, pins)), modes, pins, rolled)


def common_rates(rolled: Rolled, claims: Sequence[Area]) -> dict[tuple[str, str], Mode]:
    """Find the rate each crowd's slow tests gather at, over the networks that are slowed.

    Args:
        rolled: the roll-ups.
        claims: tested cells.

    Returns:
        From service and kind to the rate, where there is one.
    """
    rates = groups(rolled.rates)
    found = {}
    for key in {area.cell[:2] for area in claims if not area.judged}:
        slowed = [
            rates[area.cell]
            for area in claims
            if area.cell[:2] == key and area.answer == "slowed" and area.cell in rates
        ]
        rows = np.concatenate([np.r_[part] for part in slowed]) if slowed else np.array([], int)
        part = {name: values[rows] for name, values in rolled.rates.items()}
        if (here := mode(part)) and here.concentrated:
            found[key] = here
    return found


def _mode(rolled: Rolled, rates: dict[Cell, slice], area: Area) -> Mode | None:
    if area.answer != "slowed" or area.cell not in rates:
        return None
    found = mode({name: values[rates[area.cell]] for name, values in rolled.rates.items()})
    return found if found and found.concentrated else None


def _dated(finding: Finding, timeline: Timeline) -> Finding:
    """Put in when it began and ended, where the network's history tells."""
    cell = (finding.service, finding.kind, finding.country, finding.asn)
    run = timeline.runs.get(cell)
    if run is None or finding.verdict not in BAD or not run.changes:
        return finding
    onsets = [change for change in run.changes if change.to == "slowed" and not change.open_start]
    last = run.changes[-1]
    since = _utc(onsets[-1].hour * HOUR_S) if onsets else finding.since
    until = _utc(last.hour * HOUR_S) if last.to == "normal" else None
    return msgspec.structs.replace(finding, since=since, until=until)


def from_area(area: Area, rate: Mode | None) -> Finding:
    """Say of a network's crowd what the counts say.

    Args:
        area: a tested cell.
        rate: the rate its slow tests gather at, if they do.

    Returns:
        ``throttled`` where slow pairs, ``blocked`` where failed ones are more than chance,
        ``normal`` where the network is cleared, else ``inconclusive``.
    """
    slowed = area.answer == "slowed"
    return Finding(
        service=area.service,
        kind=area.kind,
        country=area.country,
        asn=area.asn,
        network=area.network,
        window=Window(start=_utc(area.first_s), end=_utc(area.last_s)),
        sessions=area.sessions,
        pairs=area.pairs,
        grade=area.grade,  # type: ignore[arg-type]  # stored as the letter it is
        verdict=_verdict(area),
        mechanism=(area.mechanism or "unclassified") if slowed else None,  # type: ignore[arg-type]  # importers write mechanisms only
        rate_bps=Rate(value=rate.rate_bps, low=rate.low_bps, high=rate.high_bps) if rate else None,
        slowdown=Slowdown(value=area.slowdown) if slowed and area.slowdown else None,
        since=None,
        until=None,
        log_odds=area.log_odds,
        why=area.why,
    )


def _verdict(area: Area) -> Verdict:
    if area.answer == "slowed":
        return "blocked" if area.mechanism else "throttled"
    return "normal" if area.answer == "clear" else "inconclusive"


def _utc(seconds: int) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
