"""What is replayed to a far end: a TLS exchange as a censor sees one, and its bit-inverted copy.

Played plainly it begins with a ClientHello that carries a name; with every byte inverted it has the
same lengths in the same order and means nothing to anyone (Kakhki et al., IMC 2015; Xue et al.,
IMC 2021). Both ends know the recording: the client's bytes are made by the TLS library, the
server's are records full of random bytes. How many of those are wanted stands in the first bytes
of the ClientHello's session id, which TLS leaves to the client. Pure.
"""

from __future__ import annotations

import contextlib
import ssl
import struct
from collections.abc import Iterator
from typing import Final, NamedTuple

#: Of a TLS record: type, version, length.
HEAD_BYTES: Final = 5
#: The longest opening that is taken; a ClientHello with post-quantum keys has 1.8 kB.
MAX_OPENING_BYTES: Final = 4096
_HANDSHAKE: Final = 0x16
_APPLICATION: Final = 0x17
_RECORD_BYTES: Final = 16_384
#: Where a ClientHello has the length of its session id: after type, length, version and random.
_SESSION_ID: Final = 4 + 2 + 32
_FLIP: Final = bytes(range(255, -1, -1))


class RecordingError(ValueError):
    """Bytes that begin no recording of ours; says what was found and expected."""


class Head(NamedTuple):
    """Of an opening: whether it is the inverted copy, and how many bytes follow its head."""

    inverted: bool
    rest_bytes: int


def inverted(data: bytes) -> bytes:
    """Invert every bit.

    Args:
        data: any bytes.

    Returns:
        As many others; inverting them again gives the first.
    """
    return data.translate(_FLIP)


def opening(name: str, size_bytes: int) -> bytes:
    """Make the client's part.

    Args:
        name: to stand in the ClientHello.
        size_bytes: how many bytes the server is to send.

    Returns:
        One TLS record with a whole ClientHello, as this machine's TLS library writes it.
    """
    out = ssl.MemoryBIO()
    hello = ssl.create_default_context().wrap_bio(ssl.MemoryBIO(), out, server_hostname=name)
    with contextlib.suppress(ssl.SSLWantReadError):
        hello.do_handshake()
    record = bytearray(out.read())
    struct.pack_into(">I", record, HEAD_BYTES + _SESSION_ID + 1, size_bytes)
    return bytes(record)


def read_head(data: bytes) -> Head:
    """Read the first bytes of an opening.

    Args:
        data: ``HEAD_BYTES`` bytes.

    Returns:
        What they announce.

    Raises:
        RecordingError: they begin no handshake record, nor an inverted one.
    """
    flipped = data[:1] == bytes([_HANDSHAKE ^ 0xFF])
    plain = inverted(data) if flipped else data
    kind, major, _, rest = struct.unpack(">BBBH", plain)
    if kind != _HANDSHAKE or major != 3 or not _SESSION_ID + 5 <= rest <= MAX_OPENING_BYTES:  # noqa: PLR2004 - TLS
        raise RecordingError(f"found {data.hex()}, expected the head of a handshake record")
    return Head(flipped, rest)


def size_wanted(body: bytes) -> int:
    """Read how many bytes the server is to send.

    Args:
        body: what follows the head of an opening, not inverted.

    Returns:
        The count.

    Raises:
        RecordingError: there is no session id of 32 bytes to read it from.
    """
    if body[_SESSION_ID] != 32:  # noqa: PLR2004 - bytes of a session id
        raise RecordingError("found no session id of 32 bytes, expected a ClientHello that has one")
    return int(struct.unpack_from(">I", body, _SESSION_ID + 1)[0])


def answer(size_bytes: int, block: bytes) -> Iterator[bytes]:
    """Make the server's part: application data records.

    Args:
        size_bytes: of all of them together.
        block: random bytes to fill them with, a record's worth at least.

    Yields:
        A record each, the last as long as is left.
    """
    left = size_bytes
    while left > 0:
        body = min(_RECORD_BYTES, max(left - HEAD_BYTES, 0))
        record = struct.pack(">BHH", _APPLICATION, 0x0303, body) + block[:body]
        yield record[:left]
        left -= len(record)
