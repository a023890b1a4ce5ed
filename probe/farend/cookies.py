"""Cookies: proof that someone receives at the address he sends from, without keeping anything."""

from __future__ import annotations

import hashlib
import hmac
from typing import Final

from probe.call.shapes import Address
from probe.call.wire import COOKIE_BYTES

_SLOT_NS: Final = 60_000_000_000


class Cookies:
    """Makes and checks cookies; one is good for one to two minutes, from one address and port."""

    def __init__(self, secret: bytes) -> None:
        """Keep the secret.

        Args:
            secret: 16 to 64 bytes nobody else has.
        """
        self._secret = secret

    def make(self, address: Address, now_ns: int) -> bytes:
        """Return the cookie for an address at this time (monotonic)."""
        return self._cookie(address, now_ns // _SLOT_NS)

    def hold(self, cookie: bytes, address: Address, now_ns: int) -> bool:
        """Tell whether this cookie was made for this address, and lately."""
        slot = now_ns // _SLOT_NS
        return any(
            hmac.compare_digest(cookie, self._cookie(address, recent))
            for recent in (slot, slot - 1)
        )

    def _cookie(self, address: Address, slot: int) -> bytes:
        text = f"{address[0]} {address[1]} {slot}".encode()
        return hashlib.blake2b(text, key=self._secret, digest_size=COOKIE_BYTES).digest()
