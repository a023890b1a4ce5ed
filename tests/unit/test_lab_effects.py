"""The arithmetic of effects, with literal times."""

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from probe.lab.access import LEAST_SHARE, Access
from probe.lab.effects import CrossLoad, Fading, GilbertElliott, Jitter, Queue, TokenBucket
from probe.lab.rules import BurstLoss, CrossTraffic, Fade, Line

ROUNDING_BYTES = 1e-3


def test_a_full_bucket_passes_its_depth_at_once_and_no_more():
    bucket = TokenBucket(rate_bps=128_000, bucket_bytes=16_000)
    assert [bucket.take(1_000, 5.0) for _ in range(17)] == [True] * 16 + [False]


def test_an_empty_bucket_fills_at_its_rate():
    bucket = TokenBucket(rate_bps=128_000, bucket_bytes=16_000)
    assert bucket.take(16_000, 0.0)
    assert not bucket.take(1_600, 0.0999)
    assert bucket.take(1_600, 0.1)
    assert not bucket.take(1, 0.1)


def test_a_bucket_never_holds_more_than_its_depth():
    bucket = TokenBucket(rate_bps=128_000, bucket_bytes=16_000)
    assert bucket.take(16_000, 0.0)
    assert bucket.take(16_000, 3600.0)
    assert not bucket.take(1, 3600.0)


def test_a_dropped_packet_costs_no_tokens():
    bucket = TokenBucket(rate_bps=8_000, bucket_bytes=1_500)
    assert bucket.take(1_000, 0.0)
    assert not bucket.take(1_000, 0.0)
    assert bucket.take(500, 0.0)


def test_ten_tenths_of_a_second_fill_as_much_as_one_second():
    bucket = TokenBucket(rate_bps=8_000, bucket_bytes=1_000)
    assert bucket.take(1_000, 0.0)
    for tenth in range(1, 10):
        assert not bucket.take(1_000, tenth / 10)
    assert bucket.take(1_000, 1.0)


@given(
    rate_bps=st.floats(1e3, 1e8),
    bucket_bytes=st.integers(1_500, 10**6),
    steps=st.lists(st.tuples(st.floats(0, 2), st.integers(1, 1_500)), min_size=1, max_size=200),
)
def test_no_arrival_pattern_gets_more_than_bucket_plus_rate_through(rate_bps, bucket_bytes, steps):
    bucket = TokenBucket(rate_bps, bucket_bytes)
    now, passed = 0.0, 0
    for wait_s, size in steps:
        now += wait_s
        passed += size if bucket.take(size, now) else 0
    assert passed <= bucket_bytes + rate_bps / 8 * now + ROUNDING_BYTES * len(steps)


def test_a_queue_serves_one_packet_after_the_other():
    queue = Queue(rate_bps=8_000, queue_bytes=10_000)
    assert [queue.depart(1_000, 2.0) for _ in range(3)] == [3.0, 4.0, 5.0]
    assert queue.depart(500, 10.0) == 10.5


def test_a_queue_drops_what_does_not_fit_and_serves_the_rest_as_if_it_had_not_come():
    queue = Queue(rate_bps=8_000, queue_bytes=2_000)
    assert queue.depart(1_000, 0.0) == 1.0
    assert queue.depart(1_000, 0.0) == 2.0
    assert queue.depart(1_000, 0.0) is None
    assert queue.backlog_bytes(0.0) == 2_000
    assert queue.depart(1_000, 1.0) == 3.0


@given(st.lists(st.tuples(st.floats(0, 1), st.integers(1, 1_500)), min_size=1, max_size=100))
def test_a_queue_never_delays_beyond_its_length_and_never_reorders(steps):
    queue = Queue(rate_bps=80_000, queue_bytes=10_000)
    now, last = 0.0, 0.0
    for wait_s, size in steps:
        now += wait_s
        left = queue.depart(size, now)
        if left is not None:
            assert last < left <= now + 10_000 / 10_000 + 1e-9
            last = left


def test_gilbert_elliott_spends_p_over_p_plus_r_of_its_time_losing():
    states = GilbertElliott(BurstLoss(p=0.02, r=0.2), Random(7))
    lost = [states.lost() for _ in range(200_000)]
    assert sum(lost) / len(lost) == pytest.approx(0.02 / 0.22, rel=0.05)
    runs = "".join("x" if one else " " for one in lost).split()
    assert sum(map(len, runs)) / len(runs) == pytest.approx(1 / 0.2, rel=0.05)


def test_gilbert_elliott_with_a_clean_good_state_and_no_way_out_loses_nothing():
    states = GilbertElliott(BurstLoss(p=0.0, r=1.0), Random(1))
    assert not any(states.lost() for _ in range(1_000))


def test_a_fade_lasts_its_time_however_many_packets_cross():
    for interval_s in (0.001, 0.03):
        air = Fading(Fade(good_s=6.0, bad_s=0.3), Random(7))
        lost = [air.lost(100.0 + index * interval_s) for index in range(int(6000 / interval_s))]
        assert sum(lost) / len(lost) == pytest.approx(0.3 / 6.3, rel=0.1)


def test_a_fade_starts_good_and_loses_within_each_state_what_it_says():
    air = Fading(Fade(good_s=1e9, bad_s=1.0, good=0.25), Random(1))
    lost = [air.lost(float(second)) for second in range(10_000)]
    assert sum(lost) / len(lost) == pytest.approx(0.25, rel=0.1)


@given(st.lists(st.floats(0, 0.01), min_size=2, max_size=100))
def test_jitter_stays_within_its_bounds_where_it_may_and_never_reorders(waits):
    jitter = Jitter(0.05, 0.02, Random(3))
    now, last = 0.0, 0.0
    for wait_s in waits:
        now += wait_s
        left = jitter.depart(now)
        assert left >= max(last, now + 0.05)
        assert left <= max(last, now + 0.07)
        last = left


def test_cross_traffic_is_drawn_once_a_period_within_its_swing():
    load = CrossLoad(CrossTraffic(mean_ratio=0.5, swing_ratio=0.3, period_s=0.5), Random(2))
    draws = [load.ratio(tenth / 10) for tenth in range(100)]
    assert all(0.2 <= ratio <= 0.8 for ratio in draws)
    assert len(set(draws)) == 20


LINE = Line(rate_down_bps=8_000_000, rate_up_bps=800_000, rtt_s=0.04, queue_bytes=3_000)


def test_a_line_adds_service_time_and_half_the_round_trip():
    assert Access(LINE, "down", Random(1)).depart(1_000, 1.0) == pytest.approx(1.021)
    assert Access(LINE, "up", Random(1)).depart(1_000, 1.0) == pytest.approx(1.030)


def test_a_line_drops_what_its_queue_cannot_hold():
    line = Access(LINE, "up", Random(1))
    assert [line.depart(1_500, 0.0) is None for _ in range(3)] == [False, False, True]


def test_neighbours_take_their_share_of_the_downlink_only():
    busy = Line(
        rate_down_bps=8_000_000,
        rate_up_bps=8_000_000,
        rtt_s=0.0,
        cross_traffic=CrossTraffic(mean_ratio=0.5),
    )
    assert Access(busy, "down", Random(1)).depart(1_000, 0.0) == pytest.approx(0.002)
    assert Access(busy, "up", Random(1)).depart(1_000, 0.0) == pytest.approx(0.001)


def test_a_line_taken_wholly_by_others_still_moves():
    full = Line(
        rate_down_bps=8_000_000,
        rate_up_bps=8_000_000,
        rtt_s=0.0,
        cross_traffic=CrossTraffic(mean_ratio=1.0),
    )
    assert Access(full, "down", Random(1)).depart(1_000, 0.0) == pytest.approx(0.001 / LEAST_SHARE)
