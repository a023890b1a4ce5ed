"""The reflector and those who would misuse it."""

import random

import pytest
from call_in_memory import CLIENT, MS, STRANGER, Clock, Line, make_reflector, make_talk
from hypothesis import given, settings
from hypothesis import strategies as st

from probe.call import wire
from probe.call.seal import OVERHEAD_BYTES, seal, unseal
from probe.call.shapes import SHAPES
from probe.call.talk import Rejected
from probe.farend.flows import FlowTable
from probe.farend.limits import Bucket, Buckets
from probe.farend.reflector import client_of

MINUTE = 60_000 * MS


def opening_of(talk):
    """Return the generator of questions and its first one."""
    asks = talk.opening()
    return asks, next(asks)


def test_a_hello_gets_a_cookie_shorter_than_itself_and_leaves_nothing_behind():
    reflector = make_reflector(Clock())
    _, hello = opening_of(make_talk())
    replies = reflector.handle(hello.datagram, CLIENT, 0)
    assert [len(reply) for reply in replies] == [wire.COOKIE_MESSAGE_BYTES]
    assert len(replies[0]) < len(hello.datagram)
    assert len(reflector._flows) == 0


def test_a_cookie_opens_nothing_from_another_address():
    clock = Clock()
    reflector = make_reflector(clock)
    asks, hello = opening_of(make_talk())
    cookie = hello.read(reflector.handle(hello.datagram, CLIENT, clock.now_ns)[0])
    opening = asks.send(cookie)
    for address in (STRANGER, (CLIENT[0], CLIENT[1] + 1)):
        assert reflector.handle(opening.datagram, address, clock.now_ns) == []
    assert len(reflector._flows) == 0


def test_a_cookie_is_good_for_a_minute_or_two_and_no_longer():
    clock = Clock(0)
    reflector = make_reflector(clock)
    asks, hello = opening_of(make_talk())
    cookie = hello.read(reflector.handle(hello.datagram, CLIENT, 59_000 * MS)[0])
    opening = asks.send(cookie).datagram
    assert len(reflector.handle(opening, CLIENT, 2 * MINUTE - 1)) == 1
    assert reflector.handle(opening, CLIENT, 2 * MINUTE) == []


def test_media_and_exchanges_of_no_flow_get_silence():
    line = Line(make_talk(), 40)
    assert line.to_far_end(line.talk.media(0)) == []
    assert line.to_far_end(SHAPES["telegram"].request(line.talk._lane, 0)) == []


def test_media_from_an_address_that_was_not_proved_gets_silence():
    line = Line(make_talk(), 40)
    line.open()
    assert line.to_far_end(line.talk.media(0), STRANGER) == []


def test_forged_media_is_neither_answered_nor_counted():
    line = Line(make_talk(), 40)
    line.open()
    true = line.talk.media(0)
    forged = seal(b"", bytes(135), wire.MEDIA, unseal(true).word, 0, key=b"guess", iv=b"1234")
    assert line.to_far_end(forged) == []
    line.report()
    assert line.ledger.counts()["far_received"] == 0


def test_replayed_media_is_not_answered_again():
    line = Line(make_talk(), 40)
    line.open()
    datagram = line.talk.media(0)
    assert len(line.to_far_end(datagram)) == 1
    assert line.to_far_end(datagram) == []


def test_a_packet_beyond_the_flows_number_is_not_answered():
    line = Line(make_talk(5), 5)
    line.open()
    number = unseal(line.talk.media(0)).word
    beyond = seal(b"", bytes(135), wire.MEDIA, number, 5, key=line.talk._key, iv=b"1234")
    assert line.to_far_end(beyond) == []


def test_an_opening_that_was_lost_on_the_way_back_may_be_repeated():
    line = Line(make_talk(), 40)
    asks, hello = opening_of(line.talk)
    opening = asks.send(hello.read(line.to_far_end(hello.datagram)[0])).datagram
    assert len(line.to_far_end(opening)) == 1
    assert len(line.to_far_end(opening)) == 1
    assert len(line.reflector._flows) == 1


def test_nobody_takes_over_the_number_of_a_running_flow():
    clock = Clock()
    line = Line(make_talk(seed=1), 40, clock=clock)
    line.open()
    thief = make_talk(seed=2)
    thief._number = line.talk._number
    with pytest.raises(Rejected):
        Line(thief, 40, clock=clock, reflector=line.reflector, address=STRANGER).open()
    assert len(line.to_far_end(line.talk.media(0))) == 1


@pytest.mark.parametrize("shape", SHAPES)
def test_no_flow_is_ever_sent_more_than_it_sent(shape):
    line = Line(make_talk(shape=shape), 40)
    received = sent = 0
    inner = line.to_far_end

    def count(datagram, address=None):
        nonlocal received, sent
        replies = inner(datagram, address)
        received += len(datagram)
        sent += sum(len(reply) for reply in replies)
        assert sent <= received
        return replies

    line.to_far_end = count
    line.open()
    for _ in range(200):
        for index in range(len(line.talk._like.setup)):
            count(line.talk._exchange(index).datagram)
    line.call()
    line.report()


@pytest.mark.parametrize("shape", SHAPES)
def test_a_media_reply_is_as_long_as_its_request(shape):
    line = Line(make_talk(shape=shape), 40)
    line.open()
    datagram = line.talk.media(0)
    assert [len(reply) for reply in line.to_far_end(datagram)] == [len(datagram)]


def test_a_media_packet_too_short_for_its_reply_is_counted_and_not_answered():
    line = Line(make_talk(), 40)
    line.open()
    number = unseal(line.talk.media(0)).word
    short = seal(b"", b"", wire.MEDIA, number, 0, key=line.talk._key, iv=b"1234")
    assert len(short) == OVERHEAD_BYTES
    assert line.to_far_end(short) == []


def test_a_client_has_only_so_many_flows_until_some_have_ended():
    clock = Clock()
    reflector = make_reflector(clock, flows_per_client=2, idle_s=30.0)

    def open_one(seed, port):
        talk = make_talk(seed=seed)
        address = (CLIENT[0], port)
        return Line(talk, 40, clock=clock, reflector=reflector, address=address).open()

    open_one(1, 1001)
    open_one(2, 1002)
    with pytest.raises(Rejected):
        open_one(3, 1003)
    clock.now_ns += 31_000 * MS
    assert open_one(4, 1004)
    assert len(reflector._flows) == 1


def test_a_flow_that_has_been_reported_makes_room_early():
    clock = Clock()
    line = Line(make_talk(3), 3, clock=clock, flows_per_client=1)
    line.open()
    line.call()
    line.report()
    clock.now_ns += 11_000 * MS
    assert Line(make_talk(3, seed=2), 3, clock=clock, reflector=line.reflector).open()


def test_all_clients_together_have_only_so_many_flows():
    clock = Clock()
    reflector = make_reflector(clock, flows=3)
    for client in range(3):
        address = (f"192.0.2.{client}", 5000)
        talk = make_talk(seed=client)
        Line(talk, 40, clock=clock, reflector=reflector, address=address).open()
    with pytest.raises(Rejected):
        Line(make_talk(seed=9), 40, clock=clock, reflector=reflector, address=STRANGER).open()


def test_a_client_that_sends_too_fast_is_answered_at_its_rate():
    clock = Clock()
    line = Line(make_talk(1000), 1000, clock=clock, client_packets_per_s=100)
    line.open()
    answered = sum(len(line.to_far_end(line.talk.media(seq))) for seq in range(500))
    assert 95 <= answered <= 100


@pytest.mark.parametrize(
    "limits", [{"client_packets_per_s": 20}, {"total_packets_per_s": 20}], ids=["client", "total"]
)
def test_a_far_end_that_drops_by_its_own_limits_says_so_in_the_report(limits):
    line = Line(make_talk(), 40, **limits)
    line.open()
    for seq in range(40):
        line.ledger.sent(seq, 0)
        line.to_far_end(line.talk.media(seq))
    line.clock.now_ns += 1000 * MS
    line.report()
    assert line.ledger.overflowed


def test_a_drop_before_the_flow_was_opened_is_not_its_concern():
    line = Line(make_talk(), 40)
    line.reflector.overflowed(line.clock.now_ns - 1)
    line.open()
    line.call()
    line.report()
    assert not line.ledger.overflowed


def test_everybody_together_is_answered_at_the_total_rate():
    clock = Clock()
    reflector = make_reflector(clock, total_packets_per_s=50)
    hellos = [opening_of(make_talk(seed=seed))[1].datagram for seed in range(200)]
    answered = sum(
        len(reflector.handle(hello, (f"198.51.100.{n}", 1), clock.now_ns))
        for n, hello in enumerate(hellos)
    )
    assert answered == 50


@given(
    st.binary(max_size=1500)
    | st.tuples(st.binary(max_size=600), st.integers(0, 255), st.binary(max_size=32)).map(
        lambda made: seal(b"", made[0], made[1], 1, 2, key=made[2], iv=b"abcd")
    )
)
@settings(max_examples=300)
def test_no_bytes_at_all_get_a_longer_answer_from_a_stranger(datagram):
    reflector = make_reflector(Clock())
    replies = reflector.handle(datagram, STRANGER, 0)
    assert sum(len(reply) for reply in replies) < max(len(datagram), 1)
    assert len(reflector._flows) == 0


@given(position=st.integers(0, wire.OPEN_BYTES - 1), flip=st.integers(1, 255))
def test_a_damaged_opening_changes_nothing(position, flip):
    reflector = make_reflector(Clock())
    asks, hello = opening_of(make_talk())
    cookie = hello.read(reflector.handle(hello.datagram, CLIENT, 0)[0])
    opening = bytearray(asks.send(cookie).datagram)
    opening[position] ^= flip
    assert reflector.handle(bytes(opening), CLIENT, 0) == []
    assert len(reflector._flows) == 0


@given(st.binary(max_size=600))
def test_no_bytes_at_all_are_taken_for_a_reply(data):
    talk = make_talk()
    asks, hello = opening_of(talk)
    assert hello.read(data) is None
    assert talk.reply(data) is None
    assert asks.send(b"c" * 16).read(data) is None


def test_sealing_and_unsealing_agree_and_hide_a_constant_body():
    rng = random.Random(3)
    datagram = seal(b"head", bytes(40), 5, 77, 9, key=b"k", iv=rng.randbytes(4))
    sealed = unseal(datagram)
    assert (sealed.kind, sealed.word, sealed.seq) == (5, 77, 9)
    assert sealed.authentic(b"k")
    assert not sealed.authentic(b"x")
    assert sealed.rest(4) == bytes(40)
    assert datagram[4:44].count(0) < 5


def test_an_ipv6_client_is_its_whole_network():
    assert client_of(("2001:db8:1:2::5", 1)) == client_of(("2001:db8:1:2:ffff::1", 2))
    assert client_of(("2001:db8:1:2::5", 1)) != client_of(("2001:db8:1:3::5", 1))
    assert client_of(("192.0.2.1", 1)) != client_of(("192.0.2.2", 1))


def test_a_bucket_fills_at_its_rate_and_never_beyond_its_burst():
    bucket = Bucket(rate=10, burst=5, now_ns=0)
    assert [bucket.take(0) for _ in range(6)] == [True] * 5 + [False]
    assert bucket.take(100 * MS)
    assert not bucket.take(100 * MS)
    assert [bucket.take(MINUTE) for _ in range(6)] == [True] * 5 + [False]


def test_a_bucket_is_not_refilled_by_a_clock_that_goes_back():
    bucket = Bucket(rate=10, burst=1, now_ns=MINUTE)
    assert bucket.take(MINUTE)
    assert not bucket.take(0)
    assert not bucket.take(MINUTE)


def test_buckets_forget_the_client_longest_unused():
    buckets = Buckets(rate=1, capacity=2, burst=1)
    for client in ("a", "b", "a", "c"):
        buckets.take(client, 0)
    assert len(buckets) == 2
    assert not buckets.take("a", 0)
    assert buckets.take("b", 0)


def test_an_empty_table_has_no_flow_anywhere():
    table = FlowTable(4, 2, MINUTE)
    assert table.get(1) is None
    assert table.at(CLIENT) is None
