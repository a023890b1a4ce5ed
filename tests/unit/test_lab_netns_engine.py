"""The engine of the middlebox with literal times: what leaves, when, in what order, counted how."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from probe.lab.netns import dns
from probe.lab.netns.engine import Engine
from probe.lab.rules import (
    Delay,
    DnsTamper,
    Drop,
    Line,
    Loss,
    Match,
    Preset,
    Reset,
    Rule,
    Shape,
)

HOME, WORLD = bytes([198, 18, 0, 2]), bytes([198, 18, 11, 1])
TCP, UDP = 6, 17


def packet(*, up=True, protocol=UDP, size=128, port=443, body=b"", flags=0x10):
    """A whole IPv4 packet between home and world, of ``size`` bytes unless its body says more."""
    ends = (HOME + WORLD) if up else (WORLD + HOME)
    ports = struct.pack("!HH", *((40000, port) if up else (port, 40000)))
    header = ports + bytes(4)
    if protocol == TCP:
        header = ports + struct.pack("!IIBBHHH", 1, 1, 0x50, flags, 0, 0, 0)
    content = header + (body or bytes(max(0, size - 20 - len(header))))
    total = 20 + len(content)
    return struct.pack("!BBHHHBBH", 0x45, 0, total, 0, 0, 64, protocol, 0) + ends + content


class Bench:
    """An engine, and what it has emitted: (time, direction, packet)."""

    def __init__(self, *rules, **line):
        fast = {"rate_down_bps": 1e12, "rate_up_bps": 1e12, "rtt_s": 0.0}
        self.out = []
        self.now = 0.0
        preset = Preset(name="t", title="t", source="t", line=Line(**fast | line), rules=rules)
        self.engine = Engine(preset, 1, lambda way, data: self.out.append((self.now, way, data)))

    def arrive(self, way, data, now):
        self.run(now)
        self.engine.arrive(way, data, now)

    def run(self, until):
        """Run as a loop that is never late."""
        while (due := self.engine.next_at()) is not None and due <= until:
            self.now = due
            self.engine.run(due)
        self.now = until


@pytest.mark.parametrize("way", ["up", "down"])
def test_half_the_round_trip_is_spent_each_way(way):
    bench = Bench(rtt_s=0.04)
    bench.arrive(way, packet(up=way == "up"), 1.0)
    bench.run(2.0)
    assert [at for at, _, _ in bench.out] == [pytest.approx(1.02)]
    assert bench.out[0][1:] == (way, packet(up=way == "up"))


def test_nothing_waits_when_nothing_has_come():
    assert Bench().engine.next_at() is None


def test_a_late_loop_does_not_put_off_what_follows():
    rule = Rule(name="delay", effect=Delay(delay_s=0.1), direction="up")
    bench = Bench(rule, rtt_s=0.04)
    bench.engine.arrive("up", packet(), 0.0)
    # The line's 20 ms are noticed 30 ms late; the censor's 100 ms count from when they were over.
    bench.engine.run(0.05)
    assert bench.engine.next_at() == pytest.approx(0.12)


def test_what_is_due_goes_before_what_arrives():
    bench = Bench(Rule(name="delay", effect=Delay(delay_s=0.1)), rtt_s=0.04)
    bench.engine.arrive("up", packet(body=b"first"), 0.0)
    bench.engine.arrive("down", packet(up=False, body=b"second"), 0.5)
    assert bench.engine.tally.up.passed.packets == 1


def test_the_line_sends_one_packet_after_another():
    bench = Bench(rate_up_bps=8_000, queue_bytes=1_000)
    for _ in range(3):
        bench.arrive("up", packet(size=128), 0.0)
    bench.run(1.0)
    assert [at for at, _, _ in bench.out] == pytest.approx([0.128, 0.256, 0.384])


def test_a_queue_drops_what_does_not_fit_and_says_so():
    bench = Bench(rate_up_bps=8_000, queue_bytes=256)
    for _ in range(3):
        bench.arrive("up", packet(size=128), 0.0)
    bench.run(9.0)
    way = bench.engine.tally.up
    assert (way.passed.packets, way.passed.bytes) == (2, 256)
    assert (way.dropped["line"].packets, way.dropped["line"].bytes) == (1, 128)


def test_what_waits_in_one_flow_does_not_hold_up_another():
    rule = Rule(name="slow", match=Match(ports=(443,)), effect=Delay(delay_s=1.0))
    bench = Bench(rule)
    bench.arrive("down", packet(up=False, port=443), 0.0)
    bench.arrive("down", packet(up=False, port=444), 0.0)
    bench.run(2.0)
    assert [at for at, _, _ in bench.out] == pytest.approx([0.0, 1.0], abs=1e-6)


def test_a_shared_limit_is_shared_and_a_flows_own_is_not():
    effect = Shape(rate_bps=8_000, queue_bytes=1_000)
    for scope, last in (("shared", 0.256), ("flow", 0.128)):
        bench = Bench(Rule(name="shape", effect=effect, scope=scope))
        for port in (443, 444):
            bench.arrive("up", packet(size=128, port=port), 0.0)
        bench.run(1.0)
        assert bench.out[-1][0] == pytest.approx(last, abs=1e-6)


def test_a_packet_without_ports_crosses_the_line_and_no_rule():
    bench = Bench(Rule(name="drop", effect=Drop()), rtt_s=0.02)
    icmp = packet(protocol=1)
    bench.arrive("up", icmp, 0.0)
    bench.run(1.0)
    assert [(way, data) for _, way, data in bench.out] == [("up", icmp)]


def test_a_dropped_packet_is_counted_under_its_rule():
    bench = Bench(Rule(name="gone", effect=Drop(), direction="down"))
    bench.arrive("up", packet(), 0.0)
    bench.arrive("down", packet(up=False), 0.0)
    bench.run(1.0)
    tally = bench.engine.tally
    assert (tally.up.passed.packets, tally.up.dropped) == (1, {})
    assert tally.down.passed.packets == 0
    assert tally.down.dropped["gone"].packets == 1


def test_a_rule_counts_what_it_lets_go_on_and_nothing_before_its_turn():
    late = Rule(name="late", effect=Delay(delay_s=0.1), direction="up", start_after_packets=2)
    other = Rule(name="other", match=Match(ports=(9,)), effect=Drop())
    bench = Bench(late, other)
    for number in range(5):
        bench.arrive("up", packet(size=128), number * 0.001)
        bench.arrive("down", packet(up=False), number * 0.001)
    bench.run(1.0)
    tally = bench.engine.tally
    assert list(tally.up.passed_by) == ["late"]
    assert (tally.up.passed_by["late"].packets, tally.up.passed_by["late"].bytes) == (3, 384)
    assert tally.down.passed_by == {}
    assert tally.up.passed.packets == tally.down.passed.packets == 5


@pytest.mark.parametrize("scope", ["flow", "shared"])
def test_a_rule_passes_or_drops_every_packet_it_is_about(scope):
    rule = Rule(name="loss", match=Match(ports=(443,)), effect=Loss(ratio=0.5), scope=scope)
    bench = Bench(rule)
    for number in range(100):
        bench.arrive("up", packet(port=443 + number % 2), number * 0.001)
    bench.run(1.0)
    way = bench.engine.tally.up
    assert way.passed_by["loss"].packets + way.dropped["loss"].packets == 50
    assert way.passed.packets == way.passed_by["loss"].packets + 50


def test_a_reset_reaches_both_ends_and_the_packet_neither():
    bench = Bench(Rule(name="reset", effect=Reset()), rtt_s=0.04)
    bench.arrive("up", packet(protocol=TCP, body=b"hello"), 0.0)
    bench.run(1.0)
    ways = [(at, way) for at, way, _ in bench.out]
    assert ways == [(pytest.approx(0.02), "up"), (pytest.approx(0.04), "down")]
    assert all(data[33] & 0x04 for _, _, data in bench.out)


def test_a_reset_is_never_answered_with_a_reset():
    bench = Bench(Rule(name="reset", effect=Reset()))
    bench.arrive("up", packet(protocol=TCP, flags=0x04), 0.0)
    bench.run(1.0)
    assert bench.out == []


def test_a_reset_of_what_has_no_connection_is_silence():
    bench = Bench(Rule(name="reset", effect=Reset()))
    bench.arrive("up", packet(protocol=UDP), 0.0)
    bench.run(1.0)
    assert bench.out == []


QUERY = struct.pack("!HHHHHH", 7, 0x0100, 1, 0, 0, 0) + b"\x03abs\x05twimg\x03com\0\0\x01\0\x01"


def test_a_forged_answer_comes_back_and_the_query_goes_no_further():
    forge = DnsTamper(answer="address", address="198.18.99.9")
    rule = Rule(name="dns", match=Match(sni=("*.twimg.com",)), effect=forge)
    bench = Bench(rule, rtt_s=0.04)
    bench.arrive("up", packet(port=dns.PORT, body=QUERY), 0.0)
    bench.run(1.0)
    ((at, way, answer),) = bench.out
    assert (at, way) == (pytest.approx(0.04), "down")
    assert answer.endswith(bytes([198, 18, 99, 9]))
    assert bench.engine.tally.up.dropped["dns"].packets == 1


@pytest.mark.parametrize("body", [QUERY.replace(b"abs", b"pbs"), b"no query at all"])
def test_other_queries_are_left_alone(body):
    rule = Rule(
        name="dns", match=Match(sni=("abs.twimg.com",)), effect=DnsTamper(answer="nxdomain")
    )
    bench = Bench(rule)
    bench.arrive("up", packet(port=dns.PORT, body=body), 0.0)
    bench.run(1.0)
    assert [way for _, way, _ in bench.out] == ["up"]


@given(
    gaps=st.lists(st.floats(0, 0.01), min_size=1, max_size=60),
    jitter_s=st.floats(0, 0.05),
    ratio=st.floats(0, 1),
)
def test_every_packet_is_counted_once_and_none_overtakes_another(gaps, jitter_s, ratio):
    rule = Rule(name="loss", effect=Loss(ratio=ratio))
    bench = Bench(rule, rate_up_bps=1e6, queue_bytes=1_000, rtt_s=0.01, jitter_s=jitter_s)
    now = 0.0
    for number, gap in enumerate(gaps):
        now += gap
        bench.arrive("up", packet(body=number.to_bytes(4, "big"), size=200), now)
    bench.run(now + 9.0)
    numbers = [int.from_bytes(data[28:32], "big") for _, _, data in bench.out]
    way = bench.engine.tally.up
    assert numbers == sorted(set(numbers))
    assert way.passed.packets == len(numbers)
    assert way.passed.packets + sum(c.packets for c in way.dropped.values()) == len(gaps)


def test_the_same_seed_and_packets_give_the_same_fates():
    outs = []
    for _ in range(2):
        bench = Bench(Rule(name="loss", effect=Loss(ratio=0.5)), jitter_s=0.01)
        for number in range(50):
            bench.arrive("up", packet(body=bytes([number])), number * 0.001)
        bench.run(9.0)
        outs.append(bench.out)
    assert outs[0] == outs[1]


def test_far_ends_that_are_too_many_are_forgotten_and_looked_up_again(monkeypatch):
    monkeypatch.setattr("probe.lab.netns.engine._MOST_FLOWS", 2)
    bench = Bench(Rule(name="drop", match=Match(ports=(443,)), effect=Drop()))
    for port in (1, 2, 3, 4, 443, 5):
        bench.arrive("up", packet(port=port), 0.0)
    bench.run(1.0)
    assert bench.engine.tally.up.passed.packets == 5
    assert len(bench.engine._far_ends) <= 3
