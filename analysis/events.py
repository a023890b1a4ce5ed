"""Many networks' changes into events: what began or ended, when, and in how many places."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Final, Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from analysis.areas import Area
from analysis.baseline import is_hit
from analysis.changes import Change, Run, Series, follow
from analysis.rollup import Cell, Columns, Rolled, groups

What = Literal["onset", "lift"]

#: Changes this close are one event that reached many networks.
TOGETHER_H: Final = 24
_HOUR_S: Final = 3600


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """One network's part in an event. Times are UTC, to the hour.

    ``at`` is the likeliest moment, ``earliest`` to ``latest`` its 95 % interval; ``called`` when
    the data were enough to tell, ``tests_after`` how many tests after the change that took.
    """

    country: str
    asn: int
    network: str | None
    at: datetime
    earliest: datetime
    latest: datetime
    called: datetime
    tests_after: int
    share: float


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """A service slowed, or no longer slowed, in one network or in many within a day.

    ``before_data``: it was so when the data began, and only "not after" is known.
    """

    service: str
    kind: str
    what: What
    at: datetime
    earliest: datetime
    latest: datetime
    before_data: bool
    places: tuple[Place, ...]

    @property
    def name(self) -> str:
        """What identifies the event when data come in late: service, kind, what and networks."""
        return f"{self.service} {self.kind} {self.what}"


class Timeline(msgspec.Struct, frozen=True):
    """All events, oldest first, and each network's last state by cell."""

    events: tuple[Event, ...]
    runs: dict[Cell, Run]


def find_events(
    rolled: Rolled,
    areas: Sequence[Area],
    pins: Mapping[tuple[str, str], Columns] | None = None,
) -> Timeline:
    """Follow every network that has enough tests, and group what changed within a day.

    Args:
        rolled: the roll-ups.
        areas: the cells to follow; those below the evidence floor are left out.
        pins: :func:`analysis.rollup.pinned` of the services whose limiter's rate is known. There
            only slow tests near that rate count as hits: others are no sign of it.

    Returns:
        The events.
    """
    pins = pins or {}
    parts = (rolled.votes, rolled.tests, rolled.witnesses)
    places = [groups(part) for part in parts]
    pin_places = {key: groups(part) for key, part in pins.items()}
    runs: dict[Cell, Run] = {}
    changes: list[tuple[Area, Change]] = []
    for area in areas:
        if area.answer == "too little":
            continue
        key, cell = (area.service, area.kind), area.cell
        votes, tests, seen = (
            _rows(part, at.get(cell)) for part, at in zip(parts, places, strict=True)
        )
        pin = _rows(pins[key], pin_places[key].get(cell)) if key in pins else None
        series = make_series(votes, tests, seen, area.null.offset_bins, pin)
        runs[cell] = follow(series, area.null.share)
        changes += [(area, change) for change in runs[cell].changes]
    return Timeline(tuple(_grouped(changes)), runs)


def make_series(
    votes: Columns, tests: Columns, seen: Columns, offset_bins: int, pin: Columns | None
) -> Series:
    """Line up one cell's roll-ups by the hour.

    Args:
        votes: its rows of :func:`analysis.rollup.votes`.
        tests: its rows of :func:`analysis.rollup.tests`.
        seen: its rows of :func:`analysis.rollup.witnesses`.
        offset_bins: :attr:`analysis.baseline.Null.offset_bins`.
        pin: its rows of :func:`analysis.rollup.pinned`, where the rate is known.

    Returns:
        The series, of hours that have any test.
    """
    hours = np.unique(tests["hour"])

    def by_hour(part: Columns, counts: NDArray[np.int64]) -> NDArray[np.int64]:
        at = np.searchsorted(hours, part["hour"])
        return np.bincount(at, counts, minlength=len(hours)).astype(np.int64)

    probes: list[list[str]] = [[] for _ in hours]
    for hour, probe in zip(seen["hour"], seen["probe"], strict=True):
        probes[int(np.searchsorted(hours, hour))].append(str(probe))
    if pin is None:
        vote_hits = by_hour(votes, votes["n"] * is_hit(votes, offset_bins))
        hits = by_hour(tests, tests["n"] * is_hit(tests, offset_bins))
    else:
        vote_hits, hits = by_hour(pin, pin["votes"]), by_hour(pin, pin["tests"])
    return Series(
        hours,
        by_hour(votes, votes["n"]),
        vote_hits,
        by_hour(tests, tests["n"]),
        hits,
        tuple(map(tuple, probes)),
    )


class Revision(msgspec.Struct, frozen=True):
    """How an event told earlier stands now, because data came in late."""

    what: str
    told: datetime
    now: datetime | None

    def __str__(self) -> str:
        """Say it in a sentence."""
        told = f"{self.what}, told earlier for {self.told:%Y-%m-%d %H:%M} UTC,"
        if self.now is None:
            return f"{told} is no longer seen in the data"
        return f"{told} is now placed at {self.now:%Y-%m-%d %H:%M} UTC"


def revisions(old: Sequence[Event], new: Sequence[Event]) -> list[Revision]:
    """Say which events told earlier have moved or gone, network by network.

    Args:
        old: events of an earlier report.
        new: events of this one.

    Returns:
        One revision a network and event that is not where it was.
    """
    now: dict[tuple[str, str, str, int], list[datetime]] = {}
    for event in new:
        for place in event.places:
            key = (event.name, event.what, place.country, place.asn)
            now.setdefault(key, []).append(place.at)
    found = []
    for event in old:
        for place in event.places:
            times = now.get((event.name, event.what, place.country, place.asn), [])
            nearest = min(times, key=lambda time: abs(time - place.at), default=None)
            if nearest != place.at:
                what = f"{event.what} of {event.service} in {place.country} AS{place.asn}"
                found.append(Revision(what, place.at, nearest))
    return found


def _grouped(changes: Sequence[tuple[Area, Change]]) -> list[Event]:
    families: dict[tuple[str, str, What, bool], list[tuple[Area, Change]]] = {}
    for area, change in changes:
        what: What = "onset" if change.to == "slowed" else "lift"
        key = (area.service, area.kind, what, change.open_start)
        families.setdefault(key, []).append((area, change))
    events = []
    for key, members in families.items():
        members.sort(key=lambda item: item[1].hour)
        group: list[tuple[Area, Change]] = []
        for item in members:
            apart = group and item[1].hour - group[-1][1].hour > TOGETHER_H
            if apart and not key[3]:
                events.append(_event(key, group))
                group = []
            group.append(item)
        events.append(_event(key, group))
    return sorted(events, key=lambda event: (event.at, event.name))


def _event(key: tuple[str, str, What, bool], members: Sequence[tuple[Area, Change]]) -> Event:
    """Join changes: the event's moment is the median of theirs, its interval spans the middle."""
    hours = [change.hour for _, change in members]
    middle = sorted(hours)[(len(hours) - 1) // 2]
    own = next(change for _, change in members if change.hour == middle)
    return Event(
        service=key[0],
        kind=key[1],
        what=key[2],
        at=_utc(middle),
        earliest=_utc(own.low_hour),
        latest=_utc(own.high_hour),
        before_data=key[3],
        places=tuple(
            Place(
                country=area.country,
                asn=area.asn,
                network=area.network,
                at=_utc(change.hour),
                earliest=_utc(change.low_hour),
                latest=_utc(change.high_hour),
                called=_utc(change.alarm_hour),
                tests_after=change.tests_after,
                share=change.share,
            )
            for area, change in members
        ),
    )


def _rows(columns: Columns, rows: slice | None) -> Columns:
    return {name: values[rows or slice(0, 0)] for name, values in columns.items()}


def _utc(hour: int) -> datetime:
    return datetime.fromtimestamp(hour * _HOUR_S, UTC)
