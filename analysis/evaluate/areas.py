"""The tests of networks and of dates on the real event: Twitter slowed in Russia, spring 2021.

Truth comes from the speeds alone: a network is throttled if at least a tenth of its tests lie
between 60 and 200 kbit/s, where the limiter of 2021 held them (Xue et al., IMC 2021). The tests
see only how many pairs were slower than a quarter. Networks are split by a hash of their number:
the error budget near a known rate was chosen on one half, and the other half is reported beside the
whole. The rest was settled with all these networks in sight, and says so in the notes.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import msgspec
import numpy as np
import pyarrow as pa

from analysis.areas import Area
from analysis.baseline import CONTROL
from analysis.changes import follow
from analysis.detect import survey
from analysis.evaluate.tables import Report, Row, share
from analysis.events import Timeline, find_events, make_series
from analysis.importers import files, reader
from analysis.plots.crowd import label
from analysis.plots.style import bit_rate
from analysis.rates import Mode
from analysis.rollup import Rolled, pinned, sessions_table, votes, witnesses
from analysis.rollup import tests as tests_of
from analysis.rows import SessionRow, table
from analysis.votes import mark_votes

SERVICE: Final = "twitter"
#: Where the tests of throttled lines lie, bit/s.
BAND_BPS: Final = (60e3, 200e3)
FEWEST_TESTS: Final = 10
THROTTLED_SHARE: Final = 0.1
PARTLY: Final = 0.5
#: Landlines were released then (Xue et al., IMC 2021); mobile networks were not.
LIFT: Final = datetime(2021, 5, 17, 13, 40, tzinfo=UTC)
LIFT_TESTS: Final = 20
#: Operators of mobile networks, by name.
MOBILE: Final = re.compile(
    r"MegaFon|T2 Mobile|Vimpelcom|VimpelCom|MTS PJSC|Ekaterinburg-2000|Yota|Scartel|SkyLink",
    re.IGNORECASE,
)
_SEEN: Final = (
    "The error budget near a known rate was chosen on the other half. The rules of the null share "
    "were settled with all networks in sight, and the odds for a lift and the factor of two around "
    "the rate with the one landline lift that has enough tests: those rows show a fit, and need "
    "data nobody here has seen to be a test."
)
_HOUR_S: Final = 3600
_LIFT_NEAR_H: Final = 24


class Truth(msgspec.Struct, frozen=True):
    """One network: what its speeds say, and what the analysis says."""

    area: Area
    throttled: float

    @property
    def reported(self) -> bool:
        """Whether the network is in the half that nothing was chosen on."""
        return bool(hashlib.sha256(str(self.area.asn).encode()).digest()[-1] % 2)


class Evaluated(msgspec.Struct, frozen=True):
    """A file of the measurements, analysed: the truth of each network beside the answers."""

    networks: tuple[Truth, ...]
    controls: tuple[Area, ...]
    timeline: Timeline
    modes: dict[tuple[str, str], Mode]
    rolled: Rolled
    rows: pa.Table


def analyse(path: Path) -> Evaluated:
    """Analyse the measurements as any dataset.

    Args:
        path: the CSV, or a folder of its daily files.

    Returns:
        Answers and truth, networks of at least ten tests.

    Raises:
        analysis.errors.DataError: it is no such data.
    """
    read = reader("twitter2021")
    sessions = [row for file in files("twitter2021", [path]) for row in read(file).sessions]
    rows = mark_votes(table(sessions, SessionRow))
    seen = survey(sessions_table([], rows))
    counts = _in_band(sessions)
    networks = tuple(
        Truth(area, counts[area.country, area.asn] / area.sessions)
        for area in seen.areas
        if area.service == SERVICE and area.sessions >= FEWEST_TESTS
    )
    claims = [area for area in seen.areas if area.service == SERVICE]
    controls = tuple(
        area for area in seen.areas if area.service == CONTROL and area.sessions >= FEWEST_TESTS
    )
    timeline = find_events(seen.rolled, claims, seen.pins)
    return Evaluated(networks, controls, timeline, seen.modes, seen.rolled, rows)


def evaluate(path: Path) -> Report:
    """Hold the tests of networks and dates against the real event.

    Args:
        path: the CSV, or a folder of its daily files.

    Returns:
        The rows, with counts and intervals.
    """
    return evaluated_report(analyse(path))


def evaluated_report(found: Evaluated) -> Report:
    """Do the same with measurements that have been analysed.

    Args:
        found: what :func:`analyse` returned.

    Returns:
        The rows.
    """
    half = [network for network in found.networks if network.reported]
    rows = [
        *_area_rows("all networks", found.networks),
        *_area_rows("the half not chosen on", half),
        _control_row(found.controls),
        *_lift_rows(found),
        *_mode_rows(found),
    ]
    return Report(
        title="Networks and dates, Russia Twitter Throttle measurements of 2021",
        rows=tuple(rows),
        notes=(f"{_tests(found.networks)} tests of {len(found.networks)} networks.", _SEEN),
    )


def _tests(networks: Sequence[Truth]) -> int:
    return sum(network.area.sessions for network in networks)


def _area_rows(whose: str, networks: Sequence[Truth]) -> list[Row]:
    throttled = [n for n in networks if n.throttled >= THROTTLED_SHARE]
    partly = [n for n in throttled if n.throttled < PARTLY]
    clean = [n for n in networks if n.throttled < THROTTLED_SHARE]
    enough = [n for n in throttled if n.area.answer != "too little"]
    partly_enough = [n for n in partly if n.area.answer != "too little"]
    wrong = [n for n in clean if n.area.answer == "slowed"]
    missed = [n for n in enough if n.area.answer != "slowed"]
    return [
        _found(f"throttled networks found, {whose}", throttled, 0.96, _below_floor(throttled)),
        _found(f"the same, above the evidence floor, {whose}", enough, 0.96, _named(missed)),
        _found(f"throttled on 10 to 50 % of tests, found, {whose}", partly, 0.90),
        _found(f"the same, above the evidence floor, {whose}", partly_enough, 0.90),
        share(
            f"networks without the mode that are flagged, {whose}",
            len(wrong),
            len(clean),
            target=0.04,
            sense="at most",
            note=_named(wrong),
        ),
    ]


def _found(what: str, networks: Sequence[Truth], target: float, note: str = "") -> Row:
    hits = sum(network.area.answer == "slowed" for network in networks)
    return share(what, hits, len(networks), target=target, note=note)


def _below_floor(networks: Sequence[Truth]) -> str:
    few = [network for network in networks if network.area.answer == "too little"]
    return f"{len(few)} have fewer than 3 lines, and the answer says so" if few else ""


def _named(networks: Sequence[Truth]) -> str:
    return "; ".join(
        f"{label(n.area)}: {n.area.vote_hits} of {n.area.votes} votes slow, "
        f"{100 * n.throttled:.0f} % of {n.area.sessions} tests in the band, slow median "
        f"{bit_rate(n.area.hit_bps) if n.area.hit_bps else 'none'}"
        for n in networks
    )


def _control_row(controls: Sequence[Area]) -> Row:
    flagged = [area for area in controls if area.answer == "slowed"]
    return share(
        "control against control, networks flagged",
        len(flagged),
        len(controls),
        target=0.0,
        sense="at most",
        note="; ".join(label(area) for area in flagged),
    )


def _lift_rows(found: Evaluated) -> list[Row]:
    slowed = [n.area for n in found.networks if n.area.answer == "slowed"]
    mobile = [area for area in slowed if MOBILE.search(area.network or "")]
    wired = [area for area in slowed if area not in mobile]
    needed = [
        (area, _tests_needed(area, found))
        for area in wired
        if _tests_after(area, found) >= LIFT_TESTS
    ]
    told = [area for area in mobile if _dated_changes(area, found.timeline)]
    return [
        share(
            f"landline lift of 17 May 2021 found within {LIFT_TESTS} tests",
            sum(tests is not None and tests <= LIFT_TESTS for _, tests in needed),
            len(needed),
            target=1.0,
            note="; ".join(f"{label(area)}: after {tests or 'no'} tests" for area, tests in needed),
        ),
        share(
            "slowed mobile networks with a change reported",
            len(told),
            len(mobile),
            target=0.0,
            sense="at most",
            note="; ".join(map(label, told)),
        ),
    ]


def _mode_rows(found: Evaluated) -> list[Row]:
    here = found.modes.get((SERVICE, "fetch"))
    if here is None:
        return [Row(what="throttled rate over all", value=None, unit="kbit/s", target=105.0)]
    low, value, high = (rate / 1000 for rate in (here.low_bps, here.rate_bps, here.high_bps))
    note = f"{here.inside} of {here.n} slow tests within 10 % of it"
    name = "throttled rate over all networks"
    return [
        Row(
            what=name,
            value=value,
            unit="kbit/s",
            low=low,
            high=high,
            target=105.0,
            sense="at least",
            note=note,
        ),
        Row(what=name, value=value, unit="kbit/s", low=low, high=high, target=115.0),
    ]


def _dated_changes(area: Area, timeline: Timeline) -> int:
    run = timeline.runs.get(area.cell)
    return sum(not change.open_start for change in run.changes) if run else 0


def _own(area: Area, found: Evaluated) -> pa.Table:
    rows = found.rows
    here = np.asarray(rows["asn"]) == area.asn
    here &= np.asarray(rows["service"].to_pylist(), dtype=object) == SERVICE
    here &= np.asarray(rows["country"].to_pylist(), dtype=object) == area.country
    return rows.filter(pa.array(here))


def _tests_after(area: Area, found: Evaluated) -> int:
    return int((np.asarray(_own(area, found)["start_s"]) > LIFT.timestamp()).sum())


def _tests_needed(area: Area, found: Evaluated) -> int | None:
    """Return how many tests after the lift it took, test by test, until the lift was called."""
    own = _own(area, found)
    before = int((np.asarray(own["start_s"]) <= LIFT.timestamp()).sum())
    lift = int(LIFT.timestamp()) // _HOUR_S
    rate = found.modes.get(area.cell[:2])
    for tests in range(1, len(own) - before + 1):
        opened = sessions_table([], own.slice(0, before + tests))
        pin = pinned(opened, *area.cell[:2], rate.near) if rate else None
        parts = votes(opened), tests_of(opened), witnesses(opened)
        series = make_series(*parts, area.null.offset_bins, pin)
        run = follow(series, area.null.share)
        last = run.changes[-1] if run.changes else None
        if last and last.to == "normal" and abs(last.hour - lift) <= _LIFT_NEAR_H:
            return tests
    return None


def _in_band(sessions: Sequence[SessionRow]) -> dict[tuple[str, int], int]:
    counts: dict[tuple[str, int], int] = {}
    for row in sessions:
        if row.service == SERVICE and row.target_bps is not None:
            key = (row.country, row.asn)
            inside = BAND_BPS[0] <= row.target_bps <= BAND_BPS[1]
            counts[key] = counts.get(key, 0) + inside
    return counts
