"""Derived figures of one transfer."""

import msgspec
import pytest
from builders import RTT_S, SETUP_S, SIZE, bucket_arrivals, fetch, policed, trial

from analysis.fetches import (
    answer_bytes,
    central,
    figures,
    is_proxied,
    late_goodput_bps,
    receiver_rtt_ratio,
    rtt_ratio,
    size_asked,
    time_to_s,
)
from probe.measurement import Fetch, Reach, TcpInfo, Timeline

#: The builders' rates are those of IP packets.
WIRE = 1500 / 1448


def test_goodput_is_the_whole_body_over_the_whole_time():
    seen = figures(fetch(bps=4e6))
    assert seen.size_bytes == SIZE
    assert seen.spent_s == pytest.approx(SETUP_S + RTT_S + SIZE * 8 / 4e6 * WIRE, rel=0.01)
    assert seen.goodput_bps == pytest.approx(8 * SIZE / seen.spent_s)
    assert seen.complete
    assert seen.stop_bytes is None


def test_the_late_rate_leaves_out_the_bucket():
    seen = figures(policed(rate_bps=200e3, bucket=30_000, cut_s=None))
    assert seen.late_goodput_bps == pytest.approx(200e3 * 1448 / 1500, rel=0.02)


def test_a_transfer_cut_by_time_is_not_complete_but_has_not_stopped():
    seen = figures(policed(cut_s=20.0))
    assert not seen.complete
    assert seen.stop_bytes is None


def test_a_transfer_cut_at_the_bytes_asked_for_is_complete():
    whole = fetch(fetch_fields={"censored": "bytes", "limit_bytes": SIZE})
    assert figures(whole).complete


def test_ten_seconds_of_silence_are_a_stop():
    seen = figures(fetch(arrivals=bucket_arrivals(40e6, 1e9, 16_000), cut_s=15.0))
    assert seen.stop_bytes == 16_000
    assert seen.silence_s > 10.0


def test_a_transfer_frozen_within_its_first_record_has_stopped_too():
    frozen = fetch(
        arrivals=bucket_arrivals(40e6, 1e9, 14_480), cut_s=15.0, fetch_fields={"body_bytes": 0}
    )
    assert answer_bytes(frozen.fetch) == 14_480
    assert figures(frozen).stop_bytes == 14_480


def test_time_to_a_size_follows_the_timeline():
    whole = fetch(bps=1e6).fetch
    assert time_to_s(whole, SIZE) == pytest.approx(whole.duration_s)
    half = time_to_s(whole, SIZE // 2)
    assert half == pytest.approx(SETUP_S + RTT_S + SIZE * 4 / 1e6 * WIRE, rel=0.01)


def test_the_size_asked_for_is_the_smaller_of_limit_and_announcement():
    plain = Fetch(url="u", body_bytes=10)
    assert size_asked(plain) == 10
    known = msgspec.structs.replace(plain, expected_bytes=900, limit_bytes=400)
    assert size_asked(known) == 400


def test_round_trips_are_best_told_by_the_sender():
    told = fetch(rtt_ratio=5.0).fetch
    assert rtt_ratio(told) == pytest.approx(5.0)
    sender = (TcpInfo(t_s=1.0, rtt_s=0.3, min_rtt_s=0.1),)
    assert rtt_ratio(msgspec.structs.replace(told, sender_tcp_info=sender)) == pytest.approx(3.0)


def test_a_delay_that_is_there_without_load_is_no_queue():
    queued = fetch(receiver_rtt_ratio=16.0)
    assert receiver_rtt_ratio(queued.fetch) == pytest.approx(16.0)
    delayed = fetch(receiver_rtt_ratio=16.0, ttfb_s=16 * RTT_S)
    assert receiver_rtt_ratio(delayed.fetch) == pytest.approx(1.0)


def test_a_first_byte_behind_a_whole_record_does_not_hide_a_queue():
    answered = Timeline(t_s=(RTT_S, 3 * RTT_S, 1.0), bytes=(0, 1070, 4000))
    slow = fetch(receiver_rtt_ratio=16.0, ttfb_s=16 * RTT_S, fetch_fields={"handshake": answered})
    assert receiver_rtt_ratio(slow.fetch) == pytest.approx(8.0)


def test_what_was_not_measured_is_none():
    bare = Fetch(url="u")
    assert rtt_ratio(bare) is None
    assert receiver_rtt_ratio(bare) is None
    assert late_goodput_bps(bare) is None
    assert central([None, None]) is None


def test_a_connection_that_ends_next_door_says_nothing_of_the_path():
    near = fetch(
        out_of_order=0.2,
        receiver_rtt_ratio=9.0,
        fetch_fields={
            "connect_s": 0.0002,
            "tls_s": 0.08,
            "tcp_info": (TcpInfo(t_s=1.0, min_rtt_s=0.0002, data_segs_in=10, rcv_ooopack=2),),
        },
    )
    assert is_proxied(near.fetch)
    seen = figures(near)
    assert seen.out_of_order_ratio is None
    assert seen.receiver_rtt_ratio is None


def test_another_kind_of_record_is_refused():
    other = trial("reach", reach=Reach(address="192.0.2.1", port=443))
    with pytest.raises(ValueError, match="expected a fetch"):
        figures(other)
