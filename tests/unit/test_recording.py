"""A recording is read as TLS by whoever looks for a name, and its inverted copy by nobody."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from probe import recording
from probe.lab.recognise import tls_sni
from probe.recording import HEAD_BYTES, RecordingError

BLOCK = bytes(range(256)) * 64


def test_a_box_that_looks_for_names_finds_the_one_given():
    assert tls_sni(recording.opening("abs.twimg.com", 100_000)) == "abs.twimg.com"


def test_in_the_inverted_copy_it_finds_none_and_lengths_are_the_same():
    plain = recording.opening("abs.twimg.com", 100_000)
    copy = recording.inverted(plain)
    assert tls_sni(copy) is None
    assert len(copy) == len(plain)
    assert b"twimg" not in copy


@pytest.mark.parametrize("flip", [False, True])
def test_the_server_reads_which_copy_it_is_and_how_much_is_wanted(flip):
    played = recording.opening("abs.twimg.com", 123_456)
    played = recording.inverted(played) if flip else played
    head = recording.read_head(played[:HEAD_BYTES])
    assert head == (flip, len(played) - HEAD_BYTES)
    body = played[HEAD_BYTES:]
    assert recording.size_wanted(recording.inverted(body) if flip else body) == 123_456


def test_no_two_openings_are_alike():
    assert recording.opening("a.example", 1) != recording.opening("a.example", 1)


@given(st.binary(min_size=HEAD_BYTES, max_size=HEAD_BYTES))
def test_any_five_bytes_are_a_head_of_bounded_length_or_refused(data):
    try:
        head = recording.read_head(data)
    except RecordingError:
        return
    assert 0 < head.rest_bytes <= recording.MAX_OPENING_BYTES


@given(st.binary(min_size=100, max_size=600))
def test_a_body_without_a_session_id_is_refused(data):
    try:
        assert 0 <= recording.size_wanted(data) < 1 << 32
    except RecordingError:
        assert data[38] != 32


@given(st.integers(0, 100_000))
def test_the_answer_has_exactly_the_bytes_wanted(size):
    records = list(recording.answer(size, BLOCK))
    assert sum(map(len, records)) == size
    assert all(record[0] == 0x17 for record in records)


@given(st.binary())
def test_inverting_twice_changes_nothing(data):
    assert recording.inverted(recording.inverted(data)) == data
