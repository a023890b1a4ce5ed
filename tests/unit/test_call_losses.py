"""Loss processes: RFC 3611 vectors, runs, onsets and kinds."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom

from analysis.losses import bursts, figures, onset, process, run_lengths, upper_tail


def losing(where, packets=100):
    lost = np.zeros(packets, dtype=bool)
    lost[list(where)] = True
    return lost


@pytest.mark.parametrize(
    ("where", "packets", "expected"),
    [
        ([], 100, (0, 0, 0.0, 0.0, 0)),
        ([50], 100, (0, 0, 0.0, 2.6, 0)),
        ([20, 60], 100, (0, 0, 0.0, 5.1, 0)),
        (range(40, 45), 100, (1, 5, 256.0, 0.0, 100)),
        (range(40, 61, 2), 100, (1, 21, 134.1, 0.0, 420)),
        ([20, 36], 100, (1, 17, 30.1, 0.0, 340)),
        ([20, 37], 100, (0, 0, 0.0, 5.1, 0)),
        ([*range(20, 25), 47, *range(70, 80)], 100, (2, 15, 256.0, 3.0, 150)),
        (range(0, 200, 10), 200, (1, 191, 26.8, 0.0, 3820)),
        (range(0, 200, 20), 200, (0, 0, 0.0, 12.8, 0)),
    ],
)
def test_bursts_and_gaps_follow_the_definition_of_rfc_3611(where, packets, expected):
    count, inside, burst_density, gap_density, mean_ms = expected
    found = bursts(losing(where, packets), 0.02)
    assert (found.bursts, found.burst_packets) == (count, inside)
    assert found.burst_density == pytest.approx(burst_density, abs=0.05)
    assert found.gap_density == pytest.approx(gap_density, abs=0.05)
    assert 1000 * found.mean_burst_s == pytest.approx(mean_ms)


def test_runs_are_counted_and_measured():
    assert run_lengths(losing([0, 1, 5, 99])) == [2, 1, 1]
    found = figures(losing([10, 11, 12, 50]))
    assert (found.lost, found.runs, found.longest_run) == (4, 2, 3)
    assert found.after_loss_ratio == pytest.approx(0.5)
    assert found.burst_ratio == pytest.approx(2.0 * 0.96)


def test_memoryless_loss_repeats_at_its_own_ratio():
    rng = np.random.default_rng(7)
    found = figures(rng.random(200_000) < 0.3)
    assert found.after_loss_ratio == pytest.approx(0.3, abs=0.01)
    assert found.burst_ratio == pytest.approx(1.0, abs=0.01)


def test_a_flow_without_packets_has_no_loss():
    assert figures(losing([], 0)).loss_ratio == 0.0


def test_the_onset_is_where_loss_begins():
    rng = np.random.default_rng(3)
    flows = [np.r_[np.zeros(30, bool), rng.random(303) < 0.3] for _ in range(3)]
    assert abs(onset(flows) - 30) <= 5


def test_even_loss_has_no_onset():
    rng = np.random.default_rng(4)
    found = [onset([rng.random(333) < 0.2, rng.random(333) < 0.2]) for _ in range(200)]
    assert found.count(None) >= 198


def test_loss_that_ends_has_no_onset():
    assert onset([losing(range(50))]) is None


@pytest.mark.parametrize("empty", [[], [losing([], 1)]])
def test_too_short_a_flow_has_no_onset(empty):
    assert onset(empty) is None


def test_kinds_of_loss_are_told_apart():
    rng = np.random.default_rng(5)
    runs, lost = [], False
    for _ in range(1000):
        lost = rng.random() < (0.75 if lost else 0.03)
        runs.append(lost)
    assert process([rng.random(333) < 0.3]) == "random_loss"
    assert process([losing(range(0, 333, 6), 333)]) == "policed"
    assert process([np.array(runs)]) == "bursty"
    assert process([losing(range(100, 160), 160)], 100) == "cut_off"
    assert process([losing([])]) == "random_loss"


@given(st.lists(st.booleans(), min_size=1, max_size=200))
def test_every_loss_is_in_one_run_and_in_a_burst_or_a_gap(lost):
    lost = np.array(lost)
    found = bursts(lost, 0.02)
    inside = found.burst_density * found.burst_packets / 256
    outside = found.gap_density * (len(lost) - found.burst_packets) / 256
    assert sum(run_lengths(lost)) == lost.sum()
    assert inside + outside == pytest.approx(lost.sum())


@given(st.integers(0, 60), st.integers(0, 60), st.floats(0.001, 0.999, allow_nan=False))
def test_the_binomial_tail_is_exact(hits, tries, chance):
    assert upper_tail(hits, tries, chance) == pytest.approx(
        binom.sf(hits - 1, tries, chance), rel=1e-9, abs=1e-300
    )
