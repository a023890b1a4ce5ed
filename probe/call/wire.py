"""What the probe and the far end say to each other, as values. Sans I/O.

    probe                         far end
    HELLO   (padded)         ->
                             <-   COOKIE    keyed hash of address and time slot; nothing is kept
    OPEN    cookie, flow     ->
                             <-   ACCEPT    or a reason why not
    EXCHANGE, MEDIA          ->             the shape's set-up, then the call
                             <-   EXCHANGE, MEDIA
    REPORT  cookie, padded   ->
                             <-   REPORT    what arrived, whole

All of it travels in the form of :mod:`probe.call.seal`. The opening and the report look the same,
random, whatever shape the flow has. Each MEDIA reply is as long as its request and carries when
the far end received and sent it, how many packets have come so far, and as much of the bitmap of
those received as fits; the report at the end fills what is missing, from a fresh socket if the
flow's own path has died.
"""

from __future__ import annotations

import struct
from typing import Final

import msgspec

from probe.call.seal import OVERHEAD_BYTES, Sealed, seal, unseal
from probe.call.shapes import SHAPES

HELLO, COOKIE, OPEN, ACCEPT = 1, 2, 3, 4
MEDIA, EXCHANGE, REPORT = 5, 6, 7
MEET, PUNCH = 8, 9
#: Set in the kind of everything the far end says, so that no side takes its own words back.
DOWN: Final = 0x80

#: Lengths of the opening. OPEN is long because the far end never sends a flow more bytes than
#: it got from it, and some shapes' set-up answers are longer than their questions.
HELLO_BYTES: Final = 96
COOKIE_MESSAGE_BYTES: Final = 64
OPEN_BYTES: Final = 512
ACCEPT_BYTES: Final = 48
REPORT_BYTES: Final = 480
MEET_BYTES: Final = 97
MET_BYTES: Final = 64

COOKIE_BYTES: Final = 16
KEY_BYTES: Final = 16
#: The most packets a flow may have: four minutes at 20 ms.
MAX_PACKETS: Final = 12_000

ACCEPTED, BUSY, MALFORMED = 0, 1, 2

_OPENING: Final = struct.Struct(f">{COOKIE_BYTES}s{KEY_BYTES}sBBHI")
_MEDIA_DOWN: Final = struct.Struct(">6sHH")
_REPORT_UP: Final = struct.Struct(f">{COOKIE_BYTES}sH")
_REPORT_DOWN: Final = struct.Struct(">HHH?")
_STAMP_BYTES: Final = 6

#: The least a media packet may have behind its head, so that a reply of equal length fits.
MEDIA_BODY_BYTES: Final = OVERHEAD_BYTES + _MEDIA_DOWN.size
#: Bytes of bitmap in one report.
REPORT_BITMAP_BYTES: Final = REPORT_BYTES - OVERHEAD_BYTES - _REPORT_DOWN.size


class Opening(msgspec.Struct, frozen=True):
    """What a probe asks for: the flow's key, its shape, whose exchanges it copies, its length."""

    cookie: bytes
    key: bytes
    shape: str
    like: str
    packets: int
    interval_s: float


class Arrivals(msgspec.Struct, frozen=True):
    """What a reply says of the way up.

    ``count`` packets have come so far. Bit *i* of ``bitmap`` tells whether packet ``first + i``
    has come, for ``width`` of them. ``overflowed``: the far end itself had to drop packets, so
    what is missing may not have been lost on the way.
    """

    count: int
    first: int
    width: int
    bitmap: int
    duplicates: int = 0
    overflowed: bool = False


class Reply(msgspec.Struct, frozen=True):
    """One media reply: when the far end received and sent it (ns, its own monotonic clock)."""

    seq: int
    received_ns: int | None = None
    sent_ns: int | None = None
    arrivals: Arrivals | None = None


def pack_opening(opening: Opening) -> bytes:
    """Write the body of OPEN, padded."""
    names = list(SHAPES)
    body = _OPENING.pack(
        opening.cookie,
        opening.key,
        names.index(opening.shape),
        names.index(opening.like),
        opening.packets,
        round(opening.interval_s * 1e6),
    )
    return body.ljust(OPEN_BYTES - OVERHEAD_BYTES, b"\0")


def unpack_opening(sealed: Sealed) -> Opening | None:
    """Read the body of OPEN; ``None`` for what no probe of this version asks."""
    body = sealed.rest(0)
    if len(sealed.datagram) != OPEN_BYTES:
        return None
    cookie, key, shape, like, packets, interval_us = _OPENING.unpack_from(body)
    names = list(SHAPES)
    if max(shape, like) >= len(names) or not 0 < packets <= MAX_PACKETS or not interval_us:
        return None
    return Opening(cookie, key, names[shape], names[like], packets, interval_us / 1e6)


def pack_media_rest(count: int, highest: int, bitmap: int, received_ns: int, size: int) -> bytes:
    """Write the part of a media reply between head and fields.

    Args:
        count: packets that have come.
        highest: the last of them by number.
        bitmap: all of them, bit *i* for packet *i*.
        received_ns: when this one came, since the flow was opened.
        size: bytes to fill; what the numbers leave holds the bitmap's upper end.

    Returns:
        ``size`` bytes.
    """
    room = size - _MEDIA_DOWN.size
    window = bitmap >> max(highest + 1 - 8 * room, 0)
    numbers = _MEDIA_DOWN.pack(received_ns.to_bytes(_STAMP_BYTES, "big"), count, highest)
    return window.to_bytes(room, "little") + numbers


def unpack_media(sealed: Sealed, head_bytes: int) -> Reply | None:
    """Read a media reply; ``None`` when it is too short for one."""
    rest = sealed.rest(head_bytes)
    width = len(rest) - _MEDIA_DOWN.size
    if width < 0:
        return None
    stamp, count, highest = _MEDIA_DOWN.unpack_from(rest, width)
    received_ns = int.from_bytes(stamp, "big")
    first = max(highest + 1 - 8 * width, 0)
    bitmap = int.from_bytes(rest[:width], "little")
    arrivals = Arrivals(count, first, min(8 * width, highest + 1), bitmap)
    return Reply(sealed.seq, received_ns, received_ns + sealed.word, arrivals)


def pack_report_request(cookie: bytes, first: int) -> bytes:
    """Write the body of a REPORT request, padded."""
    return _REPORT_UP.pack(cookie, first).ljust(REPORT_BYTES - OVERHEAD_BYTES, b"\0")


def unpack_report_request(sealed: Sealed) -> tuple[bytes, int] | None:
    """Read cookie and first packet of a REPORT request; ``None`` when it has another length."""
    if len(sealed.datagram) != REPORT_BYTES:
        return None
    cookie, first = _REPORT_UP.unpack_from(sealed.rest(0))
    return cookie, first


def pack_report(count: int, bitmap: int, duplicates: int, first: int, *, overflowed: bool) -> bytes:
    """Write the body of a report.

    Args:
        count: packets that have come.
        bitmap: all of them, bit *i* for packet *i*.
        duplicates: packets that came again.
        first: packet to begin with.
        overflowed: packets of some flow were dropped by the far end itself.

    Returns:
        The body, with ``8 * REPORT_BITMAP_BYTES`` packets of the bitmap.
    """
    window = bitmap >> first & ((1 << 8 * REPORT_BITMAP_BYTES) - 1)
    numbers = _REPORT_DOWN.pack(count, first, duplicates, overflowed)
    return window.to_bytes(REPORT_BITMAP_BYTES, "little") + numbers


def unpack_report(sealed: Sealed) -> Arrivals | None:
    """Read a report; ``None`` when it has another length."""
    if len(sealed.datagram) != REPORT_BYTES:
        return None
    rest = sealed.rest(0)
    count, first, duplicates, overflowed = _REPORT_DOWN.unpack_from(rest, REPORT_BITMAP_BYTES)
    bitmap = int.from_bytes(rest[:REPORT_BITMAP_BYTES], "little")
    return Arrivals(count, first, 8 * REPORT_BITMAP_BYTES, bitmap, duplicates, overflowed)


def message(kind: int, body: bytes, word: int = 0, *, key: bytes = b"", iv: bytes) -> bytes:
    """Seal a message of the opening or the report."""
    return seal(b"", body, kind, word, 0, key=key, iv=iv)


def read_cookie(datagram: bytes, number: int) -> bytes | None:
    """Read the cookie sent to the flow or meeting with this number; ``None`` for anything else."""
    sealed = unseal(datagram)
    if (
        sealed is None
        or sealed.kind != COOKIE | DOWN
        or sealed.word != number
        or len(datagram) != COOKIE_MESSAGE_BYTES
        or not sealed.authentic(b"")
    ):
        return None
    return sealed.rest(0)[:COOKIE_BYTES]
