"""The arithmetic of each effect, with the time as an argument. Pure: no clock, no sockets.

Times are seconds on any one steady clock and must not go backwards between calls.
"""

from __future__ import annotations

from random import Random

from probe.lab.rules import BurstLoss, CrossTraffic, Fade

BITS = 8


class TokenBucket:
    """A policer: full at the start, filled at ``rate_bps`` up to ``bucket_bytes``.

    A packet passes when the bucket holds at least its size (RFC 2697 with one colour).
    """

    def __init__(self, rate_bps: float, bucket_bytes: int) -> None:
        self._rate = rate_bps / BITS
        self._depth = float(bucket_bytes)
        self._tokens = self._depth
        self._at: float | None = None

    def take(self, size_bytes: int, now: float) -> bool:
        """Let a packet through, or not.

        Args:
            size_bytes: its size.
            now: when it arrives, s.

        Returns:
            True when it passed and its tokens are gone; False when it is dropped.
        """
        if self._at is not None:
            self._tokens = min(self._depth, self._tokens + max(0.0, now - self._at) * self._rate)
        self._at = now if self._at is None else max(now, self._at)
        # A byte's millionth of slack: 0.1 s ten times is not quite 1 s in binary.
        if self._tokens + 1e-6 < size_bytes:
            return False
        self._tokens -= size_bytes
        return True


class Queue:
    """A drop-tail queue in front of a link of a fixed rate; the packet in service counts."""

    def __init__(self, rate_bps: float, queue_bytes: float) -> None:
        self.rate_bps = rate_bps
        self._queue_bytes = queue_bytes
        self._free_at = float("-inf")

    def depart(self, size_bytes: int, now: float) -> float | None:
        """Queue a packet.

        Args:
            size_bytes: its size.
            now: when it arrives, s.

        Returns:
            When its last bit has left, s; None when it does not fit.
        """
        if self.backlog_bytes(now) + size_bytes > self._queue_bytes:
            return None
        self._free_at = max(now, self._free_at) + size_bytes * BITS / self.rate_bps
        return self._free_at

    def backlog_bytes(self, now: float) -> float:
        """Tell how much waits, at the present rate."""
        return max(0.0, self._free_at - now) * self.rate_bps / BITS


class GilbertElliott:
    """Two-state loss, one step per packet (Elliott 1963); starts in the good state."""

    def __init__(self, effect: BurstLoss, rng: Random) -> None:
        self._effect = effect
        self._rng = rng
        self._bad = False

    def lost(self) -> bool:
        """Step to the next packet and tell whether it is lost."""
        turn = self._effect.r if self._bad else self._effect.p
        if self._rng.random() < turn:
            self._bad = not self._bad
        return self._rng.random() < (self._effect.bad if self._bad else self._effect.good)


class Fading:
    """Two-state loss in time; starts in the good state at the first packet."""

    def __init__(self, effect: Fade, rng: Random) -> None:
        self._effect = effect
        self._rng = rng
        self._bad = True
        self._until = float("-inf")

    def lost(self, now: float) -> bool:
        """Tell whether a packet that crosses now is lost."""
        while now >= self._until:
            self._bad = not self._bad
            lasts_s = self._effect.bad_s if self._bad else self._effect.good_s
            begun = now if self._until == float("-inf") else self._until
            self._until = begun + self._rng.expovariate(1.0 / lasts_s)
        return self._rng.random() < (self._effect.bad if self._bad else self._effect.good)


class Jitter:
    """Random extra delay that never lets a packet overtake the one before."""

    def __init__(self, delay_s: float, jitter_s: float, rng: Random) -> None:
        self._delay_s = delay_s
        self._jitter_s = jitter_s
        self._rng = rng
        self._last = float("-inf")

    def depart(self, now: float) -> float:
        """Tell when a packet that arrives now leaves, s."""
        extra = self._rng.uniform(0.0, self._jitter_s) if self._jitter_s else 0.0
        self._last = max(self._last, now + self._delay_s + extra)
        return self._last


class CrossLoad:
    """Other people's share of a link, a new draw every period. The seed fixes the whole evening."""

    def __init__(self, load: CrossTraffic, rng: Random) -> None:
        self._load = load
        self._rng = rng
        self._until = float("-inf")
        self._ratio = load.mean_ratio

    def ratio(self, now: float) -> float:
        """Tell the share of the link that others use now."""
        if now >= self._until:
            self._until = now + self._load.period_s
            swing = self._load.swing_ratio
            self._ratio = self._load.mean_ratio + self._rng.uniform(-swing, swing)
        return self._ratio
