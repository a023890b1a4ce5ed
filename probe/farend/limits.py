"""Token buckets on the monotonic clock, one or many, in bounded memory."""

from __future__ import annotations

from collections import OrderedDict
from typing import Final

_NS: Final = 1_000_000_000


class Bucket:
    """Lets ``rate`` a second pass, ``burst`` at once."""

    __slots__ = ("_at_ns", "_burst", "_level", "_rate")

    def __init__(self, rate: float, burst: float, now_ns: int) -> None:
        """Start full.

        Args:
            rate: units per second.
            burst: units that may pass at once.
            now_ns: the time.
        """
        self._rate = rate
        self._burst = burst
        self._level = burst
        self._at_ns = now_ns

    def take(self, now_ns: int, units: float = 1.0) -> bool:
        """Take units if they are there; return whether they were."""
        level = self._level + max(now_ns - self._at_ns, 0) * self._rate / _NS
        self._at_ns = max(now_ns, self._at_ns)
        self._level = min(level, self._burst)
        if self._level < units:
            return False
        self._level -= units
        return True


class Buckets:
    """A bucket for each client; when there are too many, the one longest unused is forgotten."""

    def __init__(self, rate: float, capacity: int, burst: float | None = None) -> None:
        """Start with none.

        Args:
            rate: units per second and client.
            capacity: clients to remember.
            burst: units that may pass at once; a second's worth when not given.
        """
        self._rate = rate
        self._burst = rate if burst is None else burst
        self._capacity = capacity
        self._buckets: OrderedDict[str, Bucket] = OrderedDict()

    def __len__(self) -> int:
        return len(self._buckets)

    def take(self, client: str, now_ns: int, units: float = 1.0) -> bool:
        """Take units from this client's bucket; return whether they were there."""
        bucket = self._buckets.get(client)
        if bucket is None:
            bucket = self._buckets[client] = Bucket(self._rate, self._burst, now_ns)
            if len(self._buckets) > self._capacity:
                self._buckets.popitem(last=False)
        else:
            self._buckets.move_to_end(client)
        return bucket.take(now_ns, units)
