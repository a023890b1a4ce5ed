"""Hand-made fetch sessions and the one finding each must give."""

import math
import re
from random import Random

import msgspec
import numpy as np
import pytest
from builders import (
    bucket_arrivals,
    failed_fetch,
    fetch,
    lossy_arrivals,
    policed,
    session,
    silent_fetch,
)

from analysis.finding import from_json, to_json
from analysis.judge_fetch import compare
from analysis.pairs import Pair
from analysis.verdict import advise, judge
from analysis.wording import describe
from probe import failure
from probe.measurement import Host, RttSample, TcpInfo, Timeline


def rounds(build, count=3, **fields):
    return [build(number=number, **fields) for number in range(count)]


def test_a_service_at_the_speed_of_its_control_is_normal():
    finding = judge(session(rounds(fetch)))
    assert finding.verdict == "normal"
    assert finding.pairs == 3
    assert finding.log_odds < -math.log(100)
    assert "half the control's speed is ruled out" in finding.why


def test_a_policer_is_named_with_its_rate():
    finding = judge(session(rounds(policed)))
    assert (finding.verdict, finding.mechanism, finding.grade) == ("throttled", "policed", "A")
    assert finding.rate_bps.value == pytest.approx(130e3, rel=0.05)
    assert not finding.rate_bps.lower_bound
    assert finding.log_odds > math.log(1000)
    assert "twitter is" in finding.why
    assert "kbit/s" in finding.why


def test_a_queue_is_named_by_its_round_trips():
    targets = rounds(fetch, bps=1e6, rtt_ratio=8.0)
    finding = judge(session(targets))
    assert finding.mechanism == "shaped"
    assert not finding.rate_bps.lower_bound


def test_a_queue_of_one_flow_is_seen_from_within_the_transfer():
    targets = rounds(fetch, bps=1e6, receiver_rtt_ratio=8.0)
    assert judge(session(targets)).mechanism == "shaped"


def test_the_drift_of_a_pacing_sender_is_not_taken_for_a_queue():
    targets = rounds(policed, receiver_rtt_ratio=1.9)
    assert judge(session(targets)).mechanism == "policed"


def test_random_loss_has_no_rate_of_its_own():
    targets = [
        fetch(number=n, arrivals=lossy_arrivals(bps, n), out_of_order=0.17)
        for n, bps in enumerate((0.9e6, 1.6e6, 2.4e6))
    ]
    finding = judge(session(targets))
    assert finding.mechanism == "random_loss"
    assert finding.rate_bps.lower_bound
    assert advise(session(targets)).want == "parallel"


def test_a_policer_that_puts_few_packets_out_of_order_is_told_by_its_pace():
    finding = judge(session(rounds(policed, out_of_order=0.012)))
    assert finding.mechanism == "policed"
    assert not finding.rate_bps.lower_bound


def test_a_server_that_paces_itself_drops_nothing_and_is_no_policer():
    assert judge(session(rounds(policed, out_of_order=0.0))).mechanism == "unclassified"


def test_random_loss_whose_rates_are_alike_by_chance_is_no_policer():
    targets = [
        fetch(number=n, arrivals=lossy_arrivals(bps, n), out_of_order=0.17)
        for n, bps in enumerate((1.5e6, 1.6e6, 1.7e6))
    ]
    assert judge(session(targets)).mechanism == "random_loss"


def test_drops_too_few_to_slow_anyone_by_chance_are_not_called_random_loss():
    targets = [
        fetch(number=n, arrivals=lossy_arrivals(bps, n), out_of_order=0.06)
        for n, bps in enumerate((0.3e6, 0.45e6, 0.7e6))
    ]
    assert judge(session(targets)).mechanism == "unclassified"


def test_transfers_that_stop_at_one_point_are_frozen():
    stops = bucket_arrivals(40e6, 1e9, 14_480)
    targets = rounds(fetch, arrivals=stops, cut_s=15.0)
    finding = judge(session(targets))
    assert (finding.verdict, finding.mechanism) == ("throttled", "frozen")
    assert "14.5 kB" in finding.why
    assert finding.rate_bps is None


def test_transfers_reset_at_one_point_are_frozen_too():
    stops = bucket_arrivals(40e6, 1e9, 16_000)
    targets = rounds(fetch, arrivals=stops, failure=failure.RESET)
    finding = judge(session(targets))
    assert (finding.verdict, finding.mechanism) == ("throttled", "frozen")
    assert "connection_reset" in finding.why


def test_a_late_first_byte_is_a_delay():
    targets = rounds(fetch, ttfb_s=2.6)
    finding = judge(session(targets))
    assert (finding.verdict, finding.mechanism) == ("throttled", "delayed")


def test_a_handshake_that_took_longer_does_not_make_a_slow_body_a_delay():
    targets = [
        fetch(number=n, arrivals=lossy_arrivals(bps, n), out_of_order=0.17, ttfb_s=1.5)
        for n, bps in enumerate((1.8e6, 2.6e6, 3.4e6))
    ]
    assert judge(session(targets)).mechanism == "random_loss"


def test_a_handshake_that_leaves_no_time_for_an_answer_is_a_delay():
    crawled = Timeline(t_s=(0.0, 6.0, 9.0, 12.0), bytes=(0, 1203, 1714, 1714))
    cut = {
        "request_t_s": 6.0,
        "tls_s": 5.95,
        "ttfb_s": None,
        "body_bytes": 0,
        "censored": "judge",
        "timeline": crawled,
        "duration_s": 12.0,
    }
    targets = rounds(fetch, fetch_fields=cut)
    finding = judge(session(targets))
    assert (finding.verdict, finding.mechanism) == ("throttled", "delayed")
    assert finding.rate_bps is None


@pytest.mark.parametrize(
    ("reason", "mechanism"),
    [
        (failure.DNS_NXDOMAIN, "dns"),
        (failure.RESET, "reset"),
        (failure.TIMEOUT, "dropped"),
        (failure.TLS_CERTIFICATE, "tls"),
        (failure.HTTP_REDIRECT_HOST, "blockpage"),
    ],
)
def test_three_failures_of_three_are_a_block(reason, mechanism):
    targets = [failed_fetch(reason, number) for number in range(3)]
    finding = judge(session(targets))
    assert (finding.verdict, finding.mechanism) == ("blocked", mechanism)
    assert "3 of 3" in finding.why
    assert reason in finding.why


def test_silence_that_we_ended_is_a_failure_like_any_other():
    finding = judge(session([silent_fetch(number) for number in range(3)]))
    assert (finding.verdict, finding.mechanism) == ("blocked", "dropped")


def test_a_handshake_whose_bytes_trickle_in_is_a_delay_and_no_block():
    targets = [silent_fetch(number, handshake_bytes=1800, last_byte_s=11.5) for number in range(3)]
    finding = judge(session(targets))
    assert (finding.verdict, finding.mechanism) == ("throttled", "delayed")
    assert "handshake" in finding.why
    assert finding.slowdown is None


def test_a_handshake_that_stops_is_a_block():
    targets = [silent_fetch(number, handshake_bytes=1800) for number in range(3)]
    assert judge(session(targets)).verdict == "blocked"


def test_a_freeze_is_one_whoever_ended_the_transfer():
    stops = bucket_arrivals(40e6, 1e9, 14_480)
    ended = ({"failure": failure.TIMEOUT}, {"censored": "judge"}, {"censored": "time"})
    targets = [
        fetch(number=n, arrivals=stops, cut_s=30.0, fetch_fields={"body_bytes": 0}, **how)
        for n, how in enumerate(ended)
    ]
    finding = judge(session(targets))
    assert (finding.verdict, finding.mechanism, finding.pairs) == ("throttled", "frozen", 3)


def test_two_failures_are_not_yet_a_block():
    targets = [failed_fetch(failure.RESET, number) for number in range(2)]
    assert judge(session(targets)).verdict == "inconclusive"
    assert not advise(session(targets)).stop


@pytest.mark.parametrize(
    "reason", [*sorted(failure.LOCAL), failure.HOST_UNREACHABLE, failure.HTTP_STATUS]
)
def test_no_route_and_a_moved_page_are_never_a_block(reason):
    targets = [failed_fetch(reason, number) for number in range(6)]
    finding = judge(session(targets))
    assert finding.verdict == "inconclusive"
    assert "6 of 6" in finding.why


def test_a_failing_control_leaves_it_open():
    targets = [failed_fetch(failure.TIMEOUT, number) for number in range(4)]
    controls = [msgspec.structs.replace(t, arm="control", id=f"c{t.round}") for t in targets]
    finding = judge([*targets, *controls])
    assert finding.verdict == "inconclusive"
    assert "the control failed too" in finding.why
    assert advise([*targets, *controls]).stop
    assert not advise([targets[0], controls[0]]).stop


def test_a_control_that_seldom_works_ends_the_session():
    targets = [failed_fetch(failure.TIMEOUT, number) for number in range(4)]
    controls = [msgspec.structs.replace(t, arm="control", id=f"c{t.round}") for t in targets]
    assert advise([*targets[:3], *controls[:3]]).stop
    assert not advise([*targets[:2], *controls[:2]]).stop
    assert not advise([*targets[:3], fetch("control"), *controls[1:3]]).stop
    assert advise([*targets, fetch("control"), *controls[1:]]).stop


def test_a_control_that_freezes_like_its_target_ends_the_session():
    def frozen(arm, number):
        return fetch(arm, number, arrivals=bucket_arrivals(40e6, 0, 16_000), cut_s=30.0)

    trials = [frozen(arm, number) for number in range(3) for arm in ("target", "control")]
    assert advise(trials).stop


def test_a_line_that_is_slow_for_both_is_a_slow_line():
    targets = rounds(fetch, bps=300e3)
    assert judge(session(targets, control_bps=(310e3,))).verdict == "slow_line"


def both_cut(target_bps, control_bps, count=5):
    """Pairs of which neither transfer got through in its 30 s."""
    return [
        fetch(arm, number, bps=bps, size=2_000_000, cut_s=30.0)
        for number in range(count)
        for arm, bps in (("target", target_bps), ("control", control_bps * (1 + 0.02 * number)))
    ]


def test_two_transfers_that_were_both_cut_are_compared_at_the_bytes_both_had():
    alike = both_cut(99e3, 99e3)
    assert advise(alike).stop
    assert judge(alike).verdict == "slow_line"
    assert judge(both_cut(60e3, 450e3)).verdict == "throttled"


def test_a_transfer_that_stopped_is_not_timed_by_its_last_byte():
    early = (np.array([0.1, 0.2]), np.array([40_000, 80_000]))
    stopped = fetch(arrivals=early, size=2_000_000, cut_s=30.0)
    steady = fetch("control", bps=99e3, size=2_000_000, cut_s=30.0)
    ratio = compare(Pair(stopped, steady)).log_ratio
    assert ratio.low == -math.inf
    assert ratio.high == pytest.approx(math.log(80_000 * 8 / 99e3 / 30.0), abs=0.1)


def test_slower_by_less_than_twice_is_not_throttled_however_sure_it_is():
    targets = [fetch(number=n, bps=4e6 / (1.6 + 0.01 * n)) for n in range(10)]
    finding = judge(session(targets, control_bps=(4e6,)))
    assert finding.verdict == "inconclusive"
    assert "1.57 times" in finding.why
    assert "twice is the least that counts" in finding.why
    assert advise(session(targets, control_bps=(4e6,))).stop
    twice = [fetch(number=n, bps=4e6 / (1.9 + 0.02 * n)) for n in range(10)]
    assert judge(session(twice, control_bps=(4e6,))).verdict == "throttled"


def test_a_plan_limit_is_normal_because_it_holds_for_both():
    targets = rounds(fetch, bps=2e6)
    assert judge(session(targets, control_bps=(2.1e6, 2e6, 1.9e6))).verdict == "normal"


def test_a_swinging_control_is_no_measure():
    targets = rounds(fetch, count=6, bps=400e3)
    finding = judge(session(targets, control_bps=(0.4e6, 38e6, 38e6, 30e6, 0.5e6, 36e6)))
    assert finding.verdict == "inconclusive"
    assert "control swung too much" in finding.why


def some_policed(pattern):
    return [(policed if slow == "x" else fetch)(number=n) for n, slow in enumerate(pattern)]


def test_a_policer_on_some_connections_is_found_with_its_rate_and_share():
    finding = judge(session(some_policed("-x--xx-x")))
    assert (finding.verdict, finding.mechanism, finding.pairs) == ("throttled", "policed", 8)
    assert finding.rate_bps.value == pytest.approx(130e3, rel=0.05)
    assert finding.slowdown.low > 50
    assert finding.why.startswith("4 of 8 connections to twitter were ")
    assert "the others not" in finding.why


def test_one_slow_connection_asks_for_more_pairs_and_is_named_when_there_are_none():
    trials = session(some_policed("-x---"))
    finding = judge(trials)
    assert finding.verdict == "inconclusive"
    assert "1 of 5 connections were" in finding.why
    assert "the others not" in finding.why
    assert not advise(trials).stop


def test_one_slow_connection_of_many_is_chance_and_said():
    finding = judge(session(some_policed("-x" + 14 * "-")))
    assert finding.verdict == "normal"
    assert "1 of 16 connections being slow by chance" in finding.why


def test_a_line_that_stalls_now_and_then_is_not_partial_throttling():
    stalls = [130e3 if n in (5, 6) else 40e6 for n in range(10)]
    targets = some_policed("-x--xx-x-x")
    finding = judge(session(targets, control_bps=stalls))
    assert finding.verdict == "inconclusive"


def test_a_connection_that_freezes_now_and_then_is_frozen():
    stops = bucket_arrivals(40e6, 1e9, 14_480)
    targets = [
        fetch(number=n, arrivals=stops, cut_s=15.0) if slow == "x" else fetch(number=n)
        for n, slow in enumerate("-x-xx-x")
    ]
    finding = judge(session(targets))
    assert (finding.verdict, finding.mechanism) == ("throttled", "frozen")
    assert "stop dead" in finding.why
    assert finding.slowdown is None


@pytest.mark.parametrize(
    "targets",
    [rounds(policed), rounds(fetch, size=120_000, bps=1e6)],
    ids=["cut short", "smaller than the control"],
)
def test_the_sentence_names_the_figures_that_the_slowdown_is_of(targets):
    finding = judge(session(targets))
    compared = re.search(r"\(([\d.]+) against ([\d.]+) Mbit/s\)", finding.why)
    target, control = map(float, compared.groups())
    assert finding.slowdown.value == pytest.approx(control / target, rel=0.05)


def test_controls_that_differ_among_themselves_raise_what_a_slowdown_must_exceed():
    noisy = (4e6, 1.6e6, 8e6, 2e6, 7e6, 3e6)
    targets = [
        fetch(number=n, bps=bps) for n, bps in enumerate((1.2e6, 0.9e6, 2e6, 0.8e6, 0.9e6, 1e6))
    ]
    assert judge(session(targets, control_bps=(4e6,))).verdict == "throttled"
    finding = judge(session(targets, control_bps=noisy))
    assert finding.verdict == "inconclusive"
    assert "control swung" in finding.why


def test_round_trips_that_swing_with_nothing_under_way_are_congestion():
    targets = rounds(fetch, count=6, bps=14e6)
    controls = [
        fetch("control", n, fetch_fields={"idle_rtt_s": rtt_s})
        for n, rtt_s in enumerate((0.03, 0.09, 0.03, 0.1, 0.12, 0.03))
    ]
    finding = judge([*targets, *controls])
    assert finding.verdict == "inconclusive"
    assert "congested" in finding.why


def test_a_busy_machine_is_not_held_against_a_service():
    busy = Host(loop_lag_s=0.4, cpu_busy_ratio=1.0)
    targets = rounds(fetch, count=4, bps=10e6, host=busy)
    finding = judge(session(targets))
    assert finding.verdict == "inconclusive"
    assert "too busy" in finding.why


def test_a_machine_that_stays_busy_is_not_asked_for_ever():
    busy = session(rounds(fetch, count=12, bps=10e6, host=Host(loop_lag_s=0.4)))
    assert not advise([t for t in busy if t.round < 11]).stop
    assert advise(busy).stop


def test_slow_connections_that_a_busy_machine_left_over_are_no_share_of_all():
    busy = Host(loop_lag_s=0.4)
    lost = [fetch(number=n, bps=10e6, host=busy) for n in range(8, 20)]
    assert judge(session(some_policed("-x--xx-x"))).verdict == "throttled"
    finding = judge(session([*some_policed("-x--xx-x"), *lost]))
    assert finding.verdict == "inconclusive"
    assert "too busy" in finding.why


def test_the_row_of_a_table_names_the_speeds_of_the_sentence():
    trials = session(some_policed("-x--xx-x"))
    finding = judge(trials)
    target, control = re.search(r"\(([\d.]+) against ([\d.]+) Mbit/s\)", finding.why).groups()
    words = describe(finding, trials)
    assert words.figures == f"{float(target):.2g} against {float(control):.0f} Mbit/s"


def test_a_busy_machine_does_not_excuse_a_transfer_no_machine_could_slow():
    busy = Host(loop_lag_s=0.2, cpu_busy_ratio=1.0)
    assert judge(session(rounds(policed, host=busy))).mechanism == "policed"


def test_behind_a_proxy_near_by_the_pace_is_what_counts_and_that_is_said():
    near = {"tcp_info": (TcpInfo(t_s=1.0, min_rtt_s=0.0003, data_segs_in=900, rcv_ooopack=300),)}
    finding = judge(session(rounds(policed, fetch_fields=near)))
    assert (finding.verdict, finding.mechanism) == ("throttled", "policed")
    assert "a proxy near by, so this is read from their pace alone" in finding.why


def test_too_few_bytes_show_nothing():
    targets = rounds(fetch, count=4, size=40_000, bps=130e3)
    finding = judge(session(targets, size=40_000))
    assert finding.verdict == "inconclusive"
    assert "64 kB" in finding.why


def test_a_far_server_is_not_called_throttled_against_a_near_control():
    far = {"idle_rtt_s": 0.25, "connect_s": 0.25, "duration_s": 2.2}
    targets = rounds(fetch, count=12, bps=1.9e6, control_kind="C", fetch_fields=far)
    finding = judge(session(targets, control_kind="C"))
    assert finding.verdict == "inconclusive"
    assert "distance" in finding.why


def test_gross_throttling_is_decided_in_three_pairs_even_against_another_server():
    targets = rounds(policed, control_kind="C")
    finding = judge(session(targets, control_kind="C"))
    assert (finding.verdict, finding.pairs, finding.grade) == ("throttled", 3, "C")


def test_without_a_control_there_is_no_verdict():
    targets = rounds(policed, control_kind="D")
    finding = judge(session(targets, control_kind="D"))
    assert (finding.verdict, finding.grade) == ("inconclusive", "D")


def test_the_usual_ratio_of_a_probe_is_taken_off():
    targets = rounds(fetch, count=6, bps=16e6)
    assert judge(session(targets)).verdict == "throttled"
    assert judge(session(targets), offset=math.log(16 / 40)).verdict == "normal"


def test_the_order_of_trials_does_not_matter():
    trials = session(rounds(policed))
    shuffled = trials[:]
    Random(1).shuffle(shuffled)
    assert judge(shuffled) == judge(trials)


def test_a_session_is_live_until_it_is_decided():
    trials = session(rounds(policed))
    assert not advise([]).stop
    assert not advise([t for t in trials if t.round < 2]).stop
    assert advise(trials).stop


def test_trials_of_two_services_are_refused():
    mixed = [fetch(), fetch("control", service="youtube")]
    with pytest.raises(ValueError, match="one service and one kind"):
        judge(mixed)
    with pytest.raises(ValueError, match="no trials"):
        judge([])


def test_a_finding_has_exactly_the_agreed_fields():
    finding = judge(session(rounds(policed)))
    assert list(msgspec.json.decode(to_json(finding))) == [
        "service", "kind", "country", "asn", "network", "window", "sessions", "pairs", "grade",
        "verdict", "mechanism", "rate_bps", "slowdown", "since", "until", "log_odds", "why",
    ]  # fmt: skip
    assert from_json(to_json(finding)) == finding


def test_a_session_over_quic_says_so():
    finding = judge(session(rounds(policed, fetch_fields={"http": "h3"})))
    assert finding.http == "h3"
    assert finding.why.startswith("twitter over QUIC is ")


def test_the_version_is_the_controls_where_no_target_got_that_far():
    targets = [failed_fetch(failure.TIMEOUT, number) for number in range(3)]
    finding = judge(session(targets, fetch_fields={"http": "h3"}))
    assert (finding.verdict, finding.http) == ("blocked", "h3")


def test_round_trips_that_grow_by_a_millisecond_show_a_busy_host_and_no_queue():
    near = {"idle_rtt_s": 0.0005, "loaded_rtt": (RttSample(t_s=1.0, rtt_s=0.0015),)}
    assert judge(session(rounds(policed, fetch_fields=near))).mechanism == "policed"
