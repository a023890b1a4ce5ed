"""What the packets of a call look like: pure byte makers, used by the probe and the far end.

A shape gives the first bytes of each media packet, the exchanges that set a call up, and the far
end's answers to them. The ``random`` shape has the same lengths at the same times and no pattern
at all, so between it and any other only the bytes differ.

Sources: RFC 3550 section 5.1 (RTP); RFC 8489, RFC 8445 and RFC 8656 (STUN, ICE, TURN); Telegram's
reflector from grishka/libtgvoip (VoIPController.cpp, tests/MockReflector.cpp); WhatsApp's relay
and the lengths from public captures (nDPI's test set: telegram.pcap, stun_wa_call.pcapng,
stun_signal.pcapng). Filters know them by exactly these bytes (nDPI stun.c, telegram.c, rtp.c).
"""

from __future__ import annotations

import hashlib
import ipaddress
import struct
from typing import Final, Literal

import msgspec

from probe.call import stun

Direction = Literal["up", "down"]
Address = tuple[str, int]

RTP_HEADER_BYTES: Final = 12
_RTP: Final = struct.Struct(">BBHII")
_TELEGRAM_TAG_BYTES: Final = 16
_REFLECTOR_QUERY: Final = b"\xff" * 12 + b"\xfe\xff\xff\xff"
_REFLECTOR_ANSWER: Final = b"\xff" * 12 + b"\xc7\x72\x15\xc0"
_WHATSAPP_PING: Final = 0x0801
_WHATSAPP_PONG: Final = 0x0802
_WHATSAPP_TOKEN: Final = 0x4000
_WHATSAPP_TIME: Final = 0x4002
_ALLOCATE_SUCCESS: Final = 0x0103
_XOR_RELAYED: Final = 0x0016


class Lane(msgspec.Struct, frozen=True):
    """What the bytes of one direction of one flow are derived from.

    ``key`` is the flow's own; ``interval_s`` the time between packets.
    """

    key: bytes
    direction: Direction
    interval_s: float

    def derive(self, what: str, size: int, *, shared: bool = False) -> bytes:
        """Return bytes that look random, the same each time for the same ``what``.

        Args:
            what: what they are for, at most 8 letters.
            size: up to 64.
            shared: the same in both directions.
        """
        side = "" if shared else self.direction
        return hashlib.blake2b(
            side.encode(), key=self.key, person=what.encode(), digest_size=size
        ).digest()


def _seen(lane: Lane, address: Address) -> Address:
    """Return the address an answer names: the asker's, or for IPv6 a made-up one of IPv4's length.

    Nobody reads it, but the exchange must be as long as a random flow's copy of it.
    """
    if ":" not in address[0]:
        return address
    return str(ipaddress.IPv4Address(lane.derive("seen", 4))), address[1]


class Exchange(msgspec.Struct, frozen=True):
    """A question outside the media and the size of its answer.

    ``at_s`` is seconds after the first media packet; ``None`` is before it: part of the set-up.
    """

    request_bytes: int
    reply_bytes: int
    at_s: float | None = None


class Shape:
    """Uniformly random bytes, and the base of every other shape."""

    name = "random"
    head_bytes = 0
    setup: tuple[Exchange, ...] = ()
    keepalive: Exchange | None = None

    def exchanges(self, duration_s: float) -> tuple[Exchange, ...]:
        """List the exchanges of a call of this length, set-up first."""
        if self.keepalive is None or self.keepalive.at_s is None:
            return self.setup
        every = self.keepalive.at_s
        beats = range(1, int(duration_s / every - 1e-9) + 1)
        return self.setup + tuple(
            msgspec.structs.replace(self.keepalive, at_s=beat * every) for beat in beats
        )

    def head(self, lane: Lane, seq: int) -> bytes:
        """Return the first ``head_bytes`` bytes of media packet ``seq``."""
        del lane, seq
        return b""

    def request(self, lane: Lane, index: int) -> bytes | None:
        """Return question ``index``; ``None`` when this shape has no bytes of its own for it."""
        del lane, index
        return None

    def answer(self, lane: Lane, request: bytes, address: Address, now_s: float) -> bytes | None:
        """Answer as the relay would.

        Args:
            lane: the far end's.
            request: what came.
            address: from where.
            now_s: Unix time.

        Returns:
            The answer; ``None`` for anything that is not a question of this shape.
        """
        del lane, request, address, now_s
        return None

    def answers(self, request: bytes, reply: bytes) -> bool:
        """Tell whether this reply answers this question."""
        del request, reply
        return False


class Rtp(Shape):
    """RTP from the first packet on."""

    name = "rtp"
    head_bytes = RTP_HEADER_BYTES
    first_byte = 0x80
    payload_type = 111
    clock_hz = 48_000

    def head(self, lane: Lane, seq: int) -> bytes:
        """Write the RTP header; sequence, timestamp and source start at random."""
        ssrc, first_ts, first_seq = struct.unpack(">IIH", lane.derive("rtp", 10))
        marker = 0x80 if seq == 0 else 0
        ticks = round(lane.interval_s * self.clock_hz)
        return _RTP.pack(
            self.first_byte,
            marker | self.payload_type,
            (first_seq + seq) & 0xFFFF,
            (first_ts + seq * ticks) & 0xFFFFFFFF,
            ssrc,
        )


class _StunSetup(Rtp):
    """RTP behind questions in STUN."""

    def answers(self, request: bytes, reply: bytes) -> bool:
        """Match by transaction id."""
        return reply[4:20] == request[4:20]

    def _transaction(self, lane: Lane, index: int) -> bytes:
        return lane.derive(f"stun{index}", 12, shared=True)


class StunRtp(_StunSetup):
    """ICE connectivity checks, then RTP: what any WebRTC call looks like."""

    name = "stun-rtp"
    setup = (Exchange(96, 64), Exchange(96, 64))

    def request(self, lane: Lane, index: int) -> bytes:
        """Write a check as an ICE agent does: user name, role, priority, integrity, fingerprint."""
        attributes = (
            (stun.USERNAME, _ice_user(lane)),
            (stun.ICE_CONTROLLING, lane.derive("tie", 8)),
            (stun.PRIORITY, b"\x6e\x7f\x1e\xff"),
        )
        message = stun.Message(stun.BINDING_REQUEST, self._transaction(lane, index), attributes)
        return stun.encode(message, key=self._password(lane), fingerprint=True)

    def answer(self, lane: Lane, request: bytes, address: Address, now_s: float) -> bytes | None:
        """Answer a check of this flow with the mapped address."""
        del now_s
        if request[:2] != b"\x00\x01" or not stun.verify(request, self._password(lane)):
            return None
        transaction = request[8:20]
        seen = stun.xor_address(_seen(lane, address), transaction)
        mapped = ((stun.XOR_MAPPED_ADDRESS, seen),)
        reply = stun.Message(stun.BINDING_SUCCESS, transaction, mapped)
        return stun.encode(reply, key=self._password(lane), fingerprint=True)

    def _password(self, lane: Lane) -> bytes:
        return lane.derive("password", 16, shared=True)


def _ice_user(lane: Lane) -> bytes:
    fragments = lane.derive("user", 10).hex()
    return f"{fragments[:15]}:{fragments[15:19]}".encode()


class Signal(_StunSetup):
    """TURN's first two questions, answered with Signal's realm, then RTP."""

    name = "signal"
    payload_type = 102
    setup = (Exchange(20, 84), Exchange(28, 92))

    def request(self, lane: Lane, index: int) -> bytes:
        """Write a plain Binding, then an Allocate without credentials."""
        transaction = self._transaction(lane, index)
        if index == 0:
            return stun.binding_request(transaction)
        wanted = ((stun.REQUESTED_TRANSPORT, b"\x11\x00\x00\x00"),)
        return stun.encode(stun.Message(stun.ALLOCATE_REQUEST, transaction, wanted))

    def answer(self, lane: Lane, request: bytes, address: Address, now_s: float) -> bytes | None:
        """Answer as coturn does: mapped address; 401 with realm and nonce."""
        del now_s
        try:
            question = stun.decode(request)
        except stun.StunError:
            return None
        if question.type == stun.BINDING_REQUEST:
            mapped = stun.xor_address(_seen(lane, address), question.transaction)
            plain = b"\x00\x01" + lane.derive("plain", 6)
            attributes: tuple[tuple[int, bytes], ...] = (
                (stun.XOR_MAPPED_ADDRESS, mapped),
                (stun.MAPPED_ADDRESS, plain),
                (stun.RESPONSE_ORIGIN, plain),
                (stun.OTHER_ADDRESS, plain),
                (stun.SOFTWARE, b"None"),
            )
            kind = stun.BINDING_SUCCESS
        elif question.type == stun.ALLOCATE_REQUEST:
            attributes = (
                (stun.ERROR_CODE, b"\x00\x00\x04\x01Unauthorized"),
                (stun.NONCE, lane.derive("nonce", 8).hex().encode()),
                (stun.REALM, b"signal.org"),
                (stun.SOFTWARE, b"None"),
            )
            kind = stun.ALLOCATE_ERROR
        else:
            return None
        reply = stun.Message(kind, question.transaction, attributes)
        return stun.encode(reply, fingerprint=True)


class Telegram(Shape):
    """Telegram's reflector: a peer tag before everything, and a hello with twelve FF bytes."""

    name = "telegram"
    head_bytes = _TELEGRAM_TAG_BYTES
    setup = (Exchange(40, 64),)

    def head(self, lane: Lane, seq: int) -> bytes:
        """Return the peer tag, the same before every packet of one side."""
        del seq
        common = lane.derive("tag", _TELEGRAM_TAG_BYTES, shared=True)
        side = common[-1] & 0xFE | (lane.direction == "down")
        return common[:-1] + bytes([side])

    def request(self, lane: Lane, index: int) -> bytes:
        """Write the hello: tag, FF x 12, FE FF FF FF, query number."""
        return self.head(lane, 0) + _REFLECTOR_QUERY + lane.derive(f"query{index}", 8)

    def answer(self, lane: Lane, request: bytes, address: Address, now_s: float) -> bytes | None:
        """Answer with time, query number and the asker's mapped address and port."""
        tag_end = _TELEGRAM_TAG_BYTES
        if request[tag_end:-8] != _REFLECTOR_QUERY:
            return None
        host, port = _seen(lane, address)
        packed = bytes(10) + b"\xff\xff" + ipaddress.IPv4Address(host).packed
        fields = struct.pack("<I8s16sI", int(now_s), request[-8:], packed, port)
        return request[:tag_end] + _REFLECTOR_ANSWER + fields

    def answers(self, request: bytes, reply: bytes) -> bool:
        """Match by tag and query number."""
        return reply[:16] == request[:16] and reply[36:44] == request[-8:]


class WhatsApp(Shape):
    """WhatsApp's relay: allocate with an opaque token, RTP type 120, a ping every 3 s."""

    name = "whatsapp"
    head_bytes = RTP_HEADER_BYTES + 4
    setup = (Exchange(212, 68), Exchange(20, 20))
    keepalive = Exchange(20, 20, at_s=3.0)
    _ticks_hz = 16_000

    def head(self, lane: Lane, seq: int) -> bytes:
        """Write the RTP header with the empty extension 0xDEBE."""
        return _WHATSAPP_RTP.head(lane, seq) + b"\xde\xbe\x00\x00"

    def request(self, lane: Lane, index: int) -> bytes:
        """Write the allocate, then pings whose id counts up."""
        transaction = lane.derive("wa", 11) + bytes([index & 0xFF])
        if index != 0:
            return stun.encode(stun.Message(_WHATSAPP_PING, transaction))
        token = b"".join(lane.derive(f"token{part}", 50) for part in range(3))
        relayed = stun.xor_address(("0.0.0.0", 3478), transaction)  # noqa: S104 - no address to name
        attributes = ((_WHATSAPP_TOKEN, token), (_XOR_RELAYED, relayed))
        message = stun.Message(stun.ALLOCATE_REQUEST, transaction, attributes)
        return stun.encode(message, key=lane.derive("wakey", 16, shared=True))

    def answer(self, lane: Lane, request: bytes, address: Address, now_s: float) -> bytes | None:
        """Answer the allocate with the mapped address, a ping with a pong."""
        try:
            question = stun.decode(request)
        except stun.StunError:
            return None
        if question.type == _WHATSAPP_PING:
            return stun.encode(stun.Message(_WHATSAPP_PONG, question.transaction))
        if question.type != stun.ALLOCATE_REQUEST:
            return None
        attributes = (
            (
                stun.XOR_MAPPED_ADDRESS,
                stun.xor_address(_seen(lane, address), question.transaction),
            ),
            (_WHATSAPP_TIME, struct.pack(">Q", int(now_s * 1000))),
        )
        reply = stun.Message(_ALLOCATE_SUCCESS, question.transaction, attributes)
        return stun.encode(reply, key=lane.derive("wakey", 16, shared=True))

    def answers(self, request: bytes, reply: bytes) -> bool:
        """Match by transaction id."""
        return reply[4:20] == request[4:20]


class _WhatsAppRtp(Rtp):
    first_byte = 0x90
    payload_type = 120
    clock_hz = 16_000


_WHATSAPP_RTP: Final = _WhatsAppRtp()

#: Every shape by name. The position is what the probe tells the far end: only append.
SHAPES: Final[dict[str, Shape]] = {
    shape.name: shape for shape in (Shape(), Rtp(), StunRtp(), Telegram(), WhatsApp(), Signal())
}
