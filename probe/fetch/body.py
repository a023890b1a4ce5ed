"""The body of an answer: counted and hashed as it comes, never kept beyond its first bytes."""

from __future__ import annotations

import hashlib
import html
import ipaddress
import re
from typing import Final
from urllib.parse import unquote

#: Characters of the body that a record keeps.
HEAD_BYTES: Final = 512
#: Bodies up to this size are hashed: several times what a trial needs. On a fast line the hash of
#: more would cost as much as the transfer itself.
HASHED_BYTES: Final = 4 << 20
#: How far into the body addresses are looked for before its hash is given out.
_SCAN_BYTES: Final = 65_536

#: How far one encoding may be wrapped in another.
_LAYERS: Final = 3
#: One of four parts: decimal, also with zeros before it; hexadecimal; octal (``inet_aton(3)``).
_OCTET: Final = r"(?:0x0*[0-9a-f]{1,2}|0+[0-3]?[0-7]{1,2}|0*(?:25[0-5]|2[0-4][0-9]|1?[0-9]?[0-9]))"
#: Dotted, and with the separators host names made from addresses use (1-2-3-4.isp.example).
_IPV4: Final = rf"(?<![0-9])(?:{_OCTET}[.\-_]){{3}}{_OCTET}(?![0-9])"
#: All 32 bits as one number: hexadecimal, also as in host names, or decimal, or octal. A UUID
#: begins like one.
_WHOLE: Final = r"(?<![\w.])(?:(?:0x|p)?[0-9a-f]{8}|[0-9]{8,12})(?!\w|-[0-9a-f]{4}-)"
_IPV6: Final = r"(?<![0-9a-z:])[0-9a-f:]{3,39}(?:\.[0-9]{1,3}){0,3}(?![0-9a-z:])"
#: All eight groups, as in host names; all 32 digits in reverse, as in ip6.arpa.
_GROUPS: Final = r"(?<![0-9a-z])(?:[0-9a-f]{1,4}[\-_]){7}[0-9a-f]{1,4}(?![0-9a-z])"
_NIBBLES: Final = r"(?<![0-9a-z])(?:[0-9a-f]\.){31}[0-9a-f](?![0-9a-z])"
_ADDRESS: Final = re.compile(
    f"(?P<sure>{_NIBBLES}|{_GROUPS}|{_IPV4})|(?P<whole>{_WHOLE})|{_IPV6}", re.IGNORECASE
)
_NOT_TEXT: Final = re.compile(rb"[\x00-\x08\x0e-\x1a\x1c-\x1f]")


class Body:
    """Takes the body in piece by piece.

    Attributes:
        count: bytes so far.
    """

    def __init__(self) -> None:
        self.count = 0
        self._hash = hashlib.sha256()
        self._start = bytearray()

    def add(self, piece: bytes) -> None:
        """Take a piece in.

        Args:
            piece: body bytes, in order.
        """
        self.count += len(piece)
        if self.count <= HASHED_BYTES:
            self._hash.update(piece)
        if len(self._start) < _SCAN_BYTES:
            self._start += piece[: _SCAN_BYTES - len(self._start)]

    def head(self) -> str | None:
        """Return the first 512 characters, scrubbed; ``None`` where the body is not text."""
        text = _as_text(bytes(self._start[: HEAD_BYTES * 2]))
        return None if text is None else scrub(text)[:HEAD_BYTES]

    def sha256(self) -> str | None:
        """Return the hash in hex; ``None`` for no body, a large one, or one with an address.

        A short page that tells visitors their address could be found again from its hash by
        trying all addresses, so such a page's hash is not given out.
        """
        text = _as_text(bytes(self._start))
        if not 0 < self.count <= HASHED_BYTES or (text is not None and scrub(text) != text):
            return None
        return self._hash.hexdigest()


def scrub(text: str) -> str:
    """Take every IP address out of a text.

    Args:
        text: anything a peer or a library said.

    Returns:
        The text with ``[address]`` for each IPv4 or IPv6 address, however it is written; where one
        was hidden by the encoding of URLs or HTML, the text is decoded. A number that could be an
        address is taken for one.
    """
    decoded = text
    for _ in range(_LAYERS):
        decoded = html.unescape(unquote(decoded))
    plain = _ADDRESS.sub(_blank, decoded)
    return plain if plain != decoded or decoded == text else _ADDRESS.sub(_blank, text)


def _blank(found: re.Match[str]) -> str:
    """Replace what is an address; a time of day only looks like one of version 6."""
    try:
        named = found["sure"] or (
            _is_whole(found[0]) if found["whole"] else ipaddress.IPv6Address(found[0])
        )
    except ValueError:
        named = False
    return "[address]" if named else found[0]


def _is_whole(number: str) -> bool:
    """Say whether a number is a public IPv4 address in base 16, 10 or 8."""
    digits = number.lower().removeprefix("p").removeprefix("0x")
    readings = [int(digits, 16)] if len(digits) == 8 else []  # noqa: PLR2004 - 32 bits
    if number.isdecimal():
        readings.append(int(number, 8 if number.startswith("0") else 10))
    return any(n < 1 << 32 and ipaddress.IPv4Address(n).is_global for n in readings)


def _as_text(data: bytes) -> str | None:
    """Decode what is text; a picture or an archive soon shows a byte that no text has."""
    if not data or _NOT_TEXT.search(data):
        return None
    return data.decode("utf-8", errors="replace")
