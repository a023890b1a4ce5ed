"""Events in simulated fleets of probes: how many are found, how well dated, how many are false.

Two fleets. The *busy* one has 200 networks, 12 services and 60 days with onsets, partial
deployment, lifts, probes that fall silent and records that come late. The *calm* one has crowds'
single pairs on lines with a daily cycle that slows the target more than its control, and no event.
Both go through the same rows, roll-ups and tests as real data; the seed is not the one anything
was chosen on.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import msgspec
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from analysis.areas import judge_areas
from analysis.baseline import HIT_BIN
from analysis.bins import BINS_PER_OCTAVE
from analysis.evaluate.tables import Report, Row, share
from analysis.events import Timeline, find_events
from analysis.rollup import roll, sessions_table
from analysis.rows import SessionRow, month_of, schema
from analysis.votes import mark_votes

SEED: Final = 20211007
NETWORKS: Final = 200
SERVICES: Final = 12
DAYS: Final = 60
#: A probe measures every six hours, some of it is lost, and some comes only after the analysis.
EVERY_H: Final = 6
LOST: Final = 0.15
LATE: Final = 0.02
OUTAGE: Final = 0.1
#: What the session judge does: false calls, misses, and sessions it leaves open.
FALSE_CALL: Final = 0.001
FOUND: Final = 0.97
OPEN: Final = 0.03
#: A found onset belongs to a true one when it is no further away.
NEAR_H: Final = 48
CALM_PROBES: Final = 1000

_START_S: Final = 1_767_225_600  # 2026-01-01 00:00 UTC
_HOUR_S: Final = 3600
_DAY_H: Final = 24

#: A third of the services has an event that reaches most networks within hours; others have theirs
#: alone. Some are lifted again.
_NATIONAL: Final = 1 / 3
_REACHED: Final = 0.6
_ALONE: Final = 0.15
_LIFTED: Final = 0.4
_ABOUT: Final = (
    f"{NETWORKS} networks of 3 to 8 probes, {SERVICES} services, {DAYS} days; a session every "
    f"{EVERY_H} h, {100 * LOST:.0f} % of them lost; onsets reach 40 to 100 % of a network's "
    "probes, at least two."
)

Array = NDArray[np.float64]


class Onset(msgspec.Struct, frozen=True):
    """A true change of one network: when, in hours since the start, and which way."""

    asn: int
    hour: float
    what: str


def evaluate(seed: int = SEED) -> Report:
    """Run both fleets.

    Args:
        seed: of everything drawn.

    Returns:
        Recall, precision, onset error, and false events a probe-month.
    """
    random = np.random.default_rng(seed)
    errors: list[float] = []
    true = matched = told = 0
    for service in range(SERVICES):
        rows, changes = _busy(random, f"service{service}")
        found = _dated(_timeline(rows))
        for change in changes:
            near = [
                abs(hour - change.hour)
                for asn, what, hour in found
                if (asn, what) == (change.asn, change.what) and abs(hour - change.hour) <= NEAR_H
            ]
            true += 1
            matched += bool(near)
            errors += [min(near)] if near and change.what == "onset" else []
        told += len(found)
    calm = len(_any(_timeline(_calm(random))))
    months = CALM_PROBES * DAYS / 30
    return Report(
        title=f"Events in simulated fleets (seed {seed})",
        rows=(
            share("changes found (recall)", matched, true, target=0.95),
            share("told changes that are true (precision)", matched, told, target=0.99),
            Row(
                what="onset error, median",
                value=float(np.median(errors)),
                unit="h",
                target=6.0,
                note=f"95th percentile {np.quantile(errors, 0.95):.1f} h, n = {len(errors)}",
            ),
            Row(
                what="false events per 100 probe-months, diurnal lines without event",
                value=100 * calm / months,
                target=1.0,
                note=f"{calm} in {months:.0f} probe-months of single pairs",
            ),
        ),
        notes=(_ABOUT,),
    )


def _timeline(rows: pa.Table) -> Timeline:
    rolled = roll(sessions_table([], rows))
    return find_events(rolled, judge_areas(rolled))


def _any(timeline: Timeline) -> list[tuple[int, str, float]]:
    return [
        (place.asn, event.what, (place.at.timestamp() - _START_S) / _HOUR_S)
        for event in timeline.events
        for place in event.places
    ]


def _dated(timeline: Timeline) -> list[tuple[int, str, float]]:
    told = [event for event in timeline.events if not event.before_data]
    return _any(Timeline(tuple(told), {}))


def _busy(random: np.random.Generator, service: str) -> tuple[pa.Table, list[Onset]]:
    """Draw one service's sessions, already judged, and the truth behind them."""
    national = random.uniform(12, 45) * _DAY_H if random.random() < _NATIONAL else None
    changes: list[Onset] = []
    columns: list[dict[str, Any]] = []
    for asn in range(1, NETWORKS + 1):
        probes = int(random.integers(3, 9))
        onset, lift = _schedule(random, national)
        reach = max(2, round(random.uniform(0.4, 1.0) * probes)) if onset is not None else 0
        if onset is not None:
            changes.append(Onset(asn, onset, "onset"))
            changes += [Onset(asn, lift, "lift")] if lift is not None else []
        for probe in range(probes):
            hours = _hours(random)
            end = np.inf if lift is None else lift
            slowed = np.zeros(len(hours), dtype=bool)
            if onset is not None and probe < reach:
                slowed = (hours >= onset) & (hours < end)
            hit = (random.random(len(hours)) < np.where(slowed, FOUND, FALSE_CALL)).astype(float)
            hit[random.random(len(hours)) < OPEN] = np.nan
            columns.append({"asn": asn, "probe": f"{asn}-{probe}", "hours": hours, "hit": hit})
    return _table(service, columns), changes


def _schedule(
    random: np.random.Generator, national: float | None
) -> tuple[float | None, float | None]:
    """Draw when a network's service is slowed and released, in hours since the start."""
    if national is not None and random.random() < _REACHED:
        onset = national + random.uniform(0, 6)
    elif random.random() < _ALONE:
        onset = random.uniform(10, 45) * _DAY_H
    else:
        return None, None
    lift = onset + random.uniform(5, 12) * _DAY_H
    return onset, lift if random.random() < _LIFTED else None


def _hours(random: np.random.Generator) -> Array:
    """Draw when a probe's sessions were, what was lost and late taken out."""
    hours = np.arange(random.uniform(0, EVERY_H), DAYS * _DAY_H, EVERY_H)
    hours = hours + random.uniform(-0.5, 0.5, len(hours))
    kept = random.random(len(hours)) >= LOST + LATE
    if random.random() < OUTAGE:
        start = random.uniform(0, DAYS * _DAY_H)
        kept &= (hours < start) | (hours > start + random.uniform(2, 10) * _DAY_H)
    return np.asarray(np.clip(hours[kept], 0, None))


def _calm(random: np.random.Generator) -> pa.Table:
    """Draw a crowd's single pairs: heavy-tailed noise, evenings slower, nobody in the way.

    Noise is that of distant controls (Student-t of df 1.6, scale 0.45); at the busiest hour the
    target is 1.85 times slower than at the calmest, as a real line's speeds are.
    """
    columns = []
    for probe in range(CALM_PROBES):
        hours = _hours(random)
        evening = np.log(1.85) * (0.5 + 0.5 * np.cos(2 * np.pi * (hours - 20) / _DAY_H))
        log_ratio = 0.45 * random.standard_t(1.6, len(hours)) - evening
        columns.append(
            {
                "asn": 1 + probe // 5,
                "probe": f"line{probe}",
                "hours": hours,
                "ratio": np.floor(BINS_PER_OCTAVE * log_ratio / np.log(2)),
            }
        )
    return _table("service", columns)


def _table(service: str, columns: list[dict[str, Any]]) -> pa.Table:
    """Make a sessions table of drawn columns; networks lie in four countries."""
    pieces = [_piece(service, column) for column in columns]
    return mark_votes(pa.concat_tables(pieces))


def _piece(service: str, column: dict[str, Any]) -> pa.Table:
    hours = column["hours"]
    start = (_START_S + hours * _HOUR_S).astype(np.int64)
    count = len(hours)
    values: dict[str, Any] = {
        "month": month_of(_START_S),
        "source": "",
        "session": column["probe"],
        "probe": column["probe"],
        "start_s": start,
        "country": ("AA", "BB", "CC", "DD")[column["asn"] % 4],
        "asn": column["asn"],
        "network_type": "fixed",
        "service": service,
        "kind": "fetch",
        "control_kind": "C",
        "pairs": 1,
        "vote": False,
    }
    if "hit" in column:
        values |= {
            "hits": (column["hit"] == 1).astype(np.int64),
            "hit": _whole(column["hit"]),
            "verdict": "normal",
        }
    else:
        ratio = column["ratio"]
        values |= {"hits": (ratio < HIT_BIN).astype(np.int64), "ratio_bin": _whole(ratio)}
    return pa.table(dict(_columns(values, count)), schema=schema(SessionRow))


def _columns(values: dict[str, Any], count: int) -> Iterator[tuple[str, pa.Array]]:
    for field in schema(SessionRow):
        value = values.get(field.name)
        if isinstance(value, np.ndarray | pa.Array):
            yield field.name, pa.array(value, type=field.type)
        elif value is None:
            yield field.name, pa.nulls(count, field.type)
        else:
            yield field.name, pa.repeat(pa.scalar(value, field.type), count)


def _whole(values: Array) -> pa.Array:
    return pa.array(values, from_pandas=True).cast(pa.int64())
