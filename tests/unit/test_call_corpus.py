"""What a coverage-guided fuzzer found worth keeping, against every reader of a call.

The fuzzer is ``tests/fuzz/fuzz_call.py``; here its corpus is replayed as plain datagrams.
"""

import contextlib
import random
from pathlib import Path

import pytest
from call_in_memory import STRANGER, Clock, make_reflector, make_talk

from probe.call import stun
from probe.call.meeting import MeetTalk
from probe.call.signalling import ports_of, without_addresses
from probe.call.webrtc import rtp_number
from probe.farend.cookies import Cookies
from probe.farend.rendezvous import Rendezvous
from probe.farend.stamp import reflect
from probe.trace import TraceError, unpack

CORPUS = Path(__file__).parents[1] / "fuzz" / "corpus"
INPUTS = sorted(path for path in CORPUS.rglob("*") if path.is_file())

REFLECTOR, TALK = make_reflector(Clock()), make_talk()
RENDEZVOUS = Rendezvous(REFLECTOR, Cookies(b"s" * 32), random.Random(2).randbytes)
MEET = MeetTalk("blue horse", relay=False, random_bytes=random.Random(1).randbytes)


def stun_message(data):
    with contextlib.suppress(stun.StunError):
        assert stun.decode(stun.encode(stun.decode(data)))


def far_end(data):
    replies = REFLECTOR.handle(data, STRANGER, 0)
    assert sum(map(len, replies)) < max(len(data), 1)


def probe(data):
    assert TALK.reply(data) is None


def meeting(data):
    assert MEET.cookie(data) is MEET.answer(data) is MEET.punched(data) is None
    replies = RENDEZVOUS.handle(data, STRANGER, 0)
    assert sum(len(reply) for reply, _ in replies) < max(len(data), 1)


def webrtc(data):
    assert not ports_of(without_addresses(data.decode("utf-8", "replace")))
    rtp_number(data)


def trace(data):
    with contextlib.suppress(TraceError):
        unpack(data.decode("latin-1"))


def stamp(data):
    answer = reflect(data, ttl=None, received_unix_ns=0, now_unix_ns=1)
    assert len(answer or data) == len(data)


def test_there_is_a_corpus():
    assert len(INPUTS) > 100


@pytest.mark.parametrize("reader", [stun_message, far_end, probe, meeting, webrtc, trace, stamp])
def test_no_kept_input_makes_a_reader_stumble(reader):
    for path in INPUTS:
        reader(path.read_bytes())
