"""Derived figures of one call flow."""

import math

import pytest
from builders import call, fetch

from analysis.call_pairs import Counts, log_odds
from analysis.calls import figures


def test_a_clean_call_is_rated_by_its_delay_alone():
    seen = figures(call())
    assert seen.whole.loss.lost == 0
    assert seen.rtt.p50_s == pytest.approx(0.05)
    assert 65 < seen.r < 75
    assert not seen.reconnecting
    assert not seen.bad_call
    assert "G.107" in seen.formula


def test_losses_are_counted_each_way():
    fates = ["lost_up"] * 30 + ["lost_down"] * 20 + ["ok"] * 250
    seen = figures(call(fates=fates))
    assert seen.up.loss.loss_ratio == pytest.approx(0.1)
    assert seen.down.loss.loss_ratio == pytest.approx(20 / 270)
    assert seen.whole.loss.lost == 50
    assert seen.mos < figures(call()).mos


def test_a_relay_gives_no_direction():
    seen = figures(call(fates=["lost"] * 10 + ["ok"] * 90, peer="relay"))
    assert (seen.up, seen.down) == (None, None)
    assert seen.whole.loss.loss_ratio == pytest.approx(0.1)


def test_two_seconds_of_silence_are_what_the_app_calls_reconnecting():
    seen = figures(call(fates=["ok"] * 100 + ["lost_down"] * 40 + ["ok"] * 100))
    assert seen.longest_silence_s == pytest.approx(41 * 0.06)
    assert seen.reconnecting


def test_a_call_in_which_nothing_came_is_still_described():
    seen = figures(call(fates=["lost_up"] * 50))
    assert seen.rtt is None
    assert seen.played_ratio == 0.0
    assert seen.mos == 1.0
    assert seen.bad_call


def test_late_packets_are_lost_on_the_listener():
    rtts = [0.05] * 50 + [0.9] * 50
    seen = figures(call(fates=["ok"] * 100, rtt_s=rtts))
    assert seen.played_ratio == pytest.approx(0.5)


def test_another_kind_of_record_is_refused():
    with pytest.raises(ValueError, match="expected a call"):
        figures(fetch())


def test_counts_give_the_exact_binomial():
    assert Counts(10, 0, 333).p_value == pytest.approx(2.0**-10)
    assert Counts(0, 0, 333).p_value == 1.0
    assert Counts().upper_bound == 1.0
    assert Counts(0, 0, 666).upper_bound < 0.01


def test_weak_p_values_are_no_odds_and_strong_ones_are_bounded():
    assert log_odds(0.5) == 0.0
    assert log_odds(1e-3) == pytest.approx(math.log(1 / (math.e * 1e-3 * -math.log(1e-3))))
    assert math.isfinite(log_odds(0.0))
