"""The two DNS messages a lab needs: a query read, an answer written (RFC 1035). Pure."""

from __future__ import annotations

import struct
from ipaddress import IPv4Address

import msgspec

PORT = 53
A, IN = 1, 1
_HEADER_BYTES = 12
_QUERY_FLAGS_MASK, _ANSWER_FLAGS = 0xF800, 0x8180
_NXDOMAIN = 3
_MOST_LABEL_BYTES = 63
#: Where a name that stands in the question starts, as a compression pointer.
_POINTER = 0xC000 | _HEADER_BYTES
_TTL_S = 60


class Query(msgspec.Struct, frozen=True):
    """One question: the message's id, the name in lower case, the type, and its bytes as sent."""

    id: int
    name: str
    type: int
    question: bytes


def parse(message: bytes) -> Query | None:
    """Read a query.

    Args:
        message: the UDP payload.

    Returns:
        Its question; None when it is not a query with exactly one question.
    """
    if len(message) < _HEADER_BYTES:
        return None
    number, flags, questions = struct.unpack_from("!HHH", message)
    if flags & _QUERY_FLAGS_MASK or questions != 1:
        return None
    labels, at = [], _HEADER_BYTES
    while at < len(message) and (size := message[at]):
        if size > _MOST_LABEL_BYTES:
            return None
        labels.append(message[at + 1 : at + 1 + size])
        at += 1 + size
    end = at + 5
    if end > len(message):
        return None
    name = b".".join(labels).decode("ascii", errors="replace").lower()
    kind = int.from_bytes(message[at + 1 : at + 3], "big")
    return Query(number, name, kind, message[_HEADER_BYTES:end])


def answer(query: Query, address: str | None) -> bytes:
    """Write the answer to a query.

    Args:
        query: the query.
        address: the name's dotted IPv4 address; None when there is no such name.

    Returns:
        The UDP payload. For types other than A an existing name has no records.
    """
    records = b""
    if address is not None and query.type == A:
        packed = IPv4Address(address).packed
        records = struct.pack("!HHHIH", _POINTER, A, IN, _TTL_S, len(packed)) + packed
    flags = _ANSWER_FLAGS | (_NXDOMAIN if address is None else 0)
    counts = (1, 1 if records else 0, 0, 0)
    return struct.pack("!HHHHHH", query.id, flags, *counts) + query.question + records
