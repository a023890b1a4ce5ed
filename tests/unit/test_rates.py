"""Bins, quantiles and the rate slow tests gather at."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rows import crowd, rolled

from analysis import bins
from analysis.rates import mode
from analysis.shares import adjusted, below, percent

SPEEDS = st.floats(1e-3, 1e12)


@given(SPEEDS, st.sampled_from([8, 64]))
def test_a_bins_centre_is_within_half_a_bin_of_the_value(value, per_octave):
    index = bins.log_bin(value, per_octave)
    assert abs(math.log2(bins.centre(index, per_octave) / value)) <= 0.5 / per_octave + 1e-9


@given(SPEEDS, SPEEDS)
def test_bins_keep_the_order_of_values(a, b):
    assert (bins.log_bin(a) <= bins.log_bin(b)) or a > b


@pytest.mark.parametrize("value", [None, 0, -3.0, math.inf, math.nan])
def test_what_has_no_logarithm_has_no_bin(value):
    assert bins.log_bin(value) is None


@given(st.lists(SPEEDS, min_size=1, max_size=60), st.floats(0, 1))
def test_a_quantile_of_bins_is_the_values_own_within_a_bin(values, share):
    binned = np.array([bins.log_bin(value) for value in values])
    found = bins.quantile(binned, np.ones(len(values), dtype=np.int64), share)
    exact = sorted(values)[max(math.ceil(share * len(values) - 1e-9) - 1, 0)]
    assert abs(math.log2(found / exact)) <= 1.01 / bins.BINS_PER_OCTAVE


def held(rate_bps, count, asn=1, spread=0.05, control_bps=5e6):
    steps = np.linspace(1 - spread, 1 + spread, count)
    return [
        crowd(
            rate_bps * step / control_bps, n, probe=f"{asn}-{n}", asn=asn, control_bps=control_bps
        )
        for n, step in enumerate(steps)
    ]


def test_tests_held_to_one_rate_name_it():
    found = mode(rolled(held(110e3, 40) + held(900e3, 10, asn=2, spread=0.5)).rates)
    assert found.concentrated
    assert found.rate_bps == pytest.approx(110e3, rel=0.02)
    assert found.low_bps <= found.rate_bps <= found.high_bps


def test_slow_tests_of_every_speed_have_no_rate():
    scattered = [crowd(0.25 * 0.8**n, n, probe=f"p{n}") for n in range(1, 30)]
    assert not mode(rolled(scattered).rates).concentrated


def test_where_nothing_is_slow_there_is_no_rate():
    assert mode(rolled([crowd(1.0)]).rates) is None


def test_the_same_draws_give_the_same_interval():
    rates = rolled(held(110e3, 40) + held(120e3, 30, asn=2)).rates
    assert mode(rates, seed=5) == mode(rates, seed=5)


def test_q_values_are_those_of_benjamini_and_hochberg():
    assert adjusted(np.array([0.01, 0.02, 0.03, 0.04])) == pytest.approx([0.04] * 4)
    assert len(adjusted(np.array([]))) == 0


def test_shares_and_q_values_read_well():
    assert percent(3, 10) == "3 of 10 (30.0 %, 10.8-60.3)"
    assert percent(0, 0) == "none of none"
    assert below(0.0) == "< 1e-12"
    assert below(0.0312) == "= 0.03"
