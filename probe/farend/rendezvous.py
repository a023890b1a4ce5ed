"""Where two probes that share a code find each other, and a relay between them. Sans I/O.

Each proves its address with a cookie, as for a flow, and names the code's hash. The second to come
is told where the first is, and the first, when it asks again, where the second is. With the relay
flag nobody is told an address: what one sends is passed on to the other, one for one, at a bounded
rate and for a bounded time. The far end learns nothing of the code but its hash.
"""

from __future__ import annotations

from typing import Final

import msgspec

from probe.call import wire
from probe.call.meeting import Answer, Ask, Role, pack_answer, unpack_ask
from probe.call.seal import IV_BYTES, Sealed, unseal
from probe.call.shapes import Address
from probe.call.talk import RandomBytes
from probe.farend.cookies import Cookies
from probe.farend.limits import Bucket
from probe.farend.reflector import Reflector

_NS: Final = 1_000_000_000
#: How long a first comer is waited for with, and how long two are joined.
_PATIENCE_NS: Final = 180 * _NS
_RELAYED_PACKETS_PER_S: Final = 400.0


class RendezvousLimits(msgspec.Struct, frozen=True, kw_only=True):
    """How many meetings there are at most."""

    meetings: int = 256


class _Meeting:
    """Two addresses under one code; the first one answers the call, the second one makes it."""

    def __init__(self, first: Address, now_ns: int) -> None:
        self.first = first
        self.second: Address | None = None
        self.began_ns = now_ns
        self.bucket = Bucket(_RELAYED_PACKETS_PER_S, _RELAYED_PACKETS_PER_S, now_ns)


class Rendezvous:
    """Joins probes, and hands everything else to the reflector."""

    def __init__(
        self,
        reflector: Reflector,
        cookies: Cookies,
        random_bytes: RandomBytes,
        limits: RendezvousLimits = RendezvousLimits(),  # noqa: B008 - a frozen value
    ) -> None:
        """Start with no meetings.

        Args:
            reflector: what answers whatever is not about a meeting.
            cookies: the reflector's.
            random_bytes: ``os.urandom``, or a seeded one in a test.
            limits: what to hold at most.
        """
        self._reflector = reflector
        self._cookies = cookies
        self._random = random_bytes
        self._limits = limits
        self._meetings: dict[tuple[bytes, bool], _Meeting] = {}
        self._partners: dict[Address, tuple[Address, _Meeting]] = {}

    def handle(
        self, datagram: bytes, address: Address, received_ns: int
    ) -> list[tuple[bytes, Address]]:
        """Answer or pass on one datagram.

        Args:
            datagram: what came; nothing about it is trusted.
            address: whom it says it came from.
            received_ns: when, on the monotonic clock.

        Returns:
            What to send and where: nothing or one datagram.
        """
        if len(datagram) == wire.MEET_BYTES:
            sealed = unseal(datagram)
            if sealed is not None and sealed.kind == wire.MEET and sealed.authentic(b""):
                answer = self._meet(sealed, address, received_ns)
                return [] if answer is None else [(answer, address)]
        joined = self._partners.get(address)
        if joined is None:
            replies = self._reflector.handle(datagram, address, received_ns)
            return [(reply, address) for reply in replies]
        partner, meeting = joined
        if _is_over(meeting, received_ns) or not meeting.bucket.take(received_ns):
            return []
        return [(datagram, partner)]

    def _meet(self, sealed: Sealed, address: Address, now_ns: int) -> bytes | None:
        ask = unpack_ask(sealed.rest(0))
        if not self._cookies.hold(ask.cookie, address, now_ns):
            return None
        answer = self._join(ask, address, now_ns)
        iv = self._random(IV_BYTES)
        return wire.message(wire.MEET | wire.DOWN, pack_answer(answer), sealed.word, iv=iv)

    def _join(self, ask: Ask, address: Address, now_ns: int) -> Answer:
        self._sweep(now_ns)
        meeting = self._meetings.get((ask.code, ask.relay))
        if meeting is None:
            if len(self._meetings) >= self._limits.meetings:
                return Answer("full")
            meeting = self._meetings[ask.code, ask.relay] = _Meeting(address, now_ns)
        if address == meeting.first:
            return _answer("answer", meeting.second, ask)
        if meeting.second is None:
            meeting.second = address
            if ask.relay:
                self._partners[meeting.first] = (address, meeting)
                self._partners[address] = (meeting.first, meeting)
        if address != meeting.second:
            return Answer("full")  # a third one: the code is known to too many
        return _answer("call", meeting.first, ask)

    def _sweep(self, now_ns: int) -> None:
        """Forget meetings that are over."""
        for key, meeting in list(self._meetings.items()):
            if _is_over(meeting, now_ns):
                del self._meetings[key]
                for address in (meeting.first, meeting.second):
                    if address is not None:
                        self._partners.pop(address, None)


def _is_over(meeting: _Meeting, now_ns: int) -> bool:
    return now_ns - meeting.began_ns > _PATIENCE_NS


def _answer(role: Role, peer: Address | None, ask: Ask) -> Answer:
    if peer is None:
        return Answer("wait")
    return Answer(role, None if ask.relay else peer)
