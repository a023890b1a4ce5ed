"""Jitter, delay variation and buffers, against published and cross-checked vectors."""

import numpy as np
import pytest

from analysis.delays import ipdv, pdv, played, quantiles, rfc3550

STEP_S = 0.02


def jitter_ms(arrivals_ms):
    sent = np.arange(len(arrivals_ms)) * STEP_S
    found = rfc3550(sent, sent + np.array(arrivals_ms, dtype=float) / 1000.0)
    return tuple(1000.0 * value for value in (found.last_s, found.mean_s, found.max_s))


@pytest.mark.parametrize(
    ("offsets_ms", "last", "mean", "greatest"),
    [
        ([0] * 100, 0.0, 0.0, 0.0),
        ([5 * (i % 2) for i in range(100)], 4.9916, 4.244, 4.992),
        ([0, 0, 3, 1, 7, 2, 0, 12, 4, 4, 1, 9, 0, 0, 2, 5, 30, 8, 3, 0], 4.9948, 2.267, 5.136),
    ],
)
def test_jitter_agrees_with_tshark(offsets_ms, last, mean, greatest):
    found = jitter_ms(offsets_ms)
    assert found[0] == pytest.approx(last, abs=5e-5)
    assert found[1:] == pytest.approx((mean, greatest), abs=5e-4)


def test_the_first_jitter_is_a_sixteenth_of_the_first_difference():
    assert jitter_ms([0, 5])[0] == pytest.approx(0.3125)


def test_losses_alone_make_no_jitter():
    sent = np.delete(np.arange(100) * STEP_S, [10, 50, 51, 52, 90])
    assert rfc3550(sent, sent + 0.1).max_s == pytest.approx(0.0, abs=1e-12)


def test_duplicates_and_swaps_count_in_the_order_of_arrival():
    arrivals = [(i * STEP_S, i * STEP_S) for i in range(100)]
    arrivals[59], arrivals[60] = (
        (arrivals[59][0], arrivals[60][1]),
        (arrivals[60][0], arrivals[59][1]),
    )
    arrivals.append((30 * STEP_S, 30 * STEP_S + 0.001))
    sent, received = np.array(sorted(arrivals, key=lambda pair: pair[1])).T
    found = rfc3550(sent, received)
    assert 1000 * found.last_s == pytest.approx(0.4055, abs=2e-4)
    assert 1000 * found.mean_s == pytest.approx(0.759, abs=5e-4)
    assert 1000 * found.max_s == pytest.approx(4.710, abs=5e-4)


def test_a_flow_of_one_packet_has_no_jitter():
    assert rfc3550(np.array([1.0]), np.array([2.0])).max_s == 0.0


def test_ipdv_needs_both_neighbours():
    transit = np.array([0.010, 0.015, np.nan, 0.030, 0.020])
    assert ipdv(transit) == pytest.approx([0.005, -0.010])


def test_pdv_is_measured_from_the_least():
    assert pdv(np.array([0.03, np.nan, 0.01, 0.02])) == pytest.approx([0.02, 0.0, 0.01])


def test_a_clock_offset_cancels():
    transit = np.array([0.01, 0.02, 0.015])
    assert ipdv(transit + 1000.0) == pytest.approx(ipdv(transit))
    assert pdv(transit + 1000.0) == pytest.approx(pdv(transit))


def test_quantiles_of_nothing_are_none():
    assert quantiles(np.array([np.nan])) is None


def test_a_buffer_drops_what_comes_after_its_time():
    transit = np.array([0.05, 0.09, 0.11, np.nan, 0.05])
    assert played(transit, 0.05).tolist() == [True, True, False, False, True]
    assert not played(np.array([np.nan, np.nan]), 0.05).any()
