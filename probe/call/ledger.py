"""What became of each packet of a flow: pure accounting, times come in as arguments.

All times are ns since the flow's planned start, on the probe's monotonic clock, except the far
end's, which are on its own.
"""

from __future__ import annotations

from collections import Counter
from statistics import median
from typing import Any, Final

from probe.call.wire import Arrivals, Reply
from probe.measurement import Fate
from probe.trace import FATES

_NS: Final = 1_000_000_000
#: A reply is waited for this long, or three times the round trip where that is longer.
PATIENCE_NS: Final = _NS
PATIENCE_ROUND_TRIPS: Final = 3
_LONGEST_WAIT_NS: Final = 5 * _NS
#: Kernel and user clocks are read apart; a stamp further out of order than this is not one.
_SLACK_NS: Final = 1_000_000

Times = list[int | None]


class Ledger:
    """The packets of one flow.

    Attributes:
        planned_ns: when each is to be sent.
        sizes: UDP payload bytes of each.
        first_heard_ns: when a reply first came, ``None`` before it did.
        heard_ns: when one last came.
        overflowed: the far end dropped packets itself, and says so.
    """

    def __init__(
        self, planned_ns: tuple[int, ...], sizes: tuple[int, ...], *, far_end: bool
    ) -> None:
        """Start with nothing sent.

        Args:
            planned_ns: rising.
            sizes: of equal length.
            far_end: the peer says what arrived, so that losses have a direction.
        """
        count = len(planned_ns)
        self.planned_ns = planned_ns
        self.sizes = sizes
        self.first_heard_ns: int | None = None
        self.heard_ns: int | None = None
        self.overflowed = False
        self._far_end = far_end
        self._user_send: Times = [None] * count
        self._kernel_send: Times = [None] * count
        self._far_receive: Times = [None] * count
        self._far_send: Times = [None] * count
        self._kernel_receive: Times = [None] * count
        self._user_receive: Times = [None] * count
        self._repeats = 0
        self._repeated: set[int] = set()
        self._arrived = 0
        self._covered = 0
        self._count = 0
        self._up_duplicates = 0
        self._longest_ns = 0

    def sent(self, seq: int, user_ns: int) -> None:
        """Note that a packet was handed to the kernel."""
        self._user_send[seq] = user_ns

    def left(self, seq: int, kernel_ns: int, now_ns: int) -> None:
        """Note the kernel's stamp of a packet's leaving, read by this process at ``now_ns``."""
        user_ns = self._user_send[seq]
        if user_ns is not None and user_ns - _SLACK_NS <= kernel_ns <= now_ns + _SLACK_NS:
            self._kernel_send[seq] = kernel_ns

    def replied(self, reply: Reply, user_ns: int, kernel_ns: int | None) -> None:
        """Note a reply.

        Args:
            reply: what the talk made of it.
            user_ns: when this process had it.
            kernel_ns: when the kernel had it.
        """
        seq = reply.seq
        sent_ns = self._user_send[seq]
        if sent_ns is None:
            return  # an answer to what was not asked is not evidence of anything
        self.heard_ns = user_ns
        if self.first_heard_ns is None:
            self.first_heard_ns = user_ns
        if reply.arrivals is not None:
            self._learn(reply.arrivals)
        if self._user_receive[seq] is not None:
            self._repeats += 1
            self._repeated.add(seq)
            return
        self._arrived |= 1 << seq
        self._user_receive[seq] = user_ns
        self._longest_ns = max(self._longest_ns, user_ns - sent_ns)
        if kernel_ns is not None and sent_ns - _SLACK_NS <= kernel_ns <= user_ns + _SLACK_NS:
            self._kernel_receive[seq] = kernel_ns
        if reply.received_ns is None or reply.sent_ns is None:
            return
        # A far end that claims to have held a packet for longer than it was away is mistaken.
        if 0 <= reply.sent_ns - reply.received_ns <= user_ns - sent_ns + _SLACK_NS:
            self._far_receive[seq] = reply.received_ns
            self._far_send[seq] = reply.sent_ns

    def reported(self, arrivals: Arrivals) -> None:
        """Take the far end's report after the call: what it has not seen by now was lost."""
        self._learn(arrivals)
        self._up_duplicates = arrivals.duplicates
        self.overflowed |= arrivals.overflowed

    def wait_ns(self) -> int:
        """Return how long to wait for replies after the last packet."""
        wait_ns = max(PATIENCE_NS, PATIENCE_ROUND_TRIPS * self._longest_ns)
        return min(wait_ns, _LONGEST_WAIT_NS)

    def fates(self) -> list[Fate]:
        """Name the fate of each packet sent, in order."""
        trips = [
            back - out
            for out, back in zip(self._user_send, self._user_receive, strict=True)
            if out is not None and back is not None
        ]
        patience_ns = max(PATIENCE_NS, PATIENCE_ROUND_TRIPS * median(trips) if trips else 0)
        return [
            self._fate(seq, out, patience_ns)
            for seq, out in enumerate(self._user_send)
            if out is not None
        ]

    def columns(self) -> dict[str, Times]:
        """Return the columns of the trace, one entry per packet sent."""
        sent = [seq for seq, out in enumerate(self._user_send) if out is not None]
        first = min((t for t in self._far_receive if t is not None), default=0)
        return {
            "planned_ns": [self.planned_ns[seq] for seq in sent],
            "user_send_ns": [self._user_send[seq] for seq in sent],
            "kernel_send_ns": [self._kernel_send[seq] for seq in sent],
            "far_receive_ns": [_since(self._far_receive[seq], first) for seq in sent],
            "far_send_ns": [_since(self._far_send[seq], first) for seq in sent],
            "kernel_receive_ns": [self._kernel_receive[seq] for seq in sent],
            "user_receive_ns": [self._user_receive[seq] for seq in sent],
            "size_bytes": [self.sizes[seq] for seq in sent],
            "fate": [FATES.index(fate) for fate in self.fates()],
        }

    def counts(self) -> dict[str, Any]:
        """Return the counts of :class:`probe.measurement.Call`, by the names they have there."""
        fates = Counter(self.fates())
        sent = fates.total()
        far_end = self._far_end
        return {
            "sent": sent,
            "received": sum(back is not None for back in self._user_receive),
            "far_received": self._count if far_end else None,
            "lost_up": fates["lost_up"] if far_end else None,
            "lost_down": fates["lost_down"] if far_end else None,
            "lost": fates["lost"],
            "late": fates["late"],
            "duplicates": self._repeats + self._up_duplicates,
            "sender_late": sum(
                2 * (out - planned) > self._interval_ns()
                for out, planned in zip(self._user_send, self.planned_ns, strict=True)
                if out is not None
            ),
        }

    def stamps(self) -> tuple[str, ...]:
        """Name the kernel stamps that really came."""
        columns = (("rx", self._kernel_receive), ("tx", self._kernel_send))
        return tuple(name for name, column in columns if any(t is not None for t in column))

    def _fate(self, seq: int, sent_ns: int, patience_ns: float) -> Fate:
        back = self._user_receive[seq]
        if back is None:
            if not self._far_end or not (self._covered | self._arrived) >> seq & 1:
                return "lost"
            return "lost_down" if self._arrived >> seq & 1 else "lost_up"
        if back - sent_ns > patience_ns:
            return "late"
        return "duplicate" if seq in self._repeated else "ok"

    def _learn(self, arrivals: Arrivals) -> None:
        """Merge a window of the far end's bitmap."""
        self._count = max(self._count, arrivals.count)
        window = ((1 << arrivals.width) - 1) << arrivals.first
        self._covered |= window
        self._arrived |= arrivals.bitmap << arrivals.first & window

    def _interval_ns(self) -> int:
        return self.planned_ns[1] - self.planned_ns[0] if len(self.planned_ns) > 1 else _NS


def _since(time_ns: int | None, zero_ns: int) -> int | None:
    return None if time_ns is None else time_ns - zero_ns
