"""Rates and waits of a censor against measures of their own: iperf3, and one-way delays."""

import pytest
from netns_tools import PORT, curl, iperf, lab_with, median, needs_namespaces, udp_flow

from probe.lab.rules import Delay, HandshakeCrawl, Hold, Match, Police, Rule, Shape

pytestmark = needs_namespaces

UDP = Match(transport="udp")
HEADERS_BYTES = 28


@pytest.mark.parametrize("option", [(), ("-R",)], ids=["up", "down"])
def test_a_policer_passes_its_rate_to_a_udp_flood(option):
    rule = Rule(name="police", match=UDP, effect=Police(rate_bps=1e6, bucket_bytes=16_000))
    with lab_with(rule) as lab:
        flood = ("-u", "-b", "3M", "-l", "1000", "-t", "4", "-O", "1", *option)
        received = iperf(lab, *flood)["end"]["sum_received"]["bits_per_second"]
        dropped = lab.counters().way("down" if option else "up").dropped
    assert received * (1000 + HEADERS_BYTES) / 1000 == pytest.approx(1e6, rel=0.03)
    assert set(dropped) == {"police"}


@pytest.mark.parametrize("rate_bps", [150e3, 2e6])
def test_a_policer_holds_kernel_tcp_to_its_rate(rate_bps):
    rule = Rule(name="police", effect=Police(rate_bps=rate_bps, bucket_bytes=16_000))
    with lab_with(rule, rtt_s=0.03) as lab:
        end = iperf(lab, "-R", "-t", "6", "-O", "2")["end"]
    carried_bps = end["sum_received"]["bits_per_second"] * 1500 / 1448
    # While TCP waits for its retransmission timer the bucket fills, once at most in the 4 s seen.
    assert carried_bps <= rate_bps * 1.03 + 16_000 * 8 / 4
    assert carried_bps >= rate_bps * 0.7
    assert end["sum_sent"]["retransmits"] > 0


def test_the_bucket_of_a_policer_is_passed_at_once():
    rule = Rule(name="police", match=UDP, effect=Police(rate_bps=8_000, bucket_bytes=20_000))
    with lab_with(rule) as lab:
        arrivals = udp_flow(lab, count=60, size=1000 - HEADERS_BYTES, gap_s=0.0005)
    assert [arrival.number for arrival in arrivals][:20] == list(range(20))
    assert len(arrivals) == 20


@pytest.mark.parametrize("up", [True, False], ids=["up", "down"])
def test_a_shaper_delays_by_its_queue_length_and_no_more(up):
    rule = Rule(name="shape", match=UDP, effect=Shape(rate_bps=1e6, queue_bytes=30_000))
    with lab_with(rule, rtt_s=0.01) as lab:
        arrivals = udp_flow(lab, up=up, count=300, size=1000 - HEADERS_BYTES, gap_s=0.004)
    waits_s = [arrival.delay_s - 0.005 for arrival in arrivals]
    # Single packets may meet a busy machine; what many of them say may not.
    assert 1000 * 8 / 1e6 - 0.001 <= waits_s[0] < 1000 * 8 / 1e6 + 0.02
    assert sorted(waits_s)[-10] == pytest.approx(30_000 * 8 / 1e6, rel=0.03)
    # Full from then on: what gets in waits for all but the packet that has just left.
    assert median(waits_s[-50:]) >= 29_000 * 8 / 1e6 * 0.97


def test_a_delay_adds_to_one_direction_alone():
    rule = Rule(name="delay", match=UDP, effect=Delay(delay_s=0.05), direction="up")
    with lab_with(rule, rtt_s=0.01) as lab:
        slow, fast = udp_flow(lab, up=True), udp_flow(lab, up=False)
    assert median(a.delay_s for a in slow) == pytest.approx(0.055, abs=0.001)
    assert median(a.delay_s for a in fast) == pytest.approx(0.005, abs=0.001)


def test_a_hold_lets_all_go_at_once():
    rule = Rule(name="hold", match=UDP, effect=Hold(delay_s=0.3), direction="up")
    with lab_with(rule, rtt_s=0.01) as lab:
        arrivals = udp_flow(lab, count=400, gap_s=0.001)
    assert [arrival.number for arrival in arrivals] == list(range(400))
    assert arrivals[0].delay_s == pytest.approx(0.305, abs=0.02)
    assert median(a.delay_s for a in arrivals[-50:]) == pytest.approx(0.005, abs=0.002)


def test_a_handshake_crawls_and_the_rest_runs_free():
    crawl = HandshakeCrawl(rate_bps=8_000, first_bytes=1_000)
    rule = Rule(name="crawl", effect=crawl, direction="down")
    with lab_with(rule, rtt_s=0.01) as lab:
        status, size, seconds = curl(lab, "abs.twimg.com")
    assert (status, size) == (0, 480_000)
    assert 1.0 <= seconds <= 3.0


def test_flows_outside_a_match_are_left_alone():
    rule = Rule(name="delay", match=Match(ports=(PORT,)), effect=Delay(delay_s=0.05))
    with lab_with(rule, rtt_s=0.01) as lab:
        slow, fast = udp_flow(lab, port=PORT), udp_flow(lab, port=PORT + 1)
    assert median(a.delay_s for a in slow) == pytest.approx(0.055, abs=0.001)
    assert median(a.delay_s for a in fast) == pytest.approx(0.005, abs=0.001)
