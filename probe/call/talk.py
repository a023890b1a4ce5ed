"""The probe's side of a call, without sockets or clocks: what to say next, what a reply means.

A *talk* speaks for one flow. ``opening()`` is a generator of questions: each yields an ``Ask``,
is sent what its ``read`` made of the reply, and goes on; so the same words are driven by real
sockets, or by a test with two ends in memory and packets dropped between them.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from functools import partial
from typing import Protocol

import msgspec

from probe.call import stun, wire
from probe.call.seal import IV_BYTES, OVERHEAD_BYTES, seal, unseal
from probe.call.shapes import SHAPES, Lane
from probe.call.wire import Arrivals, Opening, Reply

RandomBytes = Callable[[int], bytes]


class Ask(msgspec.Struct, frozen=True):
    """A question: the datagram, and what makes something of a reply (``None``: not a reply)."""

    datagram: bytes
    read: Callable[[bytes], object]


Asks = Generator[Ask, object, None]


class Rejected(Exception):  # noqa: N818 - an answer, not a fault: the far end is full or newer
    """The far end answered that it will not reflect this flow."""


class Talk(Protocol):
    """What a flow needs to know of its peer."""

    def opening(self) -> Asks:
        """Ask everything that comes before the first media packet."""

    def during(self) -> tuple[tuple[float, bytes], ...]:
        """List what else is sent during the call: seconds after the first packet, datagram."""

    def media(self, seq: int) -> bytes:
        """Make media packet ``seq``."""

    def reply(self, datagram: bytes) -> Reply | None:
        """Read what came back; ``None`` for what is not a reply of this flow."""

    def closing(self) -> Asks:
        """Ask how much arrived; each answer is an ``Arrivals``."""

    def forget_cookie(self) -> None:
        """Prove the address anew next time: the socket is another, or the NAT has moved."""


class FarEndTalk:
    """A flow to our own far end."""

    def __init__(
        self,
        *,
        shape: str,
        like: str,
        sizes: tuple[int, ...],
        interval_s: float,
        random_bytes: RandomBytes,
    ) -> None:
        """Prepare a flow.

        Args:
            shape: what the packets look like.
            like: whose exchanges a random flow copies in length and time; itself for others.
            sizes: UDP payload bytes of each media packet.
            interval_s: seconds between them.
            random_bytes: ``os.urandom``, or a seeded one in a test.
        """
        self._random = random_bytes
        self._key = random_bytes(wire.KEY_BYTES)
        self._number = int.from_bytes(random_bytes(4), "big")
        self._shape = SHAPES[shape]
        self._like = SHAPES[like]
        self._sizes = sizes
        self._interval_s = interval_s
        self._lane = Lane(self._key, "up", interval_s)
        self._cookie = b""
        least = self._shape.head_bytes + wire.MEDIA_BODY_BYTES
        if min(sizes) < least:
            raise ValueError(
                f"found a size of {min(sizes)} bytes, expected at least {least} for {shape}"
            )

    def opening(self) -> Asks:
        """Prove the address, open the flow, go through the shape's set-up."""
        yield from self._prove()
        opening = Opening(
            self._cookie,
            self._key,
            self._shape.name,
            self._like.name,
            len(self._sizes),
            self._interval_s,
        )
        yield Ask(self._message(wire.OPEN, wire.pack_opening(opening)), self._accepted)
        for index in range(len(self._like.setup)):
            yield self._exchange(index)

    def during(self) -> tuple[tuple[float, bytes], ...]:
        """Repeat the shape's keepalive, if it has one."""
        exchanges = self._like.exchanges(len(self._sizes) * self._interval_s)
        return tuple(
            (exchange.at_s, self._exchange(index).datagram)
            for index, exchange in enumerate(exchanges)
            if exchange.at_s is not None
        )

    def media(self, seq: int) -> bytes:
        """Make media packet ``seq``: the shape's head, then what looks random."""
        head = self._shape.head(self._lane, seq)
        fill = bytes(self._sizes[seq] - len(head) - OVERHEAD_BYTES)
        return seal(
            head, fill, wire.MEDIA, self._number, seq, key=self._key, iv=self._random(IV_BYTES)
        )

    def reply(self, datagram: bytes) -> Reply | None:
        """Read a media reply of this flow."""
        sealed = unseal(datagram)
        if (
            sealed is None
            or sealed.kind != wire.MEDIA | wire.DOWN
            or sealed.seq >= len(self._sizes)
            or len(datagram) != self._sizes[sealed.seq]
            or not sealed.authentic(self._key)
        ):
            return None
        return wire.unpack_media(sealed, self._shape.head_bytes)

    def closing(self) -> Asks:
        """Ask for the whole bitmap of what arrived, as many packets at a time as fit."""
        if not self._cookie:
            yield from self._prove()
        for first in range(0, len(self._sizes), 8 * wire.REPORT_BITMAP_BYTES):
            body = wire.pack_report_request(self._cookie, first)
            question = self._message(wire.REPORT, body, key=self._key)
            yield Ask(question, partial(self._report, first))

    def forget_cookie(self) -> None:
        """Prove the address anew next time."""
        self._cookie = b""

    def _prove(self) -> Asks:
        padding = bytes(wire.HELLO_BYTES - OVERHEAD_BYTES)
        cookie = yield Ask(self._message(wire.HELLO, padding), self._cookie_in)
        assert isinstance(cookie, bytes)
        self._cookie = cookie

    def _message(self, kind: int, body: bytes, *, key: bytes = b"") -> bytes:
        return wire.message(kind, body, self._number, key=key, iv=self._random(IV_BYTES))

    def _exchange(self, index: int) -> Ask:
        """Make a question of the shape, or in a random flow one of its length."""
        own = self._shape.request(self._lane, index)
        if own is not None:
            question = own
            return Ask(question, lambda reply: self._shape.answers(question, reply) or None)
        exchange = self._like.exchanges(len(self._sizes) * self._interval_s)[index]
        fill = bytes(exchange.request_bytes - OVERHEAD_BYTES)
        iv = self._random(IV_BYTES)
        datagram = seal(b"", fill, wire.EXCHANGE, self._number, index, key=self._key, iv=iv)
        return Ask(datagram, lambda reply: self._sealed(reply, wire.EXCHANGE, seq=index))

    def _sealed(self, datagram: bytes, kind: int, *, seq: int = 0) -> bool | None:
        sealed = unseal(datagram)
        return (
            sealed is not None
            and sealed.kind == kind | wire.DOWN
            and sealed.seq == seq
            and sealed.authentic(self._key)
        ) or None

    def _cookie_in(self, datagram: bytes) -> bytes | None:
        return wire.read_cookie(datagram, self._number)

    def _accepted(self, datagram: bytes) -> bool | None:
        sealed = unseal(datagram)
        if not self._sealed(datagram, wire.ACCEPT) or sealed is None:
            return None
        if sealed.word != wire.ACCEPTED:
            raise Rejected(f"the far end answered {sealed.word}")
        return True

    def _report(self, first: int, datagram: bytes) -> Arrivals | None:
        sealed = unseal(datagram)
        if not self._sealed(datagram, wire.REPORT) or sealed is None:
            return None
        report = wire.unpack_report(sealed)
        return report if report is not None and report.first == first else None


class RelayTalk:
    """A flow to a STUN server that knows nothing of us: Binding requests, told apart by id."""

    def __init__(self, random_bytes: RandomBytes) -> None:
        """Prepare a flow.

        Args:
            random_bytes: ``os.urandom``, or a seeded one in a test.
        """
        self._random = random_bytes
        self._seq_by_transaction: dict[bytes, int] = {}

    def opening(self) -> Asks:
        """Ask nothing: the first Binding answer is the set-up."""
        yield from ()

    def during(self) -> tuple[tuple[float, bytes], ...]:
        """List nothing."""
        return ()

    def media(self, seq: int) -> bytes:
        """Make the Binding request number ``seq``, with an id of its own."""
        transaction = self._random(12)
        self._seq_by_transaction[transaction] = seq
        return stun.binding_request(transaction)

    def reply(self, datagram: bytes) -> Reply | None:
        """Match an answer by its id; the address inside is not looked at."""
        try:
            message = stun.decode(datagram)
        except stun.StunError:
            return None
        seq = self._seq_by_transaction.get(message.transaction)
        if seq is None or message.type not in (stun.BINDING_SUCCESS, stun.BINDING_ERROR):
            return None
        return Reply(seq)

    def closing(self) -> Asks:
        """Ask nothing: a relay keeps no count."""
        yield from ()

    def forget_cookie(self) -> None:
        """Do nothing: there is none."""
