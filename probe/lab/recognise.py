"""What a packet's bytes give away to a classifier. Pure; any bytes at all are safe input.

One packet at a time, without reassembly, as the boxes of 2021 did (Xue et al., IMC 2021). The
patterns for calls are those that nDPI keys on (ntop/nDPI, ``stun.c``, ``telegram.c``, ``rtp.c``).
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from probe.lab.rules import PayloadShape, Transport

STUN_COOKIE = b"\x21\x12\xa4\x42"
_STUN_HEADER = 20
_TELEGRAM_LEAST = 40
_TELEGRAM_RUN = re.compile(rb"(?<!\xff)\xff{12}(?!\xff)")
_WHATSAPP_TYPES = range(0x0800, 0x0803)
_WHATSAPP_ATTRIBUTES = frozenset({*range(0x4000, 0x4005), 0x4007})
_RTP_HEADER = 12
#: RFC 5761: these second bytes are RTCP, not RTP.
_RTCP_TYPES = range(192, 224)
_TLS_HANDSHAKE, _CLIENT_HELLO, _SERVER_NAME, _HOST_NAME = 22, 1, 0, 0
_QUIC_LEAST = 7


def shapes(payload: bytes, transport: Transport) -> frozenset[PayloadShape]:
    """Name every known thing a payload looks like.

    Args:
        payload: one TCP segment's or UDP datagram's payload.
        transport: which of the two.

    Returns:
        The shapes; empty for bytes that look like nothing.
    """
    if transport == "tcp":
        return frozenset({"tls"} if is_tls(payload) else ())
    tests: dict[PayloadShape, bool] = {
        "stun": is_stun(payload),
        "whatsapp": is_whatsapp(payload),
        "telegram": is_telegram(payload),
        "rtp": is_rtp(payload),
        "quic": is_quic(payload),
    }
    return frozenset(name for name, held in tests.items() if held)


def is_tls(payload: bytes) -> bool:
    """Tell a TLS handshake record of version 3.x (RFC 8446, section 5.1)."""
    return len(payload) >= 6 and payload[0] == _TLS_HANDSHAKE and payload[1] == 3  # noqa: PLR2004 - offsets of the record header


def is_stun(payload: bytes) -> bool:
    """Tell a STUN message by its magic cookie (RFC 8489, section 5)."""
    return len(payload) >= _STUN_HEADER and payload[0] < 64 and payload[4:8] == STUN_COOKIE  # noqa: PLR2004 - the top two bits are zero


def is_whatsapp(payload: bytes) -> bool:
    """Tell a WhatsApp relay message: STUN of type 0x0800-0x0802 or with its private attributes."""
    if not is_stun(payload):
        return False
    kind = int.from_bytes(payload[:2])
    return kind in _WHATSAPP_TYPES or any(
        attribute in _WHATSAPP_ATTRIBUTES for attribute in _stun_attributes(payload)
    )


def is_telegram(payload: bytes) -> bool:
    """Tell a Telegram reflector message: 40 bytes or more with a run of exactly twelve 0xFF.

    nDPI also asks for a UDP port from 500 to 600; here that is the rule's business.
    """
    return len(payload) >= _TELEGRAM_LEAST and _TELEGRAM_RUN.search(payload) is not None


def is_rtp(payload: bytes) -> bool:
    """Tell an RTP packet by version, payload type and header length (RFC 3550, section 5.1)."""
    if len(payload) < _RTP_HEADER or payload[0] >> 6 != 2 or payload[1] in _RTCP_TYPES:  # noqa: PLR2004 - version 2
        return False
    contributors = payload[0] & 0x0F
    return len(payload) >= _RTP_HEADER + 4 * contributors


def is_quic(payload: bytes) -> bool:
    """Tell a QUIC version 1 or 2 long header (RFC 8999, RFC 9000, RFC 9369)."""
    return (
        len(payload) >= _QUIC_LEAST
        and payload[0] & 0xC0 == 0xC0  # noqa: PLR2004 - header form and fixed bit
        and payload[1:5] in (b"\x00\x00\x00\x01", b"\x6b\x33\x43\xcf")
    )


def tls_sni(payload: bytes) -> str | None:
    """Read the server name out of a TLS ClientHello at the start of a segment.

    A ClientHello cut off by the end of the segment is read as far as it goes; the name counts
    when all of it is there. Content type, handshake type, extension type and name type must be
    right.

    Args:
        payload: one TCP segment's payload.

    Returns:
        The name as sent; None when there is none, or the bytes are something else.
    """
    if not is_tls(payload):
        return None
    return hello_sni(payload[5:])


def hello_sni(message: bytes) -> str | None:
    """Read the server name out of a ClientHello handshake message (RFC 8446, section 4.1.2).

    Args:
        message: the message, from its type byte on; may be cut off.

    Returns:
        The name as sent, or None.
    """
    if len(message) < 4 or message[0] != _CLIENT_HELLO:  # noqa: PLR2004 - type and 24-bit length
        return None
    at = 4 + 2 + 32
    for width in (1, 2, 1):  # session id, cipher suites, compression methods
        length = _number(message, at, width)
        if length is None:
            return None
        at += width + length
    for kind, body in _extensions(message, at + 2):
        if kind == _SERVER_NAME:
            return _host_name(body)
    return None


def _extensions(message: bytes, at: int) -> Iterator[tuple[int, bytes]]:
    while (kind := _number(message, at, 2)) is not None:
        length = _number(message, at + 2, 2)
        if length is None or at + 4 + length > len(message):
            return
        yield kind, message[at + 4 : at + 4 + length]
        at += 4 + length


def _host_name(body: bytes) -> str | None:
    listed, kind, length = _number(body, 0, 2), _number(body, 2, 1), _number(body, 3, 2)
    if listed != len(body) - 2 or kind != _HOST_NAME or length is None or 5 + length > len(body):
        return None
    try:
        return body[5 : 5 + length].decode("ascii") or None
    except UnicodeDecodeError:
        return None


def _stun_attributes(payload: bytes) -> Iterator[int]:
    at = _STUN_HEADER
    while (kind := _number(payload, at, 2)) is not None:
        length = _number(payload, at + 2, 2)
        if length is None:
            return
        yield kind
        at += 4 + -(-length // 4) * 4


def _number(data: bytes, at: int, width: int) -> int | None:
    piece = data[at : at + width]
    return int.from_bytes(piece) if len(piece) == width else None
