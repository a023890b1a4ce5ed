"""The line without a censor: what it delays, carries and shows is what the preset says."""

import subprocess
import time

import pytest
from netns_tools import (
    HOME,
    PEER,
    curl,
    iperf,
    lab_with,
    median,
    needs_namespaces,
    ping_s,
    sending,
    udp_flow,
)

from probe.lab.rules import CrossTraffic

pytestmark = needs_namespaces


def test_a_round_trip_of_40_ms_is_held_within_1_ms():
    with lab_with(rtt_s=0.04) as lab:
        times_s = ping_s(lab, "-c", "300", "-i", "0.005")
    assert len(times_s) == 300
    assert min(times_s) >= 0.04
    assert median(times_s) == pytest.approx(0.04, abs=0.001)


def test_jitter_is_uniform_from_zero_and_never_reorders():
    with lab_with(rtt_s=0.02, jitter_s=0.01) as lab:
        arrivals = udp_flow(lab, count=200, gap_s=0.012)
    delays_s = [arrival.delay_s - 0.01 for arrival in arrivals]
    assert [arrival.number for arrival in arrivals] == list(range(200))
    assert min(delays_s) >= 0
    # The median of 200 uniform draws strays by 0.35 ms; four times that, and the loop.
    assert median(delays_s) == pytest.approx(0.005, abs=0.002)


@pytest.mark.parametrize(("option", "rate_bps"), [("-R", 8e6), ("-u", 2e6)])
def test_the_access_line_carries_its_rate(option, rate_bps):
    with lab_with(rate_down_bps=8e6, rate_up_bps=2e6, queue_bytes=60_000) as lab:
        if option == "-u":
            end = iperf(lab, "-u", "-b", "4M", "-l", "1000", "-t", "3", "-O", "1")["end"]
            carried_bps = end["sum_received"]["bits_per_second"] * 1028 / 1000
        else:
            end = iperf(lab, "-R", "-t", "3", "-O", "1")["end"]
            carried_bps = end["sum_received"]["bits_per_second"] * 1500 / 1448
    assert carried_bps == pytest.approx(rate_bps, rel=0.03)


def test_a_full_access_queue_holds_up_a_ping_by_its_length():
    full = lab_with(rate_up_bps=2e6, queue_bytes=50_000, rtt_s=0.02)
    with full as lab, sending(lab, count=1500, size=1000, gap_s=0.002):
        time.sleep(1)
        times_s = ping_s(lab, "-c", "20", "-i", "0.1", "-s", "16")
    # A ping that gets in finds the queue full but for less than one packet of the flood.
    assert median(times_s) == pytest.approx(0.02 + 50_000 * 8 / 2e6, rel=0.03)


def test_cross_traffic_takes_its_share():
    with lab_with(rate_down_bps=8e6, cross_traffic=CrossTraffic(mean_ratio=0.5)) as lab:
        end = iperf(lab, "-R", "-t", "3", "-O", "1")["end"]
    carried_bps = end["sum_received"]["bits_per_second"] * 1500 / 1448
    assert carried_bps == pytest.approx(4e6, rel=0.03)


@pytest.mark.parametrize("algorithm", ["cubic", "bbr"])
def test_both_ends_run_the_congestion_control_of_the_preset(algorithm):
    with lab_with(congestion_control=algorithm) as lab:
        report = iperf(lab, "-t", "1")["end"]
    assert report["sender_tcp_congestion"] == report["receiver_tcp_congestion"] == algorithm


def test_packets_on_the_wire_are_no_larger_than_the_line_takes():
    with lab_with() as lab:
        words = ["tcpdump", "-i", "eth0", "-n", "-c", "200", "-w", "-", "tcp"]
        seen = subprocess.Popen(
            lab.command("home", words), stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        assert seen.stderr.readline().startswith(b"tcpdump: listening")
        assert curl(lab, "pages.example")[:2] == (0, 480_000)
        capture = seen.communicate(timeout=20)[0]
    sizes, at = [], 24
    while at < len(capture):
        sizes.append(int.from_bytes(capture[at + 12 : at + 16], "little"))
        at += 16 + int.from_bytes(capture[at + 8 : at + 12], "little")
    assert len(sizes) == 200
    assert max(sizes) == 14 + 1500


def test_there_is_one_router_before_the_middlebox_and_one_behind_it():
    with lab_with() as lab:
        answers = [
            lab.run(["ping", "-n", "-c", "1", "-t", ttl, PEER], capture_output=True, text=True)
            for ttl in ("1", "2", "3")
        ]
        crossed = lab.counters().up.passed.packets
    assert "From 198.18.0.1 " in answers[0].stdout
    assert "From 198.18.0.13 " in answers[1].stdout
    assert answers[2].returncode == 0
    assert crossed == 2


def test_names_resolve_to_addresses_of_the_lab_and_nothing_else_resolves():
    with lab_with() as lab:
        known = lab.run(["getent", "ahostsv4", "abs.twimg.com"], capture_output=True, text=True)
        unknown = lab.run(["getent", "hosts", "example.com"], capture_output=True, text=True)
    assert known.stdout.split()[0].startswith("198.18.")
    assert unknown.stdout == ""


def test_the_home_sees_no_network_but_the_labs():
    with lab_with() as lab:
        words = ["ip", "-br", "-4", "addr"]
        rows = lab.run(words, capture_output=True, text=True).stdout.splitlines()
    assert [row.split()[2].split("/")[0] for row in rows] == ["127.0.0.1", HOME]


@pytest.mark.parametrize("version", ["--http1.1", "--http2"])
def test_web_servers_speak_both_versions_under_the_labs_authority(version):
    with lab_with() as lab:
        assert curl(lab, "abs.twimg.com", version)[:2] == (0, 480_000)
        words = ["curl", "-sS", "-o", "/dev/null", "https://abs.twimg.com/"]
        mistrusted = lab.run([*words, "--cacert", "/etc/ssl/certs/ca-certificates.crt"])
    assert mistrusted.returncode == 60
