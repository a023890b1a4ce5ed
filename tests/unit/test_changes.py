"""Dates of change: found where there is one, placed well, and not found where there is none."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis.changes import WITNESSES, Series, follow

NULL = 0.02


def series(*stretches, lines=6, every=4, probes=True):
    """Hours with one vote each: stretches of (number of votes, share that are hits)."""
    hits = np.concatenate([_even(count, share) for count, share in stretches])
    hour = np.arange(len(hits)) * every
    one = np.ones(len(hits), dtype=np.int64)
    names = tuple((f"p{i % lines}",) if hit else () for i, hit in enumerate(hits))
    return Series(hour, one, hits, one, hits, names if probes else ())


def _even(count, share):
    """Hits spread evenly, so that a test's outcome hangs on no draw."""
    reached = np.floor(np.arange(count + 1) * share + 0.5).astype(np.int64)
    return np.diff(reached)


def test_an_onset_is_placed_at_the_first_slow_test():
    run = follow(series((100, 0.0), (30, 1.0)), NULL)
    [change] = run.changes
    assert (change.to, change.hour, run.state) == ("slowed", 400, "slowed")
    assert change.low_hour <= 400 <= change.high_hour


def test_a_lift_is_found_soon_and_placed_where_slow_tests_end():
    run = follow(series((60, 0.0), (60, 1.0), (40, 0.0)), NULL)
    assert [change.to for change in run.changes] == ["slowed", "normal"]
    lift = run.changes[1]
    assert lift.hour == 480
    assert lift.tests_after <= 12


def test_a_third_of_the_lines_is_enough():
    run = follow(series((120, 0.0), (60, 0.34)), NULL)
    assert [change.to for change in run.changes] == ["slowed"]
    assert abs(run.changes[0].hour - 480) <= 12


def test_what_was_so_when_the_data_begin_has_no_date():
    [change] = follow(series((40, 1.0)), NULL).changes
    assert change.open_start


def test_one_slow_line_alone_is_no_event():
    alone = series((100, 0.0), (30, 1.0), lines=1)
    assert WITNESSES == 2
    assert follow(alone, NULL).changes == ()


def test_a_blip_does_not_have_the_odds_of_two_changes():
    run = follow(series((60, 0.0), (80, 0.5), (9, 0.0), (80, 0.5)), NULL)
    assert [change.to for change in run.changes] == ["slowed"]


def test_silence_halves_what_has_been_gathered():
    dense = series((100, 0.0), (5, 1.0))
    gaps = np.array([*dense.hour[:100], *(dense.hour[99] + 480 * np.arange(1, 6))])
    sparse = Series(gaps, dense.votes, dense.vote_hits, dense.tests, dense.hits, dense.hit_probes)
    assert follow(dense, NULL).changes
    assert not follow(sparse, NULL).changes


def test_late_tests_that_do_not_vote_still_place_the_change():
    base = series((300, 0.0), (60, 1.0))
    votes = base.votes * (np.arange(360) % 6 == 0)
    run = follow(
        Series(base.hour, votes, votes * base.hits, base.tests, base.hits, base.hit_probes), NULL
    )
    assert run.changes[0].hour == 1200


def test_nothing_is_found_in_nothing():
    empty = np.array([], dtype=np.int64)
    assert follow(Series(empty, empty, empty, empty, empty), NULL).changes == ()


@settings(max_examples=40, deadline=None)
@given(st.lists(st.booleans(), max_size=120), st.floats(0.005, 0.3))
def test_states_alternate_and_times_do_not_go_back(hits, null):
    values = np.array(hits, dtype=np.int64)
    one = np.ones(len(hits), dtype=np.int64)
    run = follow(Series(np.arange(len(hits)), one, values, one, values), null)
    states = [change.to for change in run.changes]
    assert all(a != b for a, b in pairwise(states))
    assert all(change.low_hour <= change.hour <= change.alarm_hour for change in run.changes)


@pytest.mark.parametrize("seed", range(5))
def test_chance_alone_gives_no_event(seed):
    hits = (np.random.default_rng(seed).random(1500) < NULL).astype(np.int64)
    one = np.ones(1500, dtype=np.int64)
    assert follow(Series(np.arange(1500) * 6, one, hits, one, hits), NULL).changes == ()
