"""Who may have how much of the far end: one rule for fetches, uploads, replays and WebRTC calls.

A client is an IPv4 address or an IPv6 /64. Clients are held in memory for these limits and written
nowhere.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Final

import msgspec

from probe.farend.limits import Buckets

_REMEMBERED_CLIENTS: Final = 10_000


class Refused(Exception):  # noqa: N818 - nothing went wrong
    """There is no room now; the text says for whom. ``everyone``: not for this client alone."""

    def __init__(self, text: str, *, everyone: bool = False) -> None:
        super().__init__(text)
        self.everyone = everyone


class Allowance(msgspec.Struct, frozen=True, kw_only=True):
    """What transfers of one kind get at most.

    Attributes:
        transfer_bytes: in one, either way.
        transfer_s: for one.
        client_transfers: at a time, by one client.
        total_transfers: at a time.
        client_bytes_per_s: sustained, by one client.
        client_burst_bytes: at once, by one client.
    """

    transfer_bytes: int
    transfer_s: float
    client_transfers: int
    total_transfers: int
    client_bytes_per_s: float
    client_burst_bytes: float


class Places:
    """Counts who is there.

    Args:
        total: how many may be at a time.
        client: of them, of one client.
    """

    def __init__(self, total: int, client: int) -> None:
        self._total = total
        self._client = client
        self._taken: Counter[str] = Counter()

    def take(self, client: str) -> None:
        """Take a place.

        Raises:
            Refused: there is none.
        """
        if self._taken.total() >= self._total:
            raise Refused(f"all {self._total} places are taken: try again later", everyone=True)
        if self._taken[client] >= self._client:
            raise Refused(f"{self._client} at a time is the most you get")
        self._taken[client] += 1

    def leave(self, client: str) -> None:
        """Give a place back."""
        self._taken[client] -= 1
        self._taken = +self._taken


class Admission:
    """Lets transfers in, and counts what they move.

    Args:
        allowance: what they get at most.
        now_ns: monotonic clock.
    """

    def __init__(self, allowance: Allowance, now_ns: Callable[[], int]) -> None:
        self.allowance = allowance
        self._now_ns = now_ns
        self._places = Places(allowance.total_transfers, allowance.client_transfers)
        self._shares = Buckets(
            allowance.client_bytes_per_s, _REMEMBERED_CLIENTS, allowance.client_burst_bytes
        )

    @asynccontextmanager
    async def admit(self, client: str) -> AsyncIterator[None]:
        """Hold a place for one transfer.

        Raises:
            Refused: there is none.
            TimeoutError: the transfer took too long.
        """
        self._places.take(client)
        try:
            async with asyncio.timeout(self.allowance.transfer_s):
                yield
        finally:
            self._places.leave(client)

    def spend(self, client: str, size_bytes: int) -> None:
        """Take bytes from a client's share.

        Raises:
            Refused: they are not there.
        """
        if not self._shares.take(client, self._now_ns(), size_bytes):
            raise Refused("your share of bytes is used up: try again later")
