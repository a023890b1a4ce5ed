"""Packed trace columns: exact both ways, and firm against what is not one."""

import base64
import contextlib
import struct
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from probe.measurement import Trace
from probe.trace import FATES, TraceError, pack, pack_trace, unpack, unpack_trace

values = st.none() | st.integers(min_value=-(2**62) + 1, max_value=2**62 - 1)


@given(st.lists(values, max_size=200))
def test_a_column_comes_back_exactly(column):
    assert unpack(pack(column)) == column


def test_a_call_of_twenty_seconds_packs_into_little_space():
    column = [None if i % 7 == 0 else i * 60_000_000 + i % 13 * 1000 for i in range(333)]
    assert len(pack(column)) < 1200


def test_fates_keep_their_numbers_because_stored_traces_use_them():
    assert FATES == ("ok", "lost_up", "lost_down", "lost", "late", "duplicate")


@pytest.mark.parametrize(
    "column",
    [
        "not base64 !",
        base64.b64encode(b"not zlib").decode(),
        base64.b64encode(zlib.compress(b"1234567")).decode(),
        pack([1, 2, 3])[:-8],
        base64.b64encode(zlib.compress(b"12345678") + b"tail").decode(),
    ],
)
def test_what_is_not_a_column_is_refused(column):
    with pytest.raises(TraceError, match="found"):
        unpack(column)


def test_a_column_that_would_fill_the_memory_is_refused():
    bomb = base64.b64encode(zlib.compress(bytes(16_000_000))).decode()
    with pytest.raises(TraceError, match="more than 1000000 packets"):
        unpack(bomb)


def test_a_value_beyond_the_format_is_refused_both_ways():
    with pytest.raises(TraceError, match="expected at most"):
        pack([2**62])
    summed = base64.b64encode(zlib.compress(struct.pack("<2q", 2**61, 2**61))).decode()
    with pytest.raises(TraceError, match="found a value beyond"):
        unpack(summed)


@given(st.text() | st.binary().map(lambda raw: base64.b64encode(zlib.compress(raw)).decode()))
def test_any_text_at_all_is_a_column_or_refused(text):
    with contextlib.suppress(TraceError):
        column = unpack(text)
        assert unpack(pack(column)) == column


def test_a_trace_comes_back_whole():
    columns = {"planned_ns": [0, 60_000_000], "fate": [0, None]}
    assert unpack_trace(pack_trace(columns)) == columns


def test_a_trace_with_unequal_columns_or_unknown_names_is_refused():
    with pytest.raises(TraceError, match="equal lengths"):
        pack_trace({"planned_ns": [0], "fate": [0, 1]})
    with pytest.raises(TraceError, match="names among"):
        pack_trace({"colour": [0]})


def test_a_column_of_another_length_than_the_trace_is_refused():
    with pytest.raises(TraceError, match="expected 3"):
        unpack_trace(Trace(packets=3, columns={"fate": pack([0, 0])}))


def test_only_the_columns_asked_for_are_read():
    trace = pack_trace({"planned_ns": [0, 1], "fate": [0, 0]})
    assert unpack_trace(trace, {"fate", "size_bytes"}) == {"fate": [0, 0]}
