"""The body of an answer: counted and hashed as it comes, never kept beyond its first bytes."""

from __future__ import annotations

import hashlib
import ipaddress
import re
from typing import Final

#: Characters of the body that a record keeps.
HEAD_BYTES: Final = 512
#: Bodies up to this size are hashed: several times what a trial needs. On a fast line the hash of
#: more would cost as much as the transfer itself.
HASHED_BYTES: Final = 4 << 20
#: How far into the body addresses are looked for before its hash is given out.
_SCAN_BYTES: Final = 65_536

_OCTET: Final = r"(?:25[0-5]|2[0-4]\d|1?\d?\d)"
#: Dotted, and with the separators host names made from addresses use (1-2-3-4.isp.example).
_DOT: Final = r"(?:[.\-_]|%2e)"
_IPV4: Final = rf"(?<!\d){_OCTET}{_DOT}{_OCTET}{_DOT}{_OCTET}{_DOT}{_OCTET}(?!\d)"
_IPV6: Final = r"(?<![0-9a-z:])[0-9a-f:]{3,39}(?:\.\d{1,3}){0,3}(?![0-9a-z:])"
_ADDRESS: Final = re.compile(f"(?P<v4>{_IPV4})|{_IPV6}", re.IGNORECASE)
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
        The text with ``[address]`` for each IPv4 or IPv6 address.
    """
    return _ADDRESS.sub(_blank, text)


def _blank(found: re.Match[str]) -> str:
    """Replace what is an address; a time of day only looks like one of version 6."""
    if found["v4"] is None:
        try:
            ipaddress.IPv6Address(found[0])
        except ValueError:
            return found[0]
    return "[address]"


def _as_text(data: bytes) -> str | None:
    """Decode what is text; a picture or an archive soon shows a byte that no text has."""
    if not data or _NOT_TEXT.search(data):
        return None
    return data.decode("utf-8", errors="replace")
