"""Roll-ups give whole numbers that add up, the same from another engine."""

import sqlite3
from contextlib import closing

import ibis
import numpy as np
import pytest
from rows import START_S, as_table, crowd, judged, lines

from analysis import rollup
from analysis.errors import DataError

KINDS = {
    "cells": rollup.cells,
    "votes": rollup.votes,
    "tests": rollup.tests,
    "target": lambda sessions: rollup.speeds(sessions, "target"),
    "control": lambda sessions: rollup.speeds(sessions, "control"),
    "rates": rollup.rates,
    "weeks": rollup.weeks,
    "witnesses": rollup.witnesses,
    "mechanisms": rollup.mechanisms,
    "pinned": lambda sessions: rollup.pinned(sessions, "twitter", "fetch", (0, 10_000)),
}
ADDING = ("n", "sum_bps", "sessions", "pairs", "hits", "votes", "tests", "judged")


def table():
    return as_table(
        [
            *lines(5, 0.1, 3),
            *lines(4, 1.3, 2, country="KZ", asn=7),
            *(
                judged(verdict, 7, probe=f"j{n}")
                for n, verdict in enumerate(("throttled", "normal"))
            ),
            judged("inconclusive", 9, probe="open"),
            crowd(0.5, 11, probe="told", hit=1, ratio_bin=None, mechanism="reset"),
        ]
    )


def columns(kind, rows):
    return KINDS[kind](rollup.sessions_table([], rows))


def as_rows(found):
    return list(zip(*(values.tolist() for values in found.values()), strict=True))


@pytest.fixture(scope="module")
def in_sqlite(tmp_path_factory):
    """The same rows in an engine that shares nothing with DuckDB."""
    path = tmp_path_factory.mktemp("sqlite") / "sessions.db"
    rows = table()
    types = {"string": "TEXT", "int64": "BIGINT", "double": "REAL", "bool": "BOOLEAN"}
    declared = ", ".join(f'"{field.name}" {types[str(field.type)]}' for field in rows.schema)
    marks = ", ".join("?" for _ in rows.schema)
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(f"CREATE TABLE sessions ({declared})")
        values = [tuple(row.values()) for row in rows.to_pylist()]
        connection.executemany(f"INSERT INTO sessions VALUES ({marks})", values)
    engine = ibis.sqlite.connect(path)
    yield engine.table("sessions")
    engine.disconnect()


# Ibis 12 sets an option on its way through pandas that pandas 3 no longer needs.
@pytest.mark.filterwarnings("ignore:The 'future.infer_string' option")
@pytest.mark.parametrize("kind", KINDS)
def test_another_engine_returns_the_same(kind, in_sqlite):
    expected = columns(kind, table())
    found = KINDS[kind](in_sqlite)
    assert list(found) == list(expected)
    assert as_rows(found) == as_rows(expected)


@pytest.mark.parametrize("kind", KINDS)
def test_every_number_is_whole(kind):
    for name, values in columns(kind, table()).items():
        assert values.dtype in (np.int64, object), name


@pytest.mark.parametrize("kind", sorted(set(KINDS) - {"cells"}))
def test_counts_of_parts_add_up_to_those_of_the_whole(kind):
    whole = table()
    parts = [whole.slice(0, 9), whole.slice(9)]
    assert _totals([columns(kind, part) for part in parts]) == _totals([columns(kind, whole)])


def _totals(found):
    totals = {}
    for part in found:
        keys = [name for name in part if name not in ADDING]
        for row in as_rows(part):
            named = dict(zip(part, row, strict=True))
            key = tuple(named[name] for name in keys)
            sums = totals.setdefault(key, dict.fromkeys((n for n in part if n in ADDING), 0))
            for name in sums:
                sums[name] += named[name]
    return totals


def test_rows_come_sorted_by_their_keys():
    found = as_rows(columns("votes", table()))
    assert found == sorted(found)


def test_groups_are_the_runs_of_equal_keys():
    found = columns("votes", table())
    groups = rollup.groups(found)
    assert [key[2] for key in groups] == ["KZ", "RU"]
    assert sum(rows.stop - rows.start for rows in groups.values()) == len(found["n"])


def test_the_hour_of_the_week_counts_from_monday_00_utc():
    monday = START_S + 3 * 86_400  # 2021-01-04
    found = columns("weeks", as_table([crowd(1.0, start_s=monday + 25 * 3600)]))
    assert found["hour_of_week"].tolist() == [25]


def test_nothing_at_all_is_said_to_be_nothing():
    with pytest.raises(DataError, match="found no session"):
        rollup.sessions_table([])
