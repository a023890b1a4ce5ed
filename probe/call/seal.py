"""The outer form of everything the probe and the far end say to each other.

    head ‖ masked(rest ‖ kind 1, word 4, seq 2) ‖ tag 4 ‖ iv 4

``head`` is what the packet's shape puts first (an RTP header, say; nothing in a random one). The
rest looks uniformly random to anyone between: fields and padding are masked with a keystream from
the ``iv``. The mask hides nothing from a reader of this file, it only keeps our own fields from
being a pattern. ``tag`` is a keyed hash over all else: it tells our packets from noise and keeps
out forgers who have not seen the flow's opening. Fields sit at the end, so they are found without
knowing the shape.
"""

from __future__ import annotations

import hashlib
import struct
from typing import Final

import msgspec

_MASK_KEY: Final = b"throttle-probe far end, version 1"
_FIELDS: Final = struct.Struct(">BIH")
_TAG_BYTES: Final = 4
IV_BYTES: Final = 4

#: Bytes the outer form needs behind the head.
OVERHEAD_BYTES: Final = _FIELDS.size + _TAG_BYTES + IV_BYTES
_TAIL: Final = _TAG_BYTES + IV_BYTES


class Sealed(msgspec.Struct, frozen=True):
    """The fields of a datagram, before its tag has been checked, and the keystream they had.

    ``word`` is the flow's number on the way up, and depends on ``kind`` on the way down.
    """

    datagram: bytes
    stream: bytes
    kind: int
    word: int
    seq: int

    def authentic(self, key: bytes) -> bool:
        """Tell whether the tag was made with this key."""
        datagram = self.datagram
        return datagram[-_TAIL:-IV_BYTES] == _tag(key, datagram[:-_TAIL], datagram[-IV_BYTES:])

    def rest(self, head_bytes: int) -> bytes:
        """Return what lies between head and fields, unmasked."""
        masked = self.datagram[head_bytes:-OVERHEAD_BYTES]
        return _xor(masked, self.stream[_FIELDS.size : _FIELDS.size + len(masked)])


class Draft:
    """A datagram that lacks only its fields and tag: what takes time is done.

    A reply tells how long its packet was held; the less is left to do after looking at the clock,
    the less a busy machine can add to that unnoticed.
    """

    __slots__ = ("_front", "_iv", "_mask")

    def __init__(self, head: bytes, rest: bytes, iv: bytes) -> None:
        """Mask what is known.

        Args:
            head: shape bytes, sent as they are.
            rest: fields and padding of the kind, masked.
            iv: 4 random bytes, fresh for each datagram.
        """
        stream = _keystream(iv, _FIELDS.size + len(rest))
        self._mask = stream[: _FIELDS.size]
        self._front = head + _xor(rest, stream[_FIELDS.size :])
        self._iv = iv

    def finish(self, kind: int, word: int, seq: int, *, key: bytes) -> bytes:
        """Put the fields in and the tag on; arguments and result as those of :func:`seal`."""
        body = self._front + _xor(_FIELDS.pack(kind, word, seq), self._mask)
        return body + _tag(key, body, self._iv) + self._iv


def seal(
    head: bytes, rest: bytes, kind: int, word: int, seq: int, *, key: bytes, iv: bytes
) -> bytes:
    """Make a datagram.

    Args:
        head: shape bytes, sent as they are.
        rest: fields and padding of the kind, masked.
        kind: message kind, 0 to 255.
        word: 32 bits.
        seq: 16 bits.
        key: what the tag is made with; empty before a flow has one.
        iv: 4 random bytes, fresh for each datagram.

    Returns:
        ``len(head) + len(rest) + OVERHEAD_BYTES`` bytes.
    """
    return Draft(head, rest, iv).finish(kind, word, seq, key=key)


def unseal(datagram: bytes) -> Sealed | None:
    """Read the fields at the end of a datagram.

    Args:
        datagram: anything.

    Returns:
        The fields, not yet authenticated; ``None`` when it is too short to hold any.
    """
    if len(datagram) < OVERHEAD_BYTES:
        return None
    stream = _keystream(datagram[-IV_BYTES:], len(datagram) - _TAIL)
    fields = _xor(datagram[-OVERHEAD_BYTES:-_TAIL], stream[: _FIELDS.size])
    return Sealed(datagram, stream, *_FIELDS.unpack(fields))


def _keystream(iv: bytes, size: int) -> bytes:
    return hashlib.shake_128(_MASK_KEY + iv).digest(size)


def _tag(key: bytes, body: bytes, iv: bytes) -> bytes:
    return hashlib.blake2s(body + iv, key=key, digest_size=_TAG_BYTES).digest()


def _xor(data: bytes, stream: bytes) -> bytes:
    mixed = int.from_bytes(data, "big") ^ int.from_bytes(stream, "big")
    return mixed.to_bytes(len(data), "big")
