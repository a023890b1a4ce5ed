"""Data into findings: one a service, kind and network."""

from __future__ import annotations

from datetime import UTC, datetime

import msgspec

from analysis.areas import Area, judge_areas
from analysis.baseline import CONTROL
from analysis.data import Data
from analysis.finding import Finding, Rate, Slowdown, Window
from analysis.ingest import NOT_JUDGED
from analysis.merge import merge
from analysis.rollup import Rolled, roll


class Detection(msgspec.Struct, frozen=True):
    """Findings, and what they rest on. ``areas`` leaves the pairs of controls out."""

    findings: tuple[Finding, ...]
    areas: tuple[Area, ...]
    controls: tuple[Area, ...]
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
    rolled = roll(data.table())
    areas = judge_areas(rolled)
    claims = tuple(area for area in areas if area.service not in NOT_JUDGED)
    counted = [from_area(area) for area in claims if not area.judged]
    findings = merge(data.judged) + counted
    findings.sort(key=lambda item: (item.service, item.kind, item.country, item.asn))
    controls = tuple(area for area in areas if area.service == CONTROL)
    return Detection(tuple(findings), claims, controls, rolled)


def from_area(area: Area) -> Finding:
    """Say of a network's crowd what the counts say.

    Args:
        area: a tested cell.

    Returns:
        ``throttled`` where slow pairs are more than chance, ``normal`` where the network is
        cleared, else ``inconclusive``.
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
        verdict={"slowed": "throttled", "clear": "normal"}.get(area.answer, "inconclusive"),  # type: ignore[arg-type]  # all three are verdicts
        mechanism="unclassified" if slowed else None,
        rate_bps=Rate(value=area.hit_bps) if slowed and area.hit_bps else None,
        slowdown=Slowdown(value=area.slowdown) if slowed and area.slowdown else None,
        since=None,
        until=None,
        log_odds=area.log_odds,
        why=area.why,
    )


def _utc(seconds: int) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
