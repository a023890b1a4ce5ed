"""What two probes with a shared code say to find each other. Sans I/O.

    probe A                 far end                 probe B
    HELLO, COOKIE as for a flow
    MEET code's hash   ->
                       <-   wait
                                            <-      HELLO, COOKIE; MEET
                            call, A's address  ->
    MEET again         ->
                       <-   answer, B's address
    PUNCH  <------------------------------------->  PUNCH      until each has heard the other

The hash is of the code alone; the key of the PUNCH packets is derived from it another way, so that
whoever knows only the hash can pretend nothing.
"""

from __future__ import annotations

import hashlib
import ipaddress
import struct
from typing import Final, Literal

import msgspec

from probe.call import wire
from probe.call.seal import IV_BYTES, OVERHEAD_BYTES, seal, unseal
from probe.call.shapes import Address
from probe.call.talk import RandomBytes

Role = Literal["wait", "full", "answer", "call"]

_ROLES: Final[tuple[Role, ...]] = ("wait", "full", "answer", "call")
_CODE_BYTES: Final = 16
_ASK: Final = struct.Struct(f">{wire.COOKIE_BYTES}s{_CODE_BYTES}s?")
_ANSWER: Final = struct.Struct(">B?16sH")
_PUNCH_BYTES: Final = 96


class Ask(msgspec.Struct, frozen=True):
    """One probe's wish: its cookie, the code's hash, and whether to be relayed."""

    cookie: bytes
    code: bytes
    relay: bool


class Answer(msgspec.Struct, frozen=True):
    """What the far end says: what to do, and, for the direct path, where the other one is."""

    role: Role
    peer: Address | None = None


def pack_ask(ask: Ask) -> bytes:
    """Write the body of MEET, padded."""
    body = _ASK.pack(ask.cookie, ask.code, ask.relay)
    return body.ljust(wire.MEET_BYTES - OVERHEAD_BYTES, b"\0")


def unpack_ask(body: bytes) -> Ask:
    """Read the body of MEET, which has its full length."""
    return Ask(*_ASK.unpack_from(body))


def pack_answer(answer: Answer) -> bytes:
    """Write the body of the answer, padded."""
    host, port = answer.peer or ("::", 0)
    ip = ipaddress.ip_address(host)
    packed = ip.packed if isinstance(ip, ipaddress.IPv6Address) else _MAPPED + ip.packed
    body = _ANSWER.pack(_ROLES.index(answer.role), answer.peer is not None, packed, port)
    return body.ljust(wire.MET_BYTES - OVERHEAD_BYTES, b"\0")


def unpack_answer(body: bytes) -> Answer | None:
    """Read the body of an answer; ``None`` when it is none."""
    if len(body) != wire.MET_BYTES - OVERHEAD_BYTES:
        return None
    role, known, packed, port = _ANSWER.unpack_from(body)
    if role >= len(_ROLES):
        return None
    ip = ipaddress.IPv6Address(packed)
    peer = (str(ip.ipv4_mapped or ip), port) if known else None
    return Answer(_ROLES[role], peer)


_MAPPED: Final = bytes(10) + b"\xff\xff"


class MeetTalk:
    """One probe's side."""

    def __init__(self, code: str, *, relay: bool, random_bytes: RandomBytes) -> None:
        """Prepare.

        Args:
            code: what both probes' users have agreed on.
            relay: meet through the far end instead of directly.
            random_bytes: ``os.urandom``, or a seeded one in a test.
        """
        self._relay = relay
        self._random = random_bytes
        self._number = int.from_bytes(random_bytes(4), "big")
        self._code = hashlib.blake2b(
            code.encode(), person=b"meeting", digest_size=_CODE_BYTES
        ).digest()
        self._key = hashlib.blake2b(code.encode(), person=b"punch", digest_size=16).digest()

    def hello(self) -> bytes:
        """Ask for a cookie."""
        padding = bytes(wire.HELLO_BYTES - OVERHEAD_BYTES)
        return wire.message(wire.HELLO, padding, self._number, iv=self._random(IV_BYTES))

    def cookie(self, datagram: bytes) -> bytes | None:
        """Read the cookie; ``None`` for anything else."""
        return wire.read_cookie(datagram, self._number)

    def meet(self, cookie: bytes) -> bytes:
        """Ask where the other one is."""
        body = pack_ask(Ask(cookie, self._code, self._relay))
        return wire.message(wire.MEET, body, self._number, iv=self._random(IV_BYTES))

    def answer(self, datagram: bytes) -> Answer | None:
        """Read the far end's answer; ``None`` for anything else."""
        sealed = unseal(datagram)
        if (
            sealed is None
            or sealed.kind != wire.MEET | wire.DOWN
            or sealed.word != self._number
            or not sealed.authentic(b"")
        ):
            return None
        return unpack_answer(sealed.rest(0))

    def punch(self, *, heard: bool) -> bytes:
        """Make a packet that opens our own NAT, and tells the other one whether it was heard."""
        fill = bytes(_PUNCH_BYTES - OVERHEAD_BYTES)
        iv = self._random(IV_BYTES)
        return seal(b"", fill, wire.PUNCH, int(heard), 0, key=self._key, iv=iv)

    def punched(self, datagram: bytes) -> bool | None:
        """Tell whether the other one has heard us; ``None`` for what is not its packet."""
        sealed = unseal(datagram)
        if sealed is None or sealed.kind != wire.PUNCH or not sealed.authentic(self._key):
            return None
        return bool(sealed.word)
