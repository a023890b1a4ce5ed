"""Each packet's fate, over a wire in memory whose every drop is known."""

import random

import pytest
from call_in_memory import MS, STRANGER, Clock, Line, make_reflector, make_talk, never
from hypothesis import given, settings
from hypothesis import strategies as st

from probe.call.ledger import Ledger
from probe.call.shapes import SHAPES
from probe.call.wire import Arrivals, Reply


def open_line(count=40, **talk):
    line = Line(make_talk(count, **talk), count)
    line.open()
    return line


@pytest.mark.parametrize("shape", SHAPES)
def test_a_clean_wire_loses_nothing_in_any_shape(shape):
    line = open_line(shape=shape)
    line.call()
    line.report()
    assert line.fates() == ["ok"] * 40


@pytest.mark.parametrize("like", SHAPES)
def test_a_random_flow_goes_through_the_same_exchanges_in_the_same_lengths(like):
    def lengths(shape):
        line = Line(make_talk(40, shape=shape, like=like), 40)
        seen = []
        inner = line.to_far_end

        def watch(datagram, address=None):
            replies = inner(datagram, address)
            seen.append((len(datagram), [len(reply) for reply in replies]))
            return replies

        line.to_far_end = watch
        assert None not in line.open()
        line.call()
        line.report()
        return seen

    assert lengths("random") == lengths(like)


@given(st.data())
@settings(deadline=None, max_examples=40)
def test_losses_get_exactly_their_direction_once_the_far_end_has_reported(data):
    count = 60
    up = data.draw(st.sets(st.integers(0, count - 1)))
    down = data.draw(st.sets(st.integers(0, count - 1)))
    line = open_line(count, shape="whatsapp", size=45)
    line.call(up=lambda seq: seq not in up, down=lambda seq: seq not in down)
    line.report()
    expected = [
        "lost_up" if seq in up else "lost_down" if seq in down else "ok" for seq in range(count)
    ]
    assert line.fates() == expected
    counts = line.ledger.counts()
    assert counts["far_received"] == count - len(up)
    assert counts["lost_up"] == len(up)
    assert counts["lost_down"] == len(down - up)


def test_a_thousand_packets_with_a_third_lost_need_no_report_when_replies_have_room():
    rng = random.Random(4)
    lost = {seq for seq in range(1000) if rng.random() < 0.3}
    line = open_line(1000, size=172)
    line.call(up=lambda seq: seq not in lost)
    fates = line.fates()
    assert {seq for seq, fate in enumerate(fates) if fate == "lost_up"} == lost
    assert set(fates) == {"lost_up", "ok"}


def test_a_reply_of_an_ordinary_size_tells_of_more_than_400_packets():
    line = open_line(500, size=142)
    line.call(down=lambda seq: seq == 499)
    assert line.fates()[-430:-1] == ["lost_down"] * 429


def test_a_cut_after_thirty_packets_shows_at_its_packet():
    line = open_line(100)
    line.call(up=lambda seq: seq < 30)
    line.report()
    assert line.fates() == ["ok"] * 30 + ["lost_up"] * 70


def test_without_any_report_the_loss_after_the_last_reply_has_no_direction():
    line = open_line(50)
    line.call(up=lambda seq: seq not in (3, 4) and seq < 40)
    fates = line.fates()
    assert fates[3:5] == ["lost_up", "lost_up"]
    assert fates[40:] == ["lost"] * 10


def test_a_report_of_other_packets_than_were_asked_for_is_not_the_answer():
    line = open_line(4000)
    line.call(up=lambda seq: seq % 3)
    line.talk.forget_cookie()  # four minutes old
    asks = line.talk.closing()
    hello = next(asks)
    first = asks.send(hello.read(line.to_far_end(hello.datagram)[0]))
    [answer] = line.to_far_end(first.datagram)
    second = asks.send(first.read(answer))
    assert second.read(answer) is None
    line.report()
    assert line.fates() == ["ok" if seq % 3 else "lost_up" for seq in range(4000)]


def test_when_nothing_arrived_the_report_says_so():
    line = open_line()
    line.call(up=never)
    line.report()
    assert line.fates() == ["lost_up"] * 40


def test_the_report_can_be_had_from_another_address_with_a_cookie_of_its_own():
    line = open_line()
    line.call(down=never)
    line.address = STRANGER
    line.talk.forget_cookie()
    line.report()
    assert line.fates() == ["lost_down"] * 40


def test_after_a_nat_has_moved_packets_still_count_as_arrived():
    line = open_line()
    line.start_ns = line.clock.now_ns
    for seq in range(40):
        line.address = ("192.0.2.1", 5000) if seq < 10 else ("192.0.2.1", 5777)
        assert (line.exchange(seq) is not None) == (seq < 10)
    line.talk.forget_cookie()
    line.report()
    assert line.fates() == ["ok"] * 10 + ["lost_down"] * 30


def test_far_end_times_and_round_trips_are_kept_to_the_nanosecond():
    line = open_line(3)
    line.call()
    columns = line.ledger.columns()
    assert columns["far_receive_ns"] == [0, 60 * MS, 120 * MS]
    assert columns["far_send_ns"] == columns["far_receive_ns"]
    assert columns["kernel_receive_ns"] == [40 * MS, 100 * MS, 160 * MS]


def test_a_reply_that_comes_twice_is_a_duplicate_and_keeps_its_first_time():
    line = open_line(3)
    line.call()
    again = line.reflector.handle(line.talk.media(2), line.address, line.clock.now_ns)
    assert again == []
    reply = Reply(1, 5, 5)
    line.ledger.replied(reply, 300 * MS, 300 * MS)
    assert line.fates() == ["ok", "duplicate", "ok"]
    assert line.ledger.columns()["user_receive_ns"][1] == 100 * MS


def test_a_packet_repeated_on_the_way_up_is_counted_in_the_report():
    line = open_line(3)
    line.call()
    line.to_far_end(line.talk.media(1))
    line.report()
    assert line.ledger.counts()["duplicates"] == 1


def test_a_reply_reordered_by_minutes_is_late():
    line = open_line(3)
    held = line.exchange(0, down=False)
    line.exchange(1)
    line.exchange(2)
    line.take(held, 120_000 * MS)
    assert line.fates() == ["late", "ok", "ok"]


@pytest.mark.parametrize("cut", [1, 4, 8, 25, 100, 149])
def test_a_truncated_reply_is_not_a_reply(cut):
    line = open_line(3)
    reply = line.exchange(0, down=False)
    assert line.talk.reply(reply[:-cut]) is None
    assert line.talk.reply(reply[cut:]) is None


def test_an_oversized_a_forged_and_another_flows_reply_are_not_replies():
    line = open_line(3)
    other = Line(make_talk(3, seed=2), 3, clock=line.clock, reflector=line.reflector)
    other.open()
    reply = line.exchange(0, down=False)
    foreign = other.exchange(0, down=False)
    flipped = bytes([reply[0] ^ 1]) + reply[1:]
    for datagram in (reply + b"x", flipped, foreign, line.talk.media(0)):
        assert line.talk.reply(datagram) is None


def test_impossible_far_end_times_are_left_out_but_the_packet_counts():
    ledger = Ledger((0, 60 * MS), (150, 150), far_end=True)
    ledger.sent(0, 0)
    ledger.replied(Reply(0, 10 * MS, 90_000 * MS), 40 * MS, 40 * MS)
    assert ledger.columns()["far_send_ns"] == [None]
    assert ledger.fates() == ["ok"]


@pytest.mark.parametrize("stamp_ns", [-500 * MS, 3_600_000 * MS])
def test_a_kernel_stamp_from_before_the_sending_or_after_its_reading_is_left_out(stamp_ns):
    ledger = Ledger((0, 60 * MS), (150, 150), far_end=True)
    ledger.sent(0, 1)
    ledger.left(0, stamp_ns, MS)
    ledger.replied(Reply(0), 40 * MS, stamp_ns)
    assert ledger.stamps() == ()
    assert ledger.columns()["kernel_receive_ns"] == [None]


def test_a_reply_to_a_packet_never_sent_is_nothing():
    ledger = Ledger((0, 60 * MS), (150, 150), far_end=True)
    ledger.replied(Reply(1, 0, 0, Arrivals(1, 0, 2, 3)), 5, 5)
    assert ledger.counts()["received"] == 0
    assert ledger.counts()["far_received"] == 0


def test_a_relays_losses_have_no_direction():
    ledger = Ledger((0, 60 * MS), (20, 20), far_end=False)
    ledger.sent(0, 0)
    ledger.sent(1, 60 * MS)
    ledger.replied(Reply(1), 90 * MS, None)
    assert ledger.fates() == ["lost", "ok"]
    counts = ledger.counts()
    assert (counts["lost_up"], counts["lost_down"], counts["far_received"]) == (None, None, None)


def test_a_packet_sent_more_than_half_an_interval_late_is_flagged():
    ledger = Ledger((0, 60 * MS, 120 * MS), (150,) * 3, far_end=True)
    for seq, late_ms in enumerate((30, 31, 0)):
        ledger.sent(seq, seq * 60 * MS + late_ms * MS)
    assert ledger.counts()["sender_late"] == 1


def test_the_wait_for_replies_follows_the_longest_round_trip_within_bounds():
    ledger = Ledger((0, 60 * MS), (150, 150), far_end=True)
    assert ledger.wait_ns() == 1000 * MS
    ledger.sent(0, 0)
    ledger.replied(Reply(0), 700 * MS, None)
    assert ledger.wait_ns() == 2100 * MS
    ledger.sent(1, 60 * MS)
    ledger.replied(Reply(1), 60_000 * MS, None)
    assert ledger.wait_ns() == 5000 * MS


@given(
    st.lists(
        st.builds(
            Arrivals,
            count=st.integers(0, 70_000),
            first=st.integers(0, 70_000),
            width=st.integers(0, 4000),
            bitmap=st.integers(0, 1 << 70),
        )
    )
)
def test_no_arrivals_whatever_make_the_ledger_stumble(many):
    ledger = Ledger((0, 60 * MS), (150, 150), far_end=True)
    ledger.sent(0, 0)
    for arrivals in many:
        ledger.replied(Reply(0, 0, 0, arrivals), 5 * MS, None)
        ledger.reported(arrivals)
    assert len(ledger.fates()) == 1


def test_the_random_arm_has_no_byte_that_stays_the_same():
    talk = make_talk(400, shape="random", like="telegram", size=160)
    packets = [talk.media(seq) for seq in range(400)]
    for position in range(160):
        assert len({packet[position] for packet in packets}) > 100


def test_the_reflector_takes_its_clock_as_late_as_it_can():
    clock = Clock()
    line = Line(make_talk(2), 2, clock=clock, reflector=make_reflector(clock))
    line.open()
    received_ns = clock.now_ns
    clock.now_ns += 3 * MS
    replies = line.reflector.handle(line.talk.media(0), line.address, received_ns)
    reply = line.talk.reply(replies[0])
    assert reply.sent_ns - reply.received_ns == 3 * MS
