"""The sequential test: its bounds, its monotony, and what a cut transfer may add."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.stats import t as student

from analysis.sequential import (
    ALPHA,
    ALTERNATIVES,
    CAP_PAIRS,
    DF,
    SCALE,
    Evidence,
    LogRatio,
    _cumulative,
    decide,
    exactly,
    log_evidence,
    log_odds,
    scale,
    settled,
    update,
)

finite = st.floats(-20, 20, allow_nan=False)


def after(log_ratios, noise=SCALE["A"]):
    state = Evidence(scale=noise)
    for log_ratio in log_ratios:
        state = update(state, exactly(log_ratio))
    return state


@pytest.mark.parametrize("noise", sorted(set(SCALE.values())))
def test_a_pair_multiplies_the_evidence_by_one_on_average_when_nothing_is_wrong(noise):
    def weighed(z):
        density = student.pdf(z / noise, DF) / noise
        return np.exp(log_evidence(after([z], noise))) * density

    edges = (-60.0, -4.0, -1.0, -0.1, 0.5, 60.0)
    total = sum(quad(weighed, a, b, limit=200)[0] for a, b in itertools.pairwise(edges))
    assert total == pytest.approx(1.0, abs=2e-3)


@pytest.mark.parametrize("noise", sorted(set(SCALE.values())))
def test_the_evidence_for_clear_is_one_on_average_at_the_alternative(noise):
    shift = math.log(ALTERNATIVES[0][0])

    def weighed(z):
        return np.exp(after([z], noise).clear) * student.pdf((z + shift) / noise, DF) / noise

    edges = (-60.0, -4.0, -1.0, -0.1, 0.5, 60.0)
    total = sum(quad(weighed, a, b, limit=200)[0] for a, b in itertools.pairwise(edges))
    assert total == pytest.approx(1.0, abs=2e-3)


@given(st.floats(-40, 40, allow_nan=False))
def test_the_distribution_function_is_students(x):
    assert _cumulative(x) == pytest.approx(student.cdf(x, DF), abs=1e-8)


@given(finite, finite)
def test_a_slower_target_never_counts_for_less(one, other):
    low, high = sorted((one, other))
    assert log_evidence(after([low])) >= log_evidence(after([high])) - 1e-12
    assert after([low]).clear <= after([high]).clear + 1e-12


@pytest.mark.parametrize("slower", [10.0, 30.0, 300.0])
def test_gross_slowdowns_are_decided_in_three_pairs(slower):
    assert decide(after([-math.log(slower)] * 2)) is None
    assert decide(after([-math.log(slower)] * 3)) == "slower"


def test_equal_speeds_are_cleared_in_three_pairs():
    state = after([0.0] * 3)
    assert decide(state) == "clear"
    assert log_odds(state) < 0.0


def test_a_distant_control_needs_more_pairs_for_the_same():
    assert decide(after([-math.log(3.0)] * 3, SCALE["C"])) is None
    assert decide(after([-math.log(3.0)] * 12, SCALE["C"])) == "slower"


def test_one_wild_pair_does_not_decide_and_hides_nothing():
    usual = [0.02, -0.05, 0.01, 0.03, -0.02, 0.0, 0.04]
    assert decide(after([-8.0])) is None
    assert decide(after([*usual[:3], -8.0, *usual[3:]])) is None
    assert decide(after([*usual, -8.0, *usual])) == "clear"


@pytest.mark.parametrize("noise", sorted(set(SCALE.values())))
def test_a_share_of_slow_pairs_among_usual_ones_is_found(noise):
    state = after([0.02, -4.5, -0.1, 0.05, -4.4, 0.0, -4.6, -4.5, 0.1, -4.7, -4.5], noise)
    assert decide(state) == "slower"
    assert state.partial
    assert state.wild == 6


def test_slow_pairs_that_slow_controls_match_are_the_lines():
    usual = [0.02, -0.05, 0.01, 0.03, -0.02, 0.0, 0.04, -0.03]
    assert decide(after([*usual, -3.0, 3.0])) is None
    assert decide(after([*usual, -3.0, 3.0, 3.0])) == "clear"


def test_two_slow_pairs_are_too_few_to_name_a_share():
    assert decide(after([-7.0, 0.0, -7.0])) is None


def test_a_slowdown_of_every_pair_is_not_called_partial():
    assert not after([-math.log(2.5)] * 6).partial
    assert not after([-4.5] * 3).partial


@given(finite, st.floats(0, 5))
def test_a_cut_target_is_no_evidence_that_it_is_clear(high, more):
    cut = update(Evidence(scale=0.18), LogRatio(-math.inf, high))
    truth = update(Evidence(scale=0.18), exactly(high - more))
    assert log_evidence(cut) <= log_evidence(truth) + 1e-12
    assert cut.clear <= truth.clear + 1e-12


@given(finite, st.floats(0, 5))
def test_a_cut_control_is_no_evidence_that_the_target_is_slow(low, more):
    cut = update(Evidence(scale=0.18), LogRatio(low, math.inf))
    truth = update(Evidence(scale=0.18), exactly(low + more))
    assert log_evidence(cut) <= log_evidence(truth) + 1e-12
    assert cut.clear <= truth.clear + 1e-12


def test_a_settled_transfer_counts_as_if_it_had_run_to_its_end():
    control, size = 20e6, 400_000
    at = next(t for t in range(1, 100) if settled(1000, t, control, size))
    bound = math.log(8 * size / at / control)
    ended = math.log(8 * size / (100 * at) / control)
    assert log_evidence(after([bound])) == pytest.approx(log_evidence(after([ended])))


def test_a_transfer_is_not_settled_early_nor_near_its_control_nor_when_done():
    assert not settled(50_000, 5.0, 40e6)
    assert not settled(50_000, 15.0, 300e3)
    assert not settled(400_000, 15.0, 40e6)
    assert not settled(50_000, 15.0, 0.0)
    assert settled(50_000, 15.0, 40e6)


def test_simulated_nulls_are_flagged_less_often_than_stated():
    rng = np.random.default_rng(11)
    flagged = 0
    for row in (0.18 * rng.standard_t(DF, (2000, CAP_PAIRS["A"]))).tolist():
        state = Evidence(scale=0.18)
        for log_ratio in row:
            state = update(state, exactly(log_ratio))
            if decide(state):
                break
        flagged += decide(state) == "slower"
    # 2,000 sessions at 1 in 1,000: more than 7 has a chance of 1 in 1,000.
    assert flagged <= 2000 * ALPHA + 5


def test_an_unknown_grade_gets_the_widest_noise():
    assert scale("D") == SCALE["C"]
