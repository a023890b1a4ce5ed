"""The access line, one direction at a time: rate, queue, half the round trip, loss, neighbours."""

from __future__ import annotations

from random import Random

from probe.lab.effects import CrossLoad, Jitter, Queue
from probe.lab.rules import Direction, Line

#: A link wholly taken by others still moves a little: 2 % keeps time finite.
LEAST_SHARE = 0.02


class Access:
    """What one direction of a line does to packets; shared by every flow on it. Pure.

    Args:
        line: the line.
        direction: which way.
        rng: source of loss, jitter and neighbours.
    """

    def __init__(self, line: Line, direction: Direction, rng: Random) -> None:
        self._rate_bps = line.rate_down_bps if direction == "down" else line.rate_up_bps
        self._queue = Queue(self._rate_bps, line.queue_bytes)
        self._jitter = Jitter(line.rtt_s / 2, line.jitter_s, rng)
        self._loss_ratio = line.loss_ratio
        self._rng = rng
        others = line.cross_traffic if direction == "down" else None
        self._others = CrossLoad(others, rng) if others else None

    def depart(self, size_bytes: int, now: float) -> float | None:
        """Send a packet over the line.

        Args:
            size_bytes: its size.
            now: when it arrives at the line, s.

        Returns:
            When it arrives at the other end, s; None when it is lost.
        """
        if self._others:
            share = max(LEAST_SHARE, 1.0 - self._others.ratio(now))
            self._queue.rate_bps = self._rate_bps * share
        if self._loss_ratio and self._rng.random() < self._loss_ratio:
            return None
        left = self._queue.depart(size_bytes, now)
        return None if left is None else self._jitter.depart(left)
