"""One vote per probe and day: which session of the day counts in area tests."""

from __future__ import annotations

from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

_KEYS: Final = ("probe", "service", "kind", "asn")
_DAY_S: Final = 86_400


def mark_votes(sessions: pa.Table) -> pa.Table:
    """Say which sessions vote: the first countable one of a probe and service in a UTC day.

    The first, not the most typical: a share of first sessions estimates the share of all, so
    that the null rate of votes is the null rate of sessions.

    Args:
        sessions: a sessions table, of whole days.

    Returns:
        The same rows, sorted by time, with ``vote`` set.
    """
    ordered = sessions.sort_by([("start_s", "ascending"), ("session", "ascending")])
    unjudged = pc.and_(pc.is_null(ordered["verdict"]), pc.is_valid(ordered["ratio_bin"]))
    countable = pc.or_(pc.is_valid(ordered["hit"]), unjudged)
    code = ordered["start_s"].to_numpy() // _DAY_S
    for key in _KEYS:
        index = pc.dictionary_encode(ordered[key]).combine_chunks().indices.to_numpy()
        code = code * (int(index.max(initial=0)) + 1) + index
    places = np.flatnonzero(countable.to_numpy())
    _, first = np.unique(code[places], return_index=True)
    vote = np.zeros(len(ordered), dtype=bool)
    vote[places[first]] = True
    at = ordered.schema.get_field_index("vote")
    return ordered.set_column(at, ordered.schema.field(at), pa.array(vote))
