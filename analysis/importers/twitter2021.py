"""The Russia Twitter Throttle Dataset: browser speed tests of spring 2021, a row a test.

Each row holds the speed in kbit/s of one download from ``abs.twimg.com``, from a neutral host, and
from a neutral host whose name contains ``t.co``. The first two make a session of service
``twitter`` with a grade C control; the last two a control-against-control session, which shows how
far two unthrottled downloads differ on the same line in the same minute.

Format: the repository of Viktorov and Evdokimov, ``4ndv/russia-twitter-throttle``, CC BY 4.0.
Times are in bins of 5 minutes, addresses cut to /24 or /48.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import msgspec

from analysis.bins import RATE_BINS_PER_OCTAVE, log_bin
from analysis.errors import DataError
from analysis.importers import Imported, Skipped, content_hash, pseudonym
from analysis.importers.lines import unpacked
from analysis.rows import SessionRow, TrialRow

COLUMNS: Final = (
    "datetime_rounded",
    "anonymized_ip",
    "asn",
    "as_country",
    "as_organization",
    "test_result",
    "control_result",
    "control_taco_result",
)
#: A pair counts as a hit when the target is slower than a quarter of its control: the extreme
#: slowdown that two unthrottled downloads of one line show in under one pair of a hundred.
HIT_RATIO: Final = 0.25

_ENDPOINTS: Final = (
    ("target", "https://abs.twimg.com/"),
    ("control", "neutral host"),
    ("control", "neutral host with t.co in its name"),
)


class Test(msgspec.Struct, frozen=True):
    """One row of the CSV. ``speeds_bps`` are the target's, the control's and the t.co control's."""

    start_s: int
    line: str
    asn: int
    country: str
    organisation: str | None
    speeds_bps: tuple[float, float, float]


def read(path: Path) -> Imported:
    """Read one CSV, plain or gzip.

    Args:
        path: the file.

    Returns:
        Three trials and two sessions for each readable row, and the rows that were not.

    Raises:
        DataError: the file is no such CSV, or no row of it is readable.
    """
    data = path.read_bytes()
    source = content_hash(data)
    trials: list[TrialRow] = []
    sessions: list[SessionRow] = []
    skipped: list[Skipped] = []
    for number, test in parse(_lines(path, data), path):
        if isinstance(test, str):
            skipped.append(Skipped(path, number, test))
            continue
        name = f"{source}-{number}"
        trials += _trials(test, source, name)
        sessions += _sessions(test, source, name)
    if not sessions:
        first = f", the first because: {skipped[0].reason}" if skipped else ""
        raise DataError(
            f"found no readable row in {path} ({len(skipped)} were passed over{first}), "
            "expected speed tests with the columns " + ", ".join(COLUMNS)
        )
    return Imported(path=path, source=source, trials=trials, sessions=sessions, skipped=skipped)


def parse(lines: Iterable[str], path: Path) -> Iterable[tuple[int, Test | str]]:
    """Read the lines of a CSV.

    Args:
        lines: the header, then the rows; columns in any order, others may stand between.
        path: for the message when the header is wrong.

    Yields:
        The line's number, counted from 1, with its test, or with the reason it is none.

    Raises:
        DataError: a column is missing from the header.
    """
    rows = csv.reader(lines)
    header = next(rows, [])
    missing = [name for name in COLUMNS if name not in header]
    if missing:
        raise DataError(
            f"found no column {', '.join(missing)} in the first line of {path}, "
            "expected the columns " + ", ".join(COLUMNS)
        )
    places = [header.index(name) for name in COLUMNS]
    try:
        for row in rows:
            yield rows.line_num, _test(row, places, len(header))
    except csv.Error as error:
        yield rows.line_num, f"found a line that is not CSV ({error})"


def _test(row: list[str], places: list[int], width: int) -> Test | str:
    if len(row) != width:
        return f"found {len(row)} fields, expected {width}"
    time, line, asn, country, organisation, *speeds = (row[place] for place in places)
    try:
        start = datetime.strptime(time, "%Y-%m-%d %H:%M:%S UTC").replace(tzinfo=UTC)
    except ValueError:
        return f"found the time {time!r}, expected YYYY-MM-DD HH:MM:SS UTC"
    if not line:
        return "found no anonymized_ip, expected the line's prefix"
    try:
        rates = [float(speed) * 1000 for speed in speeds]
        number = int(asn or 0)
    except ValueError as error:
        return f"found a field that is no number ({error})"
    for column, rate in zip(COLUMNS[-3:], rates, strict=True):
        if not 0 < rate < math.inf:
            return f"found {column} {rate / 1000:g}, expected a speed in kbit/s above 0"
    return Test(
        int(start.timestamp()),
        pseudonym(line),
        number,
        country or "ZZ",
        organisation or None,
        (rates[0], rates[1], rates[2]),
    )


def _trials(test: Test, source: str, name: str) -> list[TrialRow]:
    return [
        TrialRow(
            source=source,
            session=name,
            probe=test.line,
            start_s=test.start_s,
            country=test.country,
            asn=test.asn,
            network=test.organisation,
            network_type="unknown",
            service="twitter",
            kind="fetch",
            control_kind="C",
            round=0,
            arm=arm,
            endpoint=endpoint,
            goodput_bps=round(speed),
            goodput_bin=log_bin(speed),
        )
        for (arm, endpoint), speed in zip(_ENDPOINTS, test.speeds_bps, strict=True)
    ]


def _sessions(test: Test, source: str, name: str) -> list[SessionRow]:
    target, control, other = test.speeds_bps
    return [
        _session(test, source, name, "twitter", (target, control)),
        _session(test, source, name + "-control", "control", (other, control)),
    ]


def _session(
    test: Test, source: str, name: str, service: str, pair: tuple[float, float]
) -> SessionRow:
    target, control = pair
    hit = target < HIT_RATIO * control
    return SessionRow(
        source=source,
        session=name,
        probe=test.line,
        start_s=test.start_s,
        country=test.country,
        asn=test.asn,
        network=test.organisation,
        network_type="unknown",
        service=service,
        kind="fetch",
        control_kind="C",
        pairs=1,
        hits=int(hit),
        target_bps=round(target),
        target_bin=log_bin(target),
        control_bps=round(control),
        control_bin=log_bin(control),
        ratio_bin=log_bin(target / control),
        rate_bps=round(target) if hit else None,
        rate_bin=log_bin(target, RATE_BINS_PER_OCTAVE) if hit else None,
    )


def _lines(path: Path, data: bytes) -> list[str]:
    """Unpack and decode; a byte that is not UTF-8 spoils its own line only."""
    return unpacked(path, data).decode("utf-8-sig", errors="replace").splitlines()
