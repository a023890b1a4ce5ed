"""STUN messages: bytes in, values out, and back. No sockets, no randomness.

Sources: RFC 8489 (messages, XOR-MAPPED-ADDRESS, MESSAGE-INTEGRITY, FINGERPRINT), RFC 8445 (ICE
attributes), RFC 8656 (TURN); test vectors in RFC 5769.
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import struct
import zlib
from typing import Final

import msgspec

COOKIE: Final = 0x2112A442
HEADER_BYTES: Final = 20

BINDING_REQUEST: Final = 0x0001
BINDING_SUCCESS: Final = 0x0101
BINDING_ERROR: Final = 0x0111
ALLOCATE_REQUEST: Final = 0x0003
ALLOCATE_ERROR: Final = 0x0113

MAPPED_ADDRESS: Final = 0x0001
USERNAME: Final = 0x0006
MESSAGE_INTEGRITY: Final = 0x0008
ERROR_CODE: Final = 0x0009
REALM: Final = 0x0014
NONCE: Final = 0x0015
REQUESTED_TRANSPORT: Final = 0x0019
XOR_MAPPED_ADDRESS: Final = 0x0020
PRIORITY: Final = 0x0024
SOFTWARE: Final = 0x8022
FINGERPRINT: Final = 0x8028
ICE_CONTROLLING: Final = 0x802A
RESPONSE_ORIGIN: Final = 0x802B
OTHER_ADDRESS: Final = 0x802C

_HEADER: Final = struct.Struct(">HHI12s")
_ATTRIBUTE: Final = struct.Struct(">HH")
_FINGERPRINT_XOR: Final = 0x5354554E
_INTEGRITY_BYTES: Final = 20
_FAMILY_BYTES: Final = {1: 4, 2: 16}
_TRANSACTION_BYTES: Final = 12


class StunError(ValueError):
    """Bytes that are not a well-formed STUN message; the text says what was found."""


class Message(msgspec.Struct, frozen=True):
    """One STUN message: type (16 bits), transaction id (12 bytes), attributes in order."""

    type: int
    transaction: bytes
    attributes: tuple[tuple[int, bytes], ...] = ()

    def get(self, attribute: int) -> bytes | None:
        """Return the first attribute of this type, ``None`` when there is none."""
        return next((value for kind, value in self.attributes if kind == attribute), None)


def encode(message: Message, *, key: bytes | None = None, fingerprint: bool = False) -> bytes:
    """Write a message.

    Args:
        message: what to write; its integrity and fingerprint are computed here, not taken.
        key: append MESSAGE-INTEGRITY (HMAC-SHA1) under this key.
        fingerprint: append FINGERPRINT (CRC-32).

    Returns:
        The datagram.
    """
    body = b"".join(_attribute(kind, value) for kind, value in message.attributes)
    if key is not None:
        signed = _header(message, len(body) + 4 + _INTEGRITY_BYTES) + body
        body += _attribute(MESSAGE_INTEGRITY, hmac.new(key, signed, hashlib.sha1).digest())
    if fingerprint:
        checked = _header(message, len(body) + 8) + body
        body += _attribute(FINGERPRINT, _crc(checked))
    return _header(message, len(body)) + body


def decode(datagram: bytes) -> Message:
    """Read a message.

    Args:
        datagram: a whole UDP payload.

    Returns:
        The message, unknown attributes kept.

    Raises:
        StunError: not STUN (RFC 8489 section 6: two zero bits, magic cookie, length), an
            attribute that runs over the end, or a FINGERPRINT that does not fit.
    """
    if len(datagram) < HEADER_BYTES:
        raise StunError(f"found {len(datagram)} bytes, expected at least {HEADER_BYTES}")
    kind, length, cookie, transaction = _HEADER.unpack_from(datagram)
    if kind & 0xC000 or cookie != COOKIE:
        raise StunError(f"found type {kind:#06x} and cookie {cookie:#010x}, expected STUN")
    if length % 4 or HEADER_BYTES + length != len(datagram):
        raise StunError(f"found length {length} in a datagram of {len(datagram)} bytes")
    attributes = []
    at = HEADER_BYTES
    while at < len(datagram):
        attribute, size = _ATTRIBUTE.unpack_from(datagram, at)
        value = datagram[at + 4 : at + 4 + size]
        if len(value) < size:
            raise StunError(f"found attribute {attribute:#06x} of {size} bytes beyond the end")
        if attribute == FINGERPRINT and value != _crc(datagram[:at]):
            raise StunError("found a FINGERPRINT that does not fit the message")
        attributes.append((attribute, value))
        at += 4 + size + -size % 4
    return Message(kind, transaction, tuple(attributes))


def verify(datagram: bytes, key: bytes) -> bool:
    """Tell whether the message carries a MESSAGE-INTEGRITY made with this key.

    Args:
        datagram: a message that ``decode`` accepts.
        key: the short-term password, or the long-term key.

    Returns:
        True when it is there and right (RFC 8489 section 14.5).
    """
    at = HEADER_BYTES
    while at + 4 <= len(datagram):
        attribute, size = _ATTRIBUTE.unpack_from(datagram, at)
        if attribute == MESSAGE_INTEGRITY:
            length = struct.pack(">H", at + 4 + _INTEGRITY_BYTES - HEADER_BYTES)
            signed = datagram[:2] + length + datagram[4:at]
            found = datagram[at + 4 : at + 4 + size]
            return hmac.compare_digest(hmac.new(key, signed, hashlib.sha1).digest(), found)
        at += 4 + size + -size % 4
    return False


def xor_address(address: tuple[str, int], transaction: bytes) -> bytes:
    """Write the value of XOR-MAPPED-ADDRESS for an address and port."""
    ip = ipaddress.ip_address(address[0])
    mask = struct.pack(">I", COOKIE) + transaction
    family = 1 if ip.version == 4 else 2  # noqa: PLR2004 - the IP version number itself
    masked = bytes(a ^ b for a, b in zip(ip.packed, mask, strict=False))
    return struct.pack(">BBH", 0, family, address[1] ^ (COOKIE >> 16)) + masked


def mapped_address(message: Message) -> tuple[str, int]:
    """Read the address a Binding answer reports.

    Args:
        message: a Binding success.

    Returns:
        Address and port: the asker's own, so never to be stored.

    Raises:
        StunError: there is none, or it is malformed.
    """
    value = message.get(XOR_MAPPED_ADDRESS)
    if value is None:
        raise StunError("found no XOR-MAPPED-ADDRESS")
    if len(value) < 4 or len(value) - 4 != _FAMILY_BYTES.get(value[1]):  # noqa: PLR2004 - family and port
        raise StunError(f"found an XOR-MAPPED-ADDRESS of {len(value)} bytes")
    mask = struct.pack(">I", COOKIE) + message.transaction
    packed = bytes(a ^ b for a, b in zip(value[4:], mask, strict=False))
    port = struct.unpack_from(">H", value, 2)[0] ^ (COOKIE >> 16)
    return str(ipaddress.ip_address(packed)), port


def binding_request(transaction: bytes) -> bytes:
    """Write the plain 20-byte Binding request."""
    return encode(Message(BINDING_REQUEST, transaction))


def _header(message: Message, length: int) -> bytes:
    if len(message.transaction) != _TRANSACTION_BYTES:
        raise ValueError(f"found a transaction id of {len(message.transaction)} bytes, expected 12")
    return _HEADER.pack(message.type, length, COOKIE, message.transaction)


def _attribute(kind: int, value: bytes) -> bytes:
    return _ATTRIBUTE.pack(kind, len(value)) + value + bytes(-len(value) % 4)


def _crc(checked: bytes) -> bytes:
    return struct.pack(">I", zlib.crc32(checked) ^ _FINGERPRINT_XOR)
