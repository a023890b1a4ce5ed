"""Coverage-guided fuzzing of everything a call reads, from the network or from a record.

    python tests/fuzz/fuzz_call.py TARGET CORPUS -runs=10000000 -max_len=700

Needs atheris (libFuzzer for Python). TARGET is one of those listed at the end; CORPUS is a
directory the fuzzer adds to, ``tests/fuzz/corpus`` holds seeds, and ``tests/fuzz/README.md`` what
was run. What is authenticated would stop blind bytes at the first hash, so first bytes choose
whether the rest is raw or is sealed as a peer with the key would.
"""

import base64
import contextlib
import random
import sys
import zlib

import atheris

with atheris.instrument_imports(include=["probe"]):
    from probe.call import stun, wire
    from probe.call.ledger import Ledger
    from probe.call.meeting import MeetTalk
    from probe.call.order import CallOrder
    from probe.call.seal import seal
    from probe.call.shapes import SHAPES
    from probe.call.signalling import (
        Answer,
        Offer,
        Report,
        at_address,
        ports_of,
        read,
        without_addresses,
    )
    from probe.call.talk import FarEndTalk, Rejected, RelayTalk
    from probe.call.webrtc import WebRtcTrial, rtp_number
    from probe.farend.cookies import Cookies
    from probe.farend.reflector import Reflector, ReflectorLimits
    from probe.farend.rendezvous import Rendezvous
    from probe.farend.stamp import reflect
    from probe.trace import TraceError, pack, unpack

CLIENT, STRANGER = ("192.0.2.1", 5000), ("2001:db8::1", 6000)
NAMES = list(SHAPES)
IV = b"\1\2\3\4"
RELAY = RelayTalk(random.Random(3).randbytes)
ASKED = RELAY.media(0)


def stun_message(data):
    """Any bytes are a STUN message or refused as StunError; a relay's answer or no answer."""
    for datagram in (data, data[:8] + ASKED[8:20] + data[20:]):
        reply = RELAY.reply(datagram)
        assert reply is None or reply.seq == 0
    try:
        message = stun.decode(data)
    except stun.StunError:
        return
    stun.verify(data, b"key")
    again = stun.Message(message.type, message.transaction, message.attributes)
    assert stun.decode(stun.encode(again)) == message
    try:
        stun.mapped_address(message)
    except stun.StunError:
        return


def make_reflector(cookies):
    return Reflector(
        cookies=cookies,
        random_bytes=random.Random(2).randbytes,
        monotonic_ns=lambda: 1_000,
        unix_s=lambda: 0.0,
        limits=ReflectorLimits(client_packets_per_s=1e12, total_packets_per_s=1e12),
    )


def make_flow(shape):
    """Open a flow on a fresh far end; return both sides."""
    talk = FarEndTalk(
        shape=shape,
        like=shape,
        sizes=(150,) * 40,
        interval_s=0.06,
        random_bytes=random.Random(1).randbytes,
    )
    reflector = make_reflector(Cookies(b"s" * 32))
    answer = None
    asks = talk.opening()
    with contextlib.suppress(StopIteration):
        while True:
            ask = asks.send(answer)
            answer = ask.read(reflector.handle(ask.datagram, CLIENT, 1_000)[0])
    return talk, reflector


FLOWS = {name: make_flow(name) for name in NAMES}


def sealed(data, talk):
    """Make a datagram of fuzzed bytes: raw, or sealed with the flow's key or none."""
    provider = atheris.FuzzedDataProvider(data)
    how = provider.ConsumeIntInRange(0, 2)
    if how == 0:
        return provider.ConsumeBytes(1500)
    kind = provider.ConsumeIntInRange(0, 255)
    word = talk._number if provider.ConsumeBool() else provider.ConsumeIntInRange(0, 2**32 - 1)
    seq = provider.ConsumeIntInRange(0, 0xFFFF)
    length = provider.ConsumeIntInRange(0, 600)
    rest = provider.ConsumeBytes(1500)[:length].ljust(length, b"\0")
    return seal(b"", rest, kind, word, seq, key=talk._key if how == 1 else b"", iv=IV)


def far_end(data):
    """No datagram makes the far end stumble, or answer a stranger at greater length."""
    if not data:
        return
    talk, reflector = FLOWS[NAMES[data[0] % len(NAMES)]]
    flow = reflector._flows.get(talk._number)
    flow.bitmap = flow.count = flow.highest = flow.duplicates = 0  # as good as a fresh one
    flow.credit_bytes = 464
    datagram = sealed(data[1:], talk)
    reflector.handle(datagram, CLIENT, 2_000)
    replies = reflector.handle(datagram, STRANGER, 2_000)
    assert sum(map(len, replies)) < max(len(datagram), 1)
    assert len(reflector._flows) == 1


def probe(data):
    """No datagram makes the probe stumble, whatever the far end or anyone says."""
    if not data:
        return
    talk, _ = FLOWS[NAMES[data[0] % len(NAMES)]]
    datagram = sealed(data[1:], talk)
    with contextlib.suppress(Rejected):
        talk._accepted(datagram)
    talk._cookie_in(datagram)
    for index in range(len(talk._like.setup)):
        talk._exchange(index).read(datagram)
    reply, report = talk.reply(datagram), talk._report(0, datagram)
    if reply is None and report is None:
        return
    ledger = Ledger(tuple(range(40)), (150,) * 40, far_end=True)
    for seq in range(40):
        ledger.sent(seq, seq)
    if reply is not None:
        ledger.replied(reply, 5, 4)
    if report is not None:
        ledger.reported(report)
    assert len(ledger.fates()) == 40


MEET = MeetTalk("blue horse", relay=False, random_bytes=random.Random(1).randbytes)
COOKIES = Cookies(b"s" * 32)
RENDEZVOUS = Rendezvous(make_reflector(COOKIES), COOKIES, random.Random(2).randbytes)


def meeting(data):
    """No datagram makes two probes or their far end stumble, nor is answered at greater length."""
    provider = atheris.FuzzedDataProvider(data)
    key = MEET._key if provider.ConsumeBool() else b""
    kind = provider.PickValueInList([wire.MEET, wire.MEET | wire.DOWN, wire.PUNCH, 4, 255])
    kind = kind if kind < 255 else provider.ConsumeIntInRange(0, 255)
    length = provider.PickValueInList([82, 49, 81, provider.ConsumeIntInRange(0, 600)])
    proven = provider.ConsumeBool()
    rest = provider.ConsumeBytes(1500)[:length].ljust(length, b"\0")
    RENDEZVOUS._meetings.clear()
    RENDEZVOUS._partners.clear()
    for address in (CLIENT, STRANGER, CLIENT):
        body = (COOKIES.make(address, 2_000) + rest[16:])[:length] if proven else rest
        datagram = seal(b"", body, kind, MEET._number, 0, key=key, iv=IV)
        for reply, _ in RENDEZVOUS.handle(datagram, address, 2_000):
            assert len(reply) <= len(datagram)
    for one in (datagram, rest):
        MEET.cookie(one), MEET.answer(one), MEET.punched(one)


ORDER = CallOrder(host="far.example", port=443, profile="voip-20", shape="webrtc", duration_s=0.6)


def webrtc(data):
    """Any session description leaves its own addresses behind; any RTP fits the call or none."""
    text = data.decode("utf-8", "replace")
    for kind in (Offer, Answer, Report):
        with contextlib.suppress(ValueError):
            read(data, kind)
    assert not ports_of(without_addresses(text))
    assert ports_of(at_address(text, "192.0.2.1")) == ports_of(text)
    trial = WebRtcTrial(ORDER)
    trial._on_sent(rtp_number(ASKED) or 0, 100)
    numbers = [int.from_bytes(data[at : at + 3], "big", signed=True) for at in range(0, 60, 3)]
    if (number := rtp_number(data)) is not None:
        trial._on_received(number, len(data))
    trial._learn(numbers)
    assert len(trial.ledger.fates()) == 1


def trace(data):
    """Any text is a column that can be packed again, or refused as TraceError."""
    raw, how = data[1:], data[:1]
    if how and how[0] % 2:
        raw = base64.b64encode(zlib.compress(raw, 0))
    try:
        column = unpack(raw.decode("latin-1"))
    except TraceError:
        return
    assert unpack(pack(column)) == column


def stamp(data):
    """Any test packet is answered at its own length, or not at all."""
    answer = reflect(data, ttl=None, received_unix_ns=0, now_unix_ns=1)
    assert answer is None or len(answer) == len(data)


TARGETS = {
    "stun": stun_message,
    "far_end": far_end,
    "probe": probe,
    "meeting": meeting,
    "webrtc": webrtc,
    "trace": trace,
    "stamp": stamp,
}

if __name__ == "__main__":
    target = TARGETS[sys.argv.pop(1)]
    atheris.Setup(sys.argv, target)
    atheris.Fuzz()
