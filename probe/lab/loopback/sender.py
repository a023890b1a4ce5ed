"""The window of an emulated TCP sender: what may be in flight, and what a loss does. Pure.

A small model of what the kernel does, so that a byte stream through a policer or a queue has the
timeline that an application sees: slow start and congestion avoidance (RFC 5681), reduction to 0.7
(CUBIC, RFC 9438), retransmission time-out with back-off (RFC 6298, Linux's least of 200 ms).
``bbr`` keeps its window through losses and stops growing at twice the least round trip.
"""

from __future__ import annotations

from typing import Literal

MSS_BYTES = 1448
#: IPv4 and TCP with time stamps.
HEADER_BYTES = 52
INITIAL_WINDOW = 10 * MSS_BYTES
LARGEST_WINDOW = 4_000_000
LEAST_RTO_S = 0.2
LONGEST_RTO_S = 120.0
_CUBIC_BETA = 0.7
#: Fewer packets in flight than this give too few duplicate acknowledgements.
_DUPLICATES = 3


class Sender:
    """Congestion state of one direction of one connection.

    Args:
        rtt_s: first guess at the round trip.
        congestion_control: ``cubic`` or ``bbr``.
    """

    def __init__(self, rtt_s: float, congestion_control: Literal["cubic", "bbr"]) -> None:
        self.window_bytes: float = INITIAL_WINDOW
        self.in_flight_bytes = 0
        self.rtt_s = rtt_s
        self._least_rtt_s = max(rtt_s, 1e-4)
        self._bbr = congestion_control == "bbr"
        self._threshold: float = LARGEST_WINDOW
        self._recovered_at = float("-inf")
        self._backoff = 0
        self._backoff_at = float("-inf")

    def may_send(self, size_bytes: int) -> bool:
        """Tell whether a segment fits the window; one is always allowed."""
        return self.in_flight_bytes == 0 or (self.in_flight_bytes + size_bytes <= self.window_bytes)

    def sent(self, size_bytes: int) -> None:
        """Count a segment that has left."""
        self.in_flight_bytes += size_bytes

    def acknowledged(self, size_bytes: int, rtt_s: float) -> None:
        """Count a segment that has arrived, and grow.

        Args:
            size_bytes: its payload.
            rtt_s: the round trip it took.
        """
        self.in_flight_bytes -= size_bytes
        self._backoff = 0
        self.rtt_s += (rtt_s - self.rtt_s) / 8
        self._least_rtt_s = min(self._least_rtt_s, rtt_s)
        if self._bbr and self.rtt_s > 2 * self._least_rtt_s:
            return
        slow_start = self._bbr or self.window_bytes < self._threshold
        growth = size_bytes if slow_start else MSS_BYTES * size_bytes / self.window_bytes
        self.window_bytes = min(LARGEST_WINDOW, self.window_bytes + growth)

    def notices(self, *, again: bool) -> tuple[float, bool]:
        """Tell how long a loss stays unknown.

        Args:
            again: the segment had been retransmitted before.

        Returns:
            Seconds, and whether it takes the retransmission time-out. A first loss is known after
            a round trip where enough follows it, after two by a tail loss probe (RFC 8985).
        """
        if again:
            backed_off = (self.rtt_s + LEAST_RTO_S) * 2.0**self._backoff
            return min(LONGEST_RTO_S, backed_off), True
        enough = self.in_flight_bytes > _DUPLICATES * MSS_BYTES
        return self.rtt_s * (1 if enough else 2), False

    def declared_lost(self, size_bytes: int, now: float, *, timeout: bool) -> None:
        """React to a loss once it is known.

        Args:
            size_bytes: the segment's payload.
            now: s.
            timeout: known by the retransmission time-out, not by what followed.
        """
        self.in_flight_bytes -= size_bytes
        if timeout and now >= self._backoff_at:
            self._threshold = max(self.window_bytes / 2, 2 * MSS_BYTES)
            self.window_bytes = MSS_BYTES
            self._backoff += 1
            self._backoff_at = now + self.rtt_s
        elif not (timeout or self._bbr) and now >= self._recovered_at:
            # One reduction per round trip, however many losses it had.
            self.window_bytes = max(self.window_bytes * _CUBIC_BETA, 2 * MSS_BYTES)
            self._threshold = self.window_bytes
            self._recovered_at = now + self.rtt_s
