"""The group-bys everything else is made of, each written once as an Ibis expression.

Every expression groups stored whole numbers and strings and counts or sums whole numbers: no
quantile, no floating-point arithmetic, no decision is made inside a query, so that any engine Ibis
speaks to returns the same integers. Results are sorted, and come back as columns of numpy arrays
and lists (:class:`Columns`); every decision is taken on those.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import ibis
import msgspec
import numpy as np
import pyarrow as pa

from analysis import dataset
from analysis.errors import DataError

Columns = dict[str, np.ndarray[Any, Any]]

HOUR_S: Final = 3600
HOURS_PER_WEEK: Final = 168
#: Hour 0 of Unix time was a Thursday; hours of the week count from Monday 00:00 UTC.
_EPOCH_HOUR_OF_WEEK: Final = 72
#: What one cell of a report is about.
CELL: Final = ("service", "kind", "country", "asn")

Cell = tuple[str, str, str, int]


class Rolled(msgspec.Struct, frozen=True):
    """Everything a report needs of its sessions; fields are what the functions here return."""

    cells: Columns
    votes: Columns
    tests: Columns
    target: Columns
    control: Columns
    rates: Columns
    witnesses: Columns
    mechanisms: Columns


def roll(sessions: Any) -> Rolled:
    """Run the roll-ups of a report.

    Args:
        sessions: :func:`sessions_table`.
    """
    return Rolled(
        cells(sessions),
        votes(sessions),
        tests(sessions),
        speeds(sessions, "target"),
        speeds(sessions, "control"),
        rates(sessions),
        witnesses(sessions),
        mechanisms(sessions),
    )


def groups(columns: Columns, keys: Sequence[str] = CELL) -> dict[Any, slice]:
    """Find each group's rows in a roll-up, which is sorted by its keys.

    Args:
        columns: a roll-up.
        keys: the leading keys that make a group.

    Returns:
        From the group's key, a tuple of its values, to its rows, in order.
    """
    count = len(columns[keys[0]])
    new = np.zeros(count, dtype=bool)
    for key in keys:
        new[1:] |= columns[key][1:] != columns[key][:-1]
    if count:
        new[0] = True
    starts = np.flatnonzero(new)
    ends = np.append(starts[1:], count)[: len(starts)]
    return {
        tuple(_plain(columns[key][start]) for key in keys): slice(int(start), int(end))
        for start, end in zip(starts, ends, strict=True)
    }


def sessions_table(directories: Sequence[Path], rows: pa.Table | None = None) -> Any:
    """Open the sessions of datasets, and of rows in memory, as one Ibis table on DuckDB.

    Args:
        directories: datasets.
        rows: further sessions, with the columns of :func:`analysis.rows.schema`.

    Returns:
        An Ibis table expression bound to a connection of its own.

    Raises:
        DataError: there is nothing in any of them.
    """
    connection = ibis.duckdb.connect()
    pieces = []
    files = [path for folder in directories for path in dataset.paths(folder, "sessions")]
    if files:
        pieces.append(
            connection.read_parquet(files, hive_partitioning=True, hive_types_autocast=False)
        )
    if rows is not None and len(rows):
        # Ibis 12 writes a DROP that DuckDB 2.0 does not parse when it creates a table itself.
        connection.con.register("rows", rows)
        pieces.append(connection.table("rows"))
    if not pieces:
        raise DataError("found no session in the data, expected at least one: measure first")
    names = pieces[0].columns
    return ibis.union(*(piece.select(*names) for piece in pieces)) if pieces[1:] else pieces[0]


def cells(sessions: Any) -> Columns:
    """Count each cell's sessions, pairs, hits and probes, and say when they were.

    Returns:
        ``service kind country asn network network_type control_kind sessions judged pairs hits
        probes hit_probes votes first_s last_s``; the worst grade of control counts.
    """
    return _run(
        sessions.group_by(CELL).aggregate(
            network=sessions.network.max(),
            network_type=sessions.network_type.max(),
            sessions=sessions.count(),
            pairs=sessions.pairs.sum(),
            hits=sessions.hits.sum(),
            probes=sessions.probe.nunique(),
            control_kind=sessions.control_kind.max(),
            judged=sessions.verdict.count(),
            hit_probes=sessions.probe.nunique(where=sessions.hits > 0),
            votes=sessions.vote.cast("int64").sum(),
            first_s=sessions.start_s.min(),
            last_s=sessions.start_s.max(),
        ),
        CELL,
    )


def votes(sessions: Any) -> Columns:
    """Count the voting sessions by hour, by what the judge said and by ratio bin.

    Returns:
        ``service kind country asn hour hit ratio_bin n``; ``hit`` and ``ratio_bin`` are
        :data:`NONE` where they do not stand.
    """
    return _hits(sessions.filter(sessions.vote))


def tests(sessions: Any) -> Columns:
    """Count all countable sessions as :func:`votes` does, voting or not."""
    unjudged = sessions.verdict.isnull() & sessions.ratio_bin.notnull()
    return _hits(sessions.filter(sessions.hit.notnull() | unjudged))


def witnesses(sessions: Any) -> Columns:
    """Name the probes whose votes were hits, by hour: few rows, for hits are few or matter.

    Returns:
        ``service kind country asn hour probe n``.
    """
    hits = (sessions.hit == 1) | (sessions.verdict.isnull() & (sessions.hits > 0))
    chosen = sessions.filter(sessions.vote & hits).mutate(hour=lambda t: t.start_s // HOUR_S)
    keys = (*CELL, "hour", "probe")
    return _run(chosen.group_by(keys).aggregate(n=chosen.count()), keys)


def mechanisms(sessions: Any) -> Columns:
    """Count how services failed where their control did not, of sessions no judge has decided.

    Returns:
        ``service kind country asn mechanism n``.
    """
    told = sessions.verdict.isnull() & (sessions.hit == 1) & sessions.mechanism.notnull()
    chosen = sessions.filter(told)
    keys = (*CELL, "mechanism")
    return _run(chosen.group_by(keys).aggregate(n=chosen.count()), keys)


def pinned(sessions: Any, service: str, kind: str, band: tuple[int, int]) -> Columns:
    """Count by hour the slow sessions of a service that are held to one rate.

    Args:
        sessions: the sessions table.
        service: of which service.
        kind: of which kind.
        band: lowest and highest fine bin of the rate.

    Returns:
        ``service kind country asn hour votes tests``.
    """
    mine = (sessions.service == service) & (sessions.kind == kind)
    chosen = sessions.filter(mine & sessions.rate_bin.between(*band))
    chosen = chosen.mutate(hour=chosen.start_s // HOUR_S)
    keys = (*CELL, "hour")
    counted = chosen.group_by(keys).aggregate(
        votes=chosen.vote.cast("int64").sum(), tests=chosen.count()
    )
    return _run(counted, keys)


def findings(sessions: Any) -> list[str]:
    """Return the judge's findings as they were stored, JSON, oldest first."""
    judged = sessions.filter(sessions.finding.notnull()).order_by(["start_s", "session"])
    texts: list[str] = judged.select("finding").to_pyarrow()["finding"].to_pylist()
    return texts


def speeds(sessions: Any, arm: str) -> Columns:
    """Histogram the goodput of one arm, with exact sums.

    Args:
        sessions: the sessions table.
        arm: ``target`` or ``control``.

    Returns:
        ``service kind country asn bin n sum_bps``.
    """
    return _histogram(sessions, f"{arm}_bin", f"{arm}_bps")


def rates(sessions: Any) -> Columns:
    """Histogram the throttled rate over fine bins (:data:`analysis.bins.RATE_BINS_PER_OCTAVE`).

    Returns:
        ``service kind country asn bin n sum_bps``.
    """
    return _histogram(sessions, "rate_bin", "rate_bps")


def weeks(sessions: Any) -> Columns:
    """Histogram target over control by probe and hour of the week (0 is Monday 00 UTC).

    Returns:
        ``service kind probe hour_of_week ratio_bin n``.
    """
    hour = sessions.start_s // HOUR_S
    with_hour = sessions.filter(sessions.ratio_bin.notnull()).mutate(
        hour_of_week=(hour + _EPOCH_HOUR_OF_WEEK) % HOURS_PER_WEEK
    )
    keys = ("service", "kind", "probe", "hour_of_week", "ratio_bin")
    return _run(with_hour.group_by(keys).aggregate(n=with_hour.count()), keys)


#: Stands in integer columns for "not there".
NONE: Final = -(2**31)


def _hits(chosen: Any) -> Columns:
    keys = (*CELL, "hour", "hit", "ratio_bin")
    with_hour = chosen.mutate(
        hour=chosen.start_s // HOUR_S,
        hit=chosen.hit.fill_null(NONE),
        ratio_bin=chosen.ratio_bin.fill_null(NONE),
    )
    return _run(with_hour.group_by(keys).aggregate(n=with_hour.count()), keys)


def _histogram(sessions: Any, name: str, amount: str) -> Columns:
    there = sessions.filter(sessions[name].notnull())
    there = there.mutate(bin=there[name])
    keys = (*CELL, "bin")
    return _run(there.group_by(keys).aggregate(n=there.count(), sum_bps=there[amount].sum()), keys)


def _run(expression: Any, keys: Sequence[str]) -> Columns:
    rows: pa.Table = expression.order_by(list(keys)).to_pyarrow()
    return {name: _array(rows[name]) for name in rows.column_names}


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value


def _array(column: pa.ChunkedArray) -> np.ndarray[Any, Any]:
    if pa.types.is_string(column.type):
        return np.array(column.to_pylist(), dtype=object)
    return np.asarray(column.cast(pa.int64()).to_numpy())
