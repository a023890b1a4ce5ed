"""A byte stream over the emulated wire, on a clock that jumps: exact times, no waiting."""

import asyncio
import contextlib
from random import Random

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jumping_clock import run

from probe.lab import rules
from probe.lab.actions import Packet
from probe.lab.loopback.sender import HEADER_BYTES, INITIAL_WINDOW, MSS_BYTES, Sender
from probe.lab.loopback.stream import Stream
from probe.lab.loopback.wire import Wire
from probe.lab.rules import Line, Rule

LINE = Line(rate_down_bps=40_000_000, rate_up_bps=40_000_000, rtt_s=0.02, queue_bytes=100_000)
#: Payload's share of what a policer counts.
PAYLOAD_SHARE = MSS_BYTES / (MSS_BYTES + HEADER_BYTES)
TEMPLATE = Packet(
    flow=1,
    direction="down",
    address="198.18.11.1",
    port=443,
    transport="tcp",
    payload=b"",
    size_bytes=0,
)


class Arrived(msgspec.Struct):
    """What came out of a stream: (time, bytes so far), the bytes, how it ended."""

    timeline: list[tuple[float, int]]
    data: bytes
    ended: bool
    reset: bool
    counts: dict


async def transfer(data, *effects, line=LINE, limit_s=3600.0, direction="both", seed=1, held=None):
    policy = tuple(
        Rule(name=f"rule {number}", effect=effect, direction=direction)
        for number, effect in enumerate(effects)
    )
    loop = asyncio.get_running_loop()
    wire = Wire(line, policy, seed)
    done = asyncio.Event()
    out = Arrived(timeline=[], data=b"", ended=False, reset=False, counts={})

    def deliver(piece):
        out.data += piece
        out.timeline.append((loop.time(), len(out.data)))

    def end(name):
        setattr(out, name, True)
        done.set()

    stream = Stream(wire, TEMPLATE, deliver, lambda: end("ended"), lambda _: end("reset"))
    if held:
        stream.held = True
        loop.call_at(held, lambda: (setattr(stream, "held", False), stream.pump()))
    stream.open()
    stream.write(data)
    stream.finish()
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(done.wait(), limit_s)
    stream.closed = True
    out.counts = dict(wire.counts)
    return out


def payload(size):
    return Random(0).randbytes(size)


def goodput_bps(timeline, after_s):
    """Slope from the first arrival after a moment to the last."""
    late = [point for point in timeline if point[0] >= after_s]
    return (late[-1][1] - late[0][1]) * 8 / (late[-1][0] - late[0][0])


def test_what_goes_in_comes_out():
    data = payload(300_000)
    out = run(transfer(data))
    assert out.data == data
    assert out.ended


def test_the_first_byte_takes_half_a_round_trip_and_its_service_time():
    out = run(transfer(b"x"))
    assert out.timeline[-1][0] == pytest.approx(0.01, abs=0.0001)


def test_slow_start_doubles_each_round_trip_to_the_line_rate():
    out = run(transfer(payload(4_000_000)))
    first = [size for t, size in out.timeline if t < 0.0199]
    assert first[-1] == INITIAL_WINDOW
    assert 0.85 < 4_000_000 * 8 / out.timeline[-1][0] / (40e6 * PAYLOAD_SHARE) <= 1.0


@pytest.mark.parametrize(
    ("rate_bps", "bucket_bytes"), [(140_000, 16_000), (512_000, 16_000), (1_000_000, 100_000)]
)
def test_a_policed_stream_gets_the_policers_rate(rate_bps, bucket_bytes):
    size = int(bucket_bytes + rate_bps / 8 * 40)
    out = run(transfer(payload(size), rules.Police(rate_bps=rate_bps, bucket_bytes=bucket_bytes)))
    assert goodput_bps(out.timeline, 5.0) == pytest.approx(rate_bps * PAYLOAD_SHARE, rel=0.03)


def test_a_bucket_of_two_packets_is_more_than_tcp_can_fill():
    out = run(transfer(payload(300_000), rules.Police(rate_bps=128_000, bucket_bytes=3_000)))
    assert 0.4 < goodput_bps(out.timeline, 5.0) / (128_000 * PAYLOAD_SHARE) < 1.0


def test_a_policed_stream_stalls_for_more_than_five_round_trips():
    """Xue et al., IMC 2021, name gaps above 5 RTT as the mark of the policer."""
    out = run(transfer(payload(200_000), rules.Police(rate_bps=140_000, bucket_bytes=16_000)))
    gaps = [b[0] - a[0] for a, b in zip(out.timeline, out.timeline[1:], strict=False)]
    assert sum(gap > 5 * LINE.rtt_s for gap in gaps) > 10


def test_a_shaped_stream_gets_the_shapers_rate_without_long_stalls():
    out = run(transfer(payload(400_000), rules.Shape(rate_bps=140_000, queue_bytes=60_000)))
    assert goodput_bps(out.timeline, 5.0) == pytest.approx(140_000 * PAYLOAD_SHARE, rel=0.03)


def test_a_freeze_stops_at_the_byte():
    data = payload(100_000)
    out = run(transfer(data, rules.Freeze(after_bytes=16_384), limit_s=60.0))
    assert out.data == data[:16_384]
    assert not out.ended
    assert out.timeline[-1][0] < 1.0


def test_a_freeze_after_packets_stops_at_the_packet():
    out = run(transfer(payload(100_000), rules.Freeze(after_packets=25), limit_s=60.0))
    # The first of them is the empty one in the place of the SYN.
    assert len(out.data) == 24 * MSS_BYTES


def test_a_reset_tells_the_stream():
    out = run(transfer(b"hello", rules.Reset(), limit_s=10.0))
    assert out.reset
    assert out.data == b""


def test_a_silent_drop_delivers_nothing_for_as_long_as_one_waits():
    out = run(transfer(b"hello", rules.Drop(), limit_s=300.0))
    assert (out.data, out.ended, out.reset) == (b"", False, False)


def test_every_lost_segment_was_counted_and_sent_again():
    data = payload(500_000)
    out = run(transfer(data, rules.Loss(ratio=0.03)))
    assert out.data == data
    assert out.counts["down", "rule 0"] > 0
    assert out.counts["down", "passed"] == 1 + -(-500_000 // MSS_BYTES)


def test_a_hold_moves_the_whole_answer_and_nothing_else():
    out = run(transfer(payload(100_000), rules.Hold(delay_s=2.5)))
    assert 2.5 < out.timeline[0][0] < 2.52
    assert out.timeline[-1][0] < 2.8


def test_a_crawling_handshake_takes_its_time_for_the_first_bytes():
    out = run(transfer(payload(2_000), rules.HandshakeCrawl(rate_bps=1_600, first_bytes=1_800)))
    assert 9.5 < out.timeline[-1][0] < 11.0


def test_bbr_keeps_its_window_through_random_loss():
    lossy = [
        msgspec.structs.replace(LINE, loss_ratio=0.02, congestion_control=name)
        for name in ("cubic", "bbr")
    ]
    cubic, bbr = (run(transfer(payload(1_000_000), line=line)).timeline[-1][0] for line in lossy)
    assert bbr < cubic


def test_a_reader_that_stops_closes_the_window():
    out = run(transfer(payload(100_000), held=5.0))
    assert out.timeline[1][0] > 5.0
    assert out.ended


@settings(max_examples=25, deadline=None)
@given(
    size=st.integers(0, 60_000),
    ratio=st.floats(0, 0.4),
    jitter_s=st.floats(0, 0.05),
    seed=st.integers(0, 1_000),
)
def test_every_byte_arrives_in_order_whatever_is_lost(size, ratio, jitter_s, seed):
    data = payload(size)
    effects = (rules.Loss(ratio=ratio), rules.Delay(delay_s=0.0, jitter_s=jitter_s))
    out = run(transfer(data, *effects, seed=seed))
    assert out.data == data
    assert out.ended


def test_a_window_shrinks_once_a_round_trip_however_many_are_lost():
    sender = Sender(0.02, "cubic")
    for _ in range(10):
        sender.sent(MSS_BYTES)
    for _ in range(4):
        sender.declared_lost(MSS_BYTES, 1.0, timeout=False)
    assert sender.window_bytes == pytest.approx(0.7 * INITIAL_WINDOW)
    sender.declared_lost(MSS_BYTES, 1.03, timeout=False)
    assert sender.window_bytes == pytest.approx(0.49 * INITIAL_WINDOW)


def test_the_time_out_doubles_until_something_arrives():
    sender = Sender(0.1, "cubic")
    waits = []
    now = 0.0
    for _ in range(3):
        sender.sent(MSS_BYTES)
        wait_s, timeout = sender.notices(again=True)
        now += wait_s
        waits.append(wait_s)
        sender.declared_lost(MSS_BYTES, now, timeout=timeout)
    assert waits == pytest.approx([0.3, 0.6, 1.2])
    sender.sent(MSS_BYTES)
    sender.acknowledged(MSS_BYTES, 0.1)
    assert sender.notices(again=True) == (pytest.approx(0.3), True)


def test_an_early_loss_is_known_after_a_round_trip_or_a_tail_probe():
    sender = Sender(0.05, "cubic")
    sender.sent(MSS_BYTES)
    assert sender.notices(again=False) == (pytest.approx(0.1), False)
    for _ in range(5):
        sender.sent(MSS_BYTES)
    assert sender.notices(again=False) == (pytest.approx(0.05), False)
