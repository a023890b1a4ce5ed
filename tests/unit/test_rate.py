"""Rates of limiters from arrivals: exact ones, several, shared, and what cannot be told."""

import numpy as np
import pytest
from builders import bucket_arrivals, fetch, policed
from hypothesis import given
from hypothesis import strategies as st

from analysis.rate import (
    Series,
    emptied,
    envelope,
    estimate,
    joined,
    late,
    pieces,
    series,
    spread,
    summed,
)


def behind_bucket(rate_bps, bucket, size=2_000_000, start=0.0):
    t_s, counts = bucket_arrivals(rate_bps, bucket, size)
    return Series(t_s + start, counts * 1500 / 1448)


def rng():
    return np.random.default_rng(1)


@pytest.mark.parametrize("rate_bps", [130e3, 500e3, 1.5e6])
@pytest.mark.parametrize("bucket", [0, 16_000, 100_000])
def test_the_slope_is_the_rate_whatever_the_bucket(rate_bps, bucket):
    found = envelope(behind_bucket(rate_bps, bucket))
    assert found.rate_bps == pytest.approx(rate_bps, rel=0.01)
    assert found.bucket_bytes == pytest.approx(bucket, abs=6000 + 0.1 * bucket)


def test_the_plain_average_would_have_been_wrong():
    arrivals = behind_bucket(500e3, 1_000_000)
    average = 8 * arrivals.wire_bytes[-1] / arrivals.t_s[-1]
    assert average > 1.5 * 500e3
    assert envelope(arrivals).rate_bps == pytest.approx(500e3, rel=0.05)


def test_headers_are_counted_as_the_limiter_counts_them():
    found = estimate([series(policed(n).fetch) for n in range(3)], rng())
    assert found.value == pytest.approx(130e3, rel=0.02)
    assert found.low < 130e3 < found.high
    framed = estimate([series(policed(n).fetch, 66) for n in range(3)], rng())
    assert framed.value / found.value == pytest.approx(1514 / 1500, rel=1e-6)


def test_two_flows_behind_one_limiter_are_summed():
    whole = behind_bucket(1e6, 20_000)
    turn = np.arange(len(whole.t_s)) % 2 == 0
    steps = np.diff(whole.wire_bytes, prepend=0.0)
    flows = [Series(whole.t_s[m], np.cumsum(steps[m])) for m in (turn, ~turn)]
    assert envelope(flows[0]).rate_bps == pytest.approx(0.5e6, rel=0.02)
    assert envelope(summed(flows)).rate_bps == pytest.approx(1e6, rel=0.01)


def test_the_transfer_in_which_tcp_was_slow_does_not_lower_the_rate():
    rates = [1e6, 0.99e6, 1.01e6, 0.6e6, 1e6]
    found = estimate([behind_bucket(r, 100_000) for r in rates], rng())
    assert found.value == pytest.approx(1e6, rel=0.02)
    assert not found.lower_bound


def test_rates_that_do_not_repeat_are_a_lower_bound():
    found = estimate([behind_bucket(r, 0) for r in (1e6, 1.6e6, 2.4e6)], rng())
    assert found.lower_bound


@pytest.mark.parametrize(("bucket", "bound"), [(15_000, True), (100_000, False)])
def test_a_bucket_that_overflows_while_tcp_waits_is_a_lower_bound(bucket, bound):
    transfers = [behind_bucket(1e6, bucket) for _ in range(3)]
    assert estimate(transfers, rng(), rtt_s=0.05).lower_bound == bound
    assert not estimate(transfers, rng()).lower_bound


def test_a_bucket_of_two_packets_is_a_lower_bound_at_any_rate():
    transfers = [behind_bucket(60e3, 0, size=400_000) for _ in range(3)]
    assert estimate(transfers, rng(), rtt_s=0.02).lower_bound


def test_the_first_bucketful_is_no_part_of_the_rate():
    whole = behind_bucket(1e6, 1_500_000)
    known = Series(whole.t_s, whole.wire_bytes, emptied_s=float(whole.t_s[1100]))
    assert envelope(emptied(known)).bucket_bytes < 100_000
    assert estimate([known] * 3, rng()).value == pytest.approx(1e6, rel=0.01)
    assert emptied(whole) is whole


def test_two_transfers_have_a_rate_without_an_interval():
    found = estimate([behind_bucket(1e6, 0)] * 2, rng())
    assert (found.low, found.high) == (None, None)


def test_transfers_under_a_second_have_no_rate():
    assert estimate([series(fetch().fetch)], rng()) is None
    assert envelope(Series(np.empty(0), np.empty(0))) is None
    assert estimate([], rng()) is None


def test_the_same_seed_gives_the_same_interval():
    transfers = [behind_bucket(r, 0) for r in (1e6, 1.02e6, 0.97e6)]
    assert estimate(transfers, rng()) == estimate(transfers, rng())


def test_long_series_are_cut_into_pieces_and_at_pauses():
    first, second = behind_bucket(500e3, 0), behind_bucket(500e3, 0, start=60.0)
    parts = pieces(joined([first, second]))
    assert len(parts) == 2
    assert all(envelope(part).rate_bps == pytest.approx(500e3, rel=0.02) for part in parts)
    assert pieces(Series(np.empty(0), np.empty(0))) == []


def test_late_leaves_out_the_first_tenth():
    arrivals = late(behind_bucket(1e6, 100_000))
    assert arrivals.wire_bytes[0] == pytest.approx(1500, abs=1)
    assert arrivals.wire_bytes[-1] == pytest.approx(0.9 * 2_000_000 * 1500 / 1448, rel=0.01)


def test_spread_is_robust_from_five_values_on():
    assert spread(np.array([1.0, 1.0, 1.0, 1.0, 9.0])) == 0.0
    assert spread(np.array([1.0, 1.0, 9.0])) > 0.5


@pytest.mark.parametrize(("rates", "bound"), [((1, 1, 1, 2), False), ((1, 1, 1, 2, 2), True)])
def test_one_stray_of_four_rates_is_left_out_and_two_of_five_are_not(rates, bound):
    found = estimate([behind_bucket(1e6 * r, 0) for r in rates], rng())
    assert found.lower_bound == bound


@given(st.lists(st.tuples(st.floats(0, 100), st.integers(1, 5000)), min_size=2, max_size=60))
def test_a_sum_of_flows_counts_every_byte(packets):
    packets.sort()
    t_s = np.array([t for t, _ in packets])
    count = np.cumsum([size for _, size in packets]).astype(float)
    total = summed([Series(t_s, count), Series(t_s, count)])
    assert total.wire_bytes[-1] == 2 * count[-1]
    assert (np.diff(total.wire_bytes) >= 0).all()
