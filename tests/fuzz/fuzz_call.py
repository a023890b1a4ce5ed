"""Coverage-guided fuzzing of everything a call reads from the network.

    python tests/fuzz/fuzz_call.py stun|far_end|probe CORPUS -runs=10000000

Needs atheris (libFuzzer for Python). CORPUS is a directory the fuzzer adds to;
``tests/fuzz/corpus`` holds seeds. What is authenticated would stop blind bytes at the first hash,
so a first byte chooses whether the rest is raw or is sealed as a peer with the flow's key would.
"""

import contextlib
import random
import sys

import atheris

with atheris.instrument_imports(include=["probe"]):
    from probe.call import stun
    from probe.call.ledger import Ledger
    from probe.call.seal import seal
    from probe.call.shapes import SHAPES
    from probe.call.talk import FarEndTalk, Rejected
    from probe.farend.cookies import Cookies
    from probe.farend.reflector import Reflector, ReflectorLimits

CLIENT, STRANGER = ("192.0.2.1", 5000), ("2001:db8::1", 6000)
NAMES = list(SHAPES)
IV = b"\1\2\3\4"


def stun_message(data):
    """Any bytes are a STUN message or refused as StunError."""
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


def make_flow(shape):
    """Open a flow on a fresh far end; return both sides."""
    talk = FarEndTalk(
        shape=shape,
        like=shape,
        sizes=(150,) * 40,
        interval_s=0.06,
        random_bytes=random.Random(1).randbytes,
    )
    reflector = Reflector(
        cookies=Cookies(b"s" * 32),
        random_bytes=random.Random(2).randbytes,
        monotonic_ns=lambda: 1_000,
        unix_s=lambda: 0.0,
        limits=ReflectorLimits(client_packets_per_s=1e12, total_packets_per_s=1e12),
    )
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


TARGETS = {"stun": stun_message, "far_end": far_end, "probe": probe}

if __name__ == "__main__":
    target = TARGETS[sys.argv.pop(1)]
    atheris.Setup(sys.argv, target)
    atheris.Fuzz()
