"""Two probes that share a code: meeting, punching, and a call on each way."""

import asyncio
import random

import pytest
from call_in_memory import CLIENT, MS, STRANGER, Clock, make_reflector
from hypothesis import given
from hypothesis import strategies as st

from probe import failure
from probe.call import wire
from probe.call.meeting import Answer, MeetTalk, pack_answer, unpack_answer
from probe.call.peer import PeerOrder, call_peer
from probe.call.seal import OVERHEAD_BYTES
from probe.farend import FarEndConfig, serve
from probe.farend.cookies import Cookies
from probe.farend.rendezvous import Rendezvous, RendezvousLimits
from probe.network import Network

THIRD = ("203.0.113.5", 7000)


def make_rendezvous(clock, **limits):
    return Rendezvous(
        make_reflector(clock),
        Cookies(b"s" * 32),
        random.Random(1).randbytes,
        RendezvousLimits(**limits),
    )


class Probe:
    """One side, in memory."""

    def __init__(self, rendezvous, clock, address, code="blue horse", *, relay=False, seed=1):
        self.talk = MeetTalk(code, relay=relay, random_bytes=random.Random(seed).randbytes)
        self.rendezvous, self.clock, self.address = rendezvous, clock, address
        self.cookie = None

    def say(self, datagram):
        return self.rendezvous.handle(datagram, self.address, self.clock.now_ns)

    def meet(self):
        if self.cookie is None:
            [(reply, to)] = self.say(self.talk.hello())
            assert to == self.address
            self.cookie = self.talk.cookie(reply)
        [(reply, to)] = self.say(self.talk.meet(self.cookie))
        assert to == self.address
        return self.talk.answer(reply)


@pytest.fixture
def clock():
    return Clock()


def test_the_second_to_come_calls_and_the_first_one_answers(clock):
    rendezvous = make_rendezvous(clock)
    first = Probe(rendezvous, clock, CLIENT)
    second = Probe(rendezvous, clock, STRANGER, seed=2)
    assert first.meet() == Answer("wait")
    assert second.meet() == Answer("call", CLIENT)
    assert first.meet() == Answer("answer", STRANGER)
    assert second.meet() == Answer("call", CLIENT)


def test_another_code_meets_nobody(clock):
    rendezvous = make_rendezvous(clock)
    assert Probe(rendezvous, clock, CLIENT).meet() == Answer("wait")
    assert Probe(rendezvous, clock, STRANGER, "red horse").meet() == Answer("wait")


def test_a_third_one_with_the_same_code_is_turned_away(clock):
    rendezvous = make_rendezvous(clock)
    for address in (CLIENT, STRANGER):
        Probe(rendezvous, clock, address).meet()
    assert Probe(rendezvous, clock, THIRD).meet() == Answer("full")


def test_nobody_is_told_an_address_without_a_cookie_for_his_own(clock):
    rendezvous = make_rendezvous(clock)
    first = Probe(rendezvous, clock, CLIENT)
    first.meet()
    thief = Probe(rendezvous, clock, STRANGER)
    assert thief.say(thief.talk.meet(first.cookie)) == []


def test_a_relayed_meeting_names_no_address_and_passes_on_one_for_one(clock):
    rendezvous = make_rendezvous(clock)
    first = Probe(rendezvous, clock, CLIENT, relay=True)
    second = Probe(rendezvous, clock, STRANGER, relay=True)
    first.meet()
    assert second.meet() == Answer("call")
    assert first.meet() == Answer("answer")
    assert first.say(b"anything") == [(b"anything", STRANGER)]
    assert second.say(b"back") == [(b"back", CLIENT)]
    assert rendezvous.handle(b"anything", THIRD, clock.now_ns) == []


def test_relaying_is_bounded_in_rate_and_ends(clock):
    rendezvous = make_rendezvous(clock)
    first = Probe(rendezvous, clock, CLIENT, relay=True)
    first.meet()
    Probe(rendezvous, clock, STRANGER, relay=True).meet()
    assert sum(len(first.say(b"x")) for _ in range(1000)) == 400
    clock.now_ns += 181_000 * MS
    assert first.say(b"x") == []


def test_there_are_only_so_many_meetings_until_some_are_over(clock):
    rendezvous = make_rendezvous(clock, meetings=1)
    Probe(rendezvous, clock, CLIENT).meet()
    other = Probe(rendezvous, clock, STRANGER, "red horse")
    assert other.meet() == Answer("full")
    clock.now_ns += 181_000 * MS
    other.cookie = None
    assert other.meet() == Answer("wait")


def test_every_answer_about_a_meeting_is_shorter_than_its_question():
    assert wire.MET_BYTES < wire.MEET_BYTES
    assert wire.COOKIE_MESSAGE_BYTES < wire.HELLO_BYTES


def test_punches_are_known_to_those_with_the_code_only():
    ours, theirs, other = (
        MeetTalk(code, relay=False, random_bytes=random.Random(seed).randbytes)
        for code, seed in (("a", 1), ("a", 2), ("b", 3))
    )
    for heard in (False, True):
        assert theirs.punched(ours.punch(heard=heard)) is heard
        assert other.punched(ours.punch(heard=heard)) is None


@given(st.sampled_from(["answer", "call"]), st.ip_addresses().map(str), st.integers(1, 65535))
def test_an_answer_survives_the_way_to_bytes_and_back(role, host, port):
    if host.startswith("::ffff:"):
        return
    assert unpack_answer(pack_answer(Answer(role, (host, port)))) == Answer(role, (host, port))


@given(st.binary(max_size=120))
def test_no_bytes_at_all_are_taken_for_an_answer(data):
    talk = MeetTalk("code", relay=False, random_bytes=random.Random(1).randbytes)
    assert talk.answer(data) is None
    assert talk.punched(data) is None
    assert talk.cookie(data) is None
    padded = data[: wire.MET_BYTES - OVERHEAD_BYTES].ljust(wire.MET_BYTES - OVERHEAD_BYTES, b"\xff")
    answer = unpack_answer(padded)
    assert answer is None or answer.role in ("wait", "full", "answer", "call")


async def both(way, **changes):
    async with serve(FarEndConfig(host="127.0.0.1", calls=(0,), https_port=None)) as running:
        settings = {"code": "blue horse", "host": "127.0.0.1", "duration_s": 0.6}
        order = PeerOrder(port=running.call_ports[0], **settings | changes)
        return await asyncio.gather(*(call_peer(order, Network(), way) for _ in range(2)))


@pytest.mark.parametrize("way", ["direct", "relayed"])
async def test_two_probes_call_each_other_and_neither_address_is_kept(way):
    outcomes = await both(way, shape="telegram")
    caller, answerer = sorted(outcomes, key=lambda outcome: outcome.outcome is None)
    assert (caller.role, answerer.role) == ("call", "answer")
    assert (caller.failure, answerer.failure) == (None, None)
    call = caller.outcome.call
    assert (call.received, call.far_received, call.planned) == (10, 10, 10)
    assert (call.host, call.address, call.port) == ("peer", None, 0)


async def test_one_who_waits_in_vain_says_so():
    async with serve(FarEndConfig(host="127.0.0.1", calls=(0,), https_port=None)) as running:
        order = PeerOrder(
            code="lonely", host="127.0.0.1", port=running.call_ports[0], patience_s=1.2
        )
        outcome = await call_peer(order, Network(), "direct")
    assert (outcome.role, outcome.failure) == (None, failure.TIMEOUT)
