"""Two ends in memory with a wire between them that drops, repeats or holds what a test says."""

import random

from probe.call.ledger import Ledger
from probe.call.talk import FarEndTalk
from probe.call.wire import Arrivals
from probe.farend.cookies import Cookies
from probe.farend.reflector import Reflector, ReflectorLimits

MS = 1_000_000
CLIENT = ("192.0.2.1", 5000)
STRANGER = ("198.51.100.9", 6000)


def always(_seq):
    return True


def never(_seq):
    return False


class Clock:
    """A monotonic clock that stands still until it is moved."""

    def __init__(self, now_ns=1_000_000 * MS):
        self.now_ns = now_ns

    def __call__(self):
        return self.now_ns


def make_reflector(clock, **limits):
    return Reflector(
        cookies=Cookies(b"s" * 32),
        random_bytes=random.Random(7).randbytes,
        monotonic_ns=clock,
        unix_s=lambda: 1_700_000_000.0,
        limits=ReflectorLimits(**limits),
    )


def make_talk(count=40, *, shape="random", like=None, size=150, seed=1):
    return FarEndTalk(
        shape=shape,
        like=like or shape,
        sizes=(size,) * count,
        interval_s=0.06,
        random_bytes=random.Random(seed).randbytes,
    )


class Line:
    """A flow over a wire in memory: half a delay up, 1 ms at the far end, half a delay down.

    ``up`` and ``down`` say for each packet whether it passes.
    """

    def __init__(self, talk, count, *, clock=None, reflector=None, address=CLIENT, **limits):
        self.clock = clock or Clock()
        self.reflector = reflector or make_reflector(self.clock, **limits)
        self.talk = talk
        self.address = address
        self.start_ns = 0
        self.count = count
        planned_ns = tuple(index * 60 * MS for index in range(count))
        self.ledger = Ledger(planned_ns, (150,) * count, far_end=True)
        self.delay_ns = 40 * MS

    def to_far_end(self, datagram, address=None):
        return self.reflector.handle(datagram, address or self.address, self.clock.now_ns)

    def open(self):
        """Go through set-up; return the meaning of each answer."""
        return self.drive(self.talk.opening())

    def drive(self, asks):
        """Put each question to the far end and hand its answer back."""
        meanings = []
        try:
            ask = next(asks)
            while True:
                replies = self.to_far_end(ask.datagram)
                meanings.append(ask.read(replies[0]) if replies else None)
                ask = asks.send(meanings[-1])
        except StopIteration:
            return meanings

    def call(self, up=always, down=always):
        """Send every packet at its time."""
        self.start_ns = self.clock.now_ns
        for seq in range(self.count):
            self.exchange(seq, up(seq), down(seq))

    def exchange(self, seq, up=True, down=True):
        """Send one packet; return the reply that came, if any."""
        sent_ns = self.ledger.planned_ns[seq]
        self.ledger.sent(seq, sent_ns)
        self.ledger.left(seq, sent_ns, sent_ns)
        datagram = self.talk.media(seq)
        self.clock.now_ns = self.start_ns + sent_ns + self.delay_ns // 2
        replies = self.to_far_end(datagram) if up else []
        if replies and down:
            self.take(replies[0], sent_ns + self.delay_ns)
        return replies[0] if replies else None

    def take(self, datagram, now_ns):
        """Hand a datagram to the probe's side."""
        reply = self.talk.reply(datagram)
        if reply is not None:
            self.ledger.replied(reply, now_ns, now_ns)
        return reply

    def report(self):
        """Ask the far end what arrived and take it into account."""
        for meaning in self.drive(self.talk.closing()):
            if isinstance(meaning, Arrivals):
                self.ledger.reported(meaning)

    def fates(self):
        return self.ledger.fates()
