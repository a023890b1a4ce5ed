"""The flows a reflector keeps: what has arrived of each, and no more of them than it can hold."""

from __future__ import annotations

import hmac
from collections import Counter
from typing import Final

from probe.call.shapes import SHAPES, Address, Lane
from probe.call.wire import Opening

_NS: Final = 1_000_000_000
#: A report may have to be asked for again, from a fresh socket.
_REPORTED_NS: Final = 10 * _NS
#: As many as the report has bits for.
_MOST_DUPLICATES: Final = 0xFFFF


class Flow:
    """One flow as the far end sees it.

    Attributes:
        key: what its packets are authenticated with.
        shape: what they look like.
        like: whose exchanges it copies.
        lane: what the far end's own bytes are derived from.
        packets: how many may come.
        client: who opened it, for the limits.
        address: where it was opened from: the only address that gets replies.
        credit_bytes: bytes received beyond those sent.
        opened_ns: the zero of its time stamps.
        heard_ns: when something last came.
        reported: the call is over, so it need not be kept for long.
        count: packets that have come.
        highest: the last of them by number.
        bitmap: all of them, bit *i* for packet *i*.
        duplicates: packets that came again.
    """

    def __init__(self, opening: Opening, client: str, address: Address, now_ns: int) -> None:
        self.key = opening.key
        self.shape = SHAPES[opening.shape]
        self.like = opening.like
        self.lane = Lane(opening.key, "down", opening.interval_s)
        self.packets = opening.packets
        self.client = client
        self.address = address
        self.credit_bytes = 0
        self.opened_ns = now_ns
        self.heard_ns = now_ns
        self.reported = False
        self.count = 0
        self.highest = 0
        self.bitmap = 0
        self.duplicates = 0

    def arrived(self, seq: int) -> bool:
        """Note a packet; return whether it is the first with this number."""
        bit = 1 << seq
        if self.bitmap & bit:
            self.duplicates = min(self.duplicates + 1, _MOST_DUPLICATES)
            return False
        self.bitmap |= bit
        self.count += 1
        self.highest = max(self.highest, seq)
        return True

    def spend(self, received_bytes: int, sent_bytes: int) -> bool:
        """Account for an exchange; ``False`` when its answer would exceed what was received."""
        left = self.credit_bytes + received_bytes - sent_bytes
        if left < 0:
            return False
        self.credit_bytes = left
        return True


class FlowTable:
    """Flows by number and by address, within limits."""

    def __init__(self, capacity: int, per_client: int, idle_ns: int) -> None:
        """Start empty.

        Args:
            capacity: flows at once.
            per_client: of them, by one client.
            idle_ns: a flow not heard of for so long may be forgotten.
        """
        self._capacity = capacity
        self._per_client = per_client
        self._idle_ns = idle_ns
        self._by_number: dict[int, Flow] = {}
        self._by_address: dict[Address, Flow] = {}
        self._clients: Counter[str] = Counter()
        self._next_sweep_ns = 0

    def __len__(self) -> int:
        return len(self._by_number)

    def all_reported(self) -> bool:
        """Tell whether there are flows and each has had its report."""
        flows = self._by_number.values()
        return bool(flows) and all(flow.reported for flow in flows)

    def get(self, number: int) -> Flow | None:
        """Return the flow with this number."""
        return self._by_number.get(number)

    def at(self, address: Address) -> Flow | None:
        """Return the flow last opened from this address."""
        return self._by_address.get(address)

    def open(
        self, number: int, opening: Opening, client: str, address: Address, now_ns: int
    ) -> Flow | None:
        """Open a flow, or find it open already when the question was repeated.

        Args:
            number: what the probe calls it.
            opening: what it asked for, its cookie checked.
            client: who asks.
            address: from where.
            now_ns: monotonic time.

        Returns:
            The flow; ``None`` when there is no room, or another flow has this number.
        """
        there = self._by_number.get(number)
        if there is not None:
            same = address == there.address and hmac.compare_digest(opening.key, there.key)
            return there if same else None
        if self._full(client) and now_ns >= self._next_sweep_ns:
            # At most one sweep a second: a flood of openings must not become a flood of sweeps.
            self._next_sweep_ns = now_ns + _NS
            self._sweep(now_ns)
        if self._full(client):
            return None
        flow = Flow(opening, client, address, now_ns)
        self._by_number[number] = self._by_address[address] = flow
        self._clients[client] += 1
        return flow

    def _full(self, client: str) -> bool:
        return len(self._by_number) >= self._capacity or self._clients[client] >= self._per_client

    def _sweep(self, now_ns: int) -> None:
        """Forget the flows that are over or have gone quiet."""
        for number, flow in list(self._by_number.items()):
            patience_ns = _REPORTED_NS if flow.reported else self._idle_ns
            if now_ns - flow.heard_ns <= patience_ns:
                continue
            del self._by_number[number]
            if self._by_address.get(flow.address) is flow:
                del self._by_address[flow.address]
            self._clients[flow.client] -= 1
        self._clients = +self._clients
