"""The two tables of a dataset: a row a trial, and a row a session judged once.

Beside each metric stands its logarithmic bin (:mod:`analysis.bins`), suffix ``_bin``. Times are
whole Unix seconds, UTC, so that every engine groups them by integer division. Both tables are
partitioned by ``month`` (``2021-03``) and ``country``, which therefore are not columns here.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Final, get_args, get_type_hints

import msgspec
import pyarrow as pa

ROW_VERSION: Final = 1


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """What both tables share.

    ``source`` is the content hash of the file the row came from. ``probe`` tells lines apart and
    nothing more: a pseudonym, never an address. ``network_type`` is ``fixed``, ``mobile``,
    ``hosting`` or ``unknown``.
    """

    source: str
    session: str
    probe: str
    start_s: int
    country: str
    asn: int
    network: str | None
    network_type: str
    service: str
    kind: str
    control_kind: str | None


class TrialRow(Row, frozen=True, kw_only=True):
    """One trial and its derived figures; a bound where ``censored``."""

    round: int
    arm: str
    endpoint: str
    failure: str | None = None
    censored: bool = False
    bytes: int | None = None
    goodput_bps: int | None = None
    goodput_bin: int | None = None
    connect_s: float | None = None
    connect_bin: int | None = None
    tls_s: float | None = None
    tls_bin: int | None = None
    ttfb_s: float | None = None
    ttfb_bin: int | None = None
    sent: int | None = None
    lost_up: int | None = None
    lost_down: int | None = None
    lost: int | None = None


class SessionRow(Row, frozen=True, kw_only=True):
    """One session: its counts, and what the judge made of it.

    ``hits`` of ``pairs`` were slower than a quarter of their control. ``hit`` is 1 where the judge
    found interference, 0 where it cleared the service, None where nobody judged (a crowd's
    single pair, to be read from ``ratio_bin``) or where the answer was open. ``vote`` marks the
    first countable session of a probe and service in a day: the one that counts in area tests, so
    that a busy probe has no more say than a quiet one. ``finding`` is the judge's whole answer as
    JSON.
    """

    pairs: int
    hits: int
    hit: int | None = None
    vote: bool = False
    target_bps: int | None = None
    target_bin: int | None = None
    control_bps: int | None = None
    control_bin: int | None = None
    ratio_bin: int | None = None
    verdict: str | None = None
    mechanism: str | None = None
    rate_bps: int | None = None
    rate_bin: int | None = None
    log_odds: float | None = None
    finding: str | None = None


_ARROW: Final = {str: pa.string(), int: pa.int64(), float: pa.float64(), bool: pa.bool_()}


def schema(row: type[Row]) -> pa.Schema:
    """Return a table's Arrow schema, ``month`` first.

    Args:
        row: :class:`TrialRow` or :class:`SessionRow`.
    """
    fields = [pa.field("month", pa.string(), nullable=False)]
    for name, hint in get_type_hints(row).items():
        kinds = [kind for kind in (get_args(hint) or (hint,)) if kind is not type(None)]
        fields.append(pa.field(name, _ARROW[kinds[0]], nullable=len(get_args(hint)) > 0))
    return pa.schema(fields)


def month_of(start_s: int) -> str:
    """Return the UTC month of a time, as ``2021-03``."""
    return datetime.fromtimestamp(start_s, UTC).strftime("%Y-%m")


def table(rows: list[Any], row: type[Row]) -> pa.Table:
    """Make a table of rows.

    Args:
        rows: all of type ``row``.
        row: the row type, for an empty list.
    """
    wanted = schema(row)
    columns = {"month": [month_of(item.start_s) for item in rows]}
    columns |= {name: [getattr(item, name) for item in rows] for name in wanted.names[1:]}
    return pa.table(columns, schema=wanted)
