"""What a censor loses, against what really arrived: exact counts, bytes and packet numbers."""

import re
import subprocess
import time
from itertools import groupby

import pytest
from netns_tools import PEER, curl, lab_with, needs_namespaces, numbers, udp_flow

from probe.lab.rules import (
    BurstLoss,
    ConnectionPolicing,
    Cut,
    Degrade,
    Drop,
    DropAcks,
    Freeze,
    Loss,
    Match,
    Rule,
)

pytestmark = needs_namespaces
UDP = Match(transport="udp")


@pytest.mark.parametrize("up", [True, False], ids=["up", "down"])
def test_random_loss_is_counted_to_the_packet(up):
    with lab_with(Rule(name="loss", match=UDP, effect=Loss(ratio=0.3))) as lab:
        arrivals = udp_flow(lab, up=up, count=1000, size=400, gap_s=0.001)
        way = lab.counters().way("up" if up else "down")
    assert way.passed.packets == len(arrivals)
    assert way.dropped["loss"].packets == 1000 - len(arrivals)
    assert way.dropped["loss"].bytes == 428 * (1000 - len(arrivals))
    assert way.passed_by["loss"].packets == len(arrivals)
    assert way.passed_by["loss"].bytes == 428 * len(arrivals)
    # Five standard deviations of a binomial: the seed is fixed, the number of packets is not.
    assert len(arrivals) == pytest.approx(700, abs=73)


def test_the_same_seed_loses_the_same_packets():
    seen = []
    for _ in range(2):
        with lab_with(Rule(name="loss", match=UDP, effect=Loss(ratio=0.3))) as lab:
            seen.append(numbers(udp_flow(lab, count=300, gap_s=0.001)))
    assert seen[0] == seen[1]


def test_bursts_are_as_long_as_the_model_says():
    rule = Rule(name="bursts", match=UDP, effect=BurstLoss(p=0.05, r=0.25))
    with lab_with(rule) as lab:
        got = set(numbers(udp_flow(lab, count=3000, size=200, gap_s=0.0005)))
        dropped = lab.counters().up.dropped["bursts"].packets
    runs = [len(list(run)) for lost, run in groupby(range(3000), lambda n: n not in got) if lost]
    assert dropped == 3000 - len(got) == sum(runs)
    assert sum(runs) / 3000 == pytest.approx(0.05 / (0.05 + 0.25), rel=0.35)
    assert sum(runs) / len(runs) == pytest.approx(1 / 0.25, rel=0.35)


def test_loss_on_the_line_is_counted_as_the_lines():
    with lab_with(loss_ratio=0.1) as lab:
        arrivals = udp_flow(lab, count=500, gap_s=0.001)
        way = lab.counters().up
    assert way.passed.packets == len(arrivals)
    assert way.dropped["line"].packets == 500 - len(arrivals) > 0


def test_a_degraded_flow_is_whole_up_to_the_onset_and_thinned_after_it():
    rule = Rule(name="degrade", match=UDP, effect=Degrade(after_packets=30, pass_ratio=0.2))
    with lab_with(rule) as lab:
        got = numbers(udp_flow(lab, count=530, gap_s=0.001))
    assert got[:30] == list(range(30))
    assert len(got) - 30 == pytest.approx(100, abs=45)


def test_packets_freeze_after_their_number():
    with lab_with(Rule(name="freeze", match=UDP, effect=Freeze(after_packets=25))) as lab:
        assert numbers(udp_flow(lab, count=60)) == list(range(25))


def test_a_flow_freezes_to_the_byte():
    # 40 payloads of 400 bytes are 16000: the 41st would make 16400.
    with lab_with(Rule(name="freeze", match=UDP, effect=Freeze(after_bytes=16_384))) as lab:
        assert numbers(udp_flow(lab, count=80, size=400)) == list(range(40))


def test_a_frozen_download_stops_within_a_segment_of_its_bytes_and_stays_open():
    freeze = Freeze(after_bytes=16_384)
    with lab_with(Rule(name="freeze", effect=freeze, direction="down")) as lab:
        words = ["curl", "-sk", "-o", "/dev/null", "https://abs.twimg.com/bytes/480000"]
        with subprocess.Popen(lab.command("home", words)) as client:
            time.sleep(1.5)
            sockets = lab.run(["ss", "-Htin"], capture_output=True, text=True).stdout
            client.kill()
    assert sockets.startswith("ESTAB")
    received = int(re.search(r"bytes_received:(\d+)", sockets)[1])
    segment = int(re.search(r"rcvmss:(\d+)", sockets)[1])
    assert 16_384 - segment < received <= 16_384


def test_a_cut_ends_a_flow_both_ways():
    with lab_with(Rule(name="cut", match=UDP, effect=Cut(after_s=0.5))) as lab:
        got = numbers(udp_flow(lab, count=200, gap_s=0.01))
    assert got == list(range(len(got)))
    assert len(got) == pytest.approx(50, abs=3)


def test_a_drop_is_silence():
    with lab_with(Rule(name="drop", match=Match(addresses=(f"{PEER}/32",)), effect=Drop())) as lab:
        status, size, seconds = curl(lab, "pages.example", "--max-time", "1")
        dropped = lab.counters().up.dropped["drop"].packets
        other = curl(lab, "wiki.example")
    timed_out = 28
    assert (status, size) == (timed_out, 0)
    assert seconds >= 1
    assert dropped >= 1
    assert other[:2] == (0, 480_000)


def test_lost_acknowledgements_do_not_stop_a_transfer():
    rule = Rule(name="acks", effect=DropAcks(ratio=0.5), direction="up")
    with lab_with(rule, rtt_s=0.03) as lab:
        status, size, _ = curl(lab, "pages.example")
        way = lab.counters().up
    assert (status, size) == (0, 480_000)
    assert set(way.dropped) == {"acks"}
    # A bare segment is a header of 32 bytes (timestamps), at most 20 more (SACK), and IP's 20.
    assert 52 <= way.dropped["acks"].bytes / way.dropped["acks"].packets <= 92


def test_a_rule_waits_for_its_packet():
    rule = Rule(name="late", match=UDP, effect=Drop(), start_after_packets=10)
    with lab_with(rule) as lab:
        assert numbers(udp_flow(lab, count=30)) == list(range(10))


def test_half_of_the_flows_are_hit_where_the_rule_says_half():
    rule = Rule(name="half", match=UDP, effect=Drop(), probability=0.5)
    with lab_with(rule) as lab:
        hit = sum(not udp_flow(lab, count=3, port=8000 + n, silence_s=0.1) for n in range(6))
    assert 1 <= hit <= 5


def test_a_flow_is_forgotten_after_its_idle_time():
    rule = Rule(name="once", match=UDP, effect=Freeze(after_packets=5), state_timeout_s=0.5)
    with lab_with(rule) as lab:
        first = numbers(udp_flow(lab, count=10))
        second = numbers(udp_flow(lab, count=10))
    assert first == second == list(range(5))


def test_the_fourth_parallel_handshake_gets_no_answer():
    effect = ConnectionPolicing(connections=4, window_s=2.0, block_s=60.0)
    with lab_with(Rule(name="police", match=Match(transport="tcp"), effect=effect)) as lab:
        statuses = [curl(lab, "pages.example", "--max-time", "1")[0] for _ in range(5)]
        elsewhere = curl(lab, "wiki.example")[0]
    assert statuses == [0, 0, 0, 28, 28]
    assert elsewhere == 0
