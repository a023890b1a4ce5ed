"""One line and one censor on a clock: packets go in at one end and come out, late or not at all."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from random import Random

from probe.lab.access import Access
from probe.lab.actions import Packet
from probe.lab.censor import Censor, Fate
from probe.lab.rules import Line, Rule

#: What the counters call a packet that got through, and one that the line itself lost.
PASSED, LINE = "passed", "line"


class Wire:
    """Everything between home and world; all relays of a lab share one.

    Args:
        line: the access line.
        rules: the censor's policy.
        seed: of every chance on the way.

    Attributes:
        counts: packets by (direction, what became of them): ``passed``, ``line``, or a rule.
    """

    def __init__(self, line: Line, rules: tuple[Rule, ...], seed: int) -> None:
        rng = Random(seed)  # noqa: S311 - an emulation must repeat, not be secret
        self.line = line
        self.counts: Counter[tuple[str, str]] = Counter()
        self._up = Access(line, "up", rng)
        self._down = Access(line, "down", rng)
        self._censor = Censor(rules, rng)
        self._loop = asyncio.get_running_loop()

    def send(
        self, packet: Packet, arrived: Callable[[], None], lost: Callable[[Fate], None]
    ) -> None:
        """Send a packet from its end to the other; exactly one of the callbacks is called, later.

        Args:
            packet: the packet.
            arrived: called when it has come through.
            lost: called when and where it is lost.
        """
        now = self._loop.time()
        if packet.direction == "down":
            self._meet_censor(packet, now, arrived, lost)
        elif (there := self._up.depart(packet.size_bytes, now)) is None:
            self._lose(packet, Fate(rule=LINE), now, lost)
        else:
            self._meet_censor(packet, there, arrived, lost)

    def room_bytes(self, packet: Packet) -> int | None:
        """Tell how much payload a freeze still lets through on this packet's flow and way."""
        return self._censor.room_bytes(packet.flow, packet.direction)

    def _meet_censor(
        self, packet: Packet, now: float, arrived: Callable[[], None], lost: Callable[[Fate], None]
    ) -> None:
        fate = self._censor.packet(packet, now)
        if fate.at is None:
            self._lose(packet, fate, now, lost)
        elif packet.direction == "up":
            self._deliver(packet, fate.at, arrived)
        else:
            # What the censor holds back reaches the shared queue only when it lets go of it.
            self._loop.call_at(fate.at, self._go_down, packet, arrived, lost)

    def _go_down(
        self, packet: Packet, arrived: Callable[[], None], lost: Callable[[Fate], None]
    ) -> None:
        now = self._loop.time()
        there = self._down.depart(packet.size_bytes, now)
        if there is None:
            self._lose(packet, Fate(rule=LINE), now, lost)
        else:
            self._deliver(packet, there, arrived)

    def _deliver(self, packet: Packet, at: float, arrived: Callable[[], None]) -> None:
        self.counts[packet.direction, PASSED] += 1
        self._loop.call_at(at, arrived)

    def _lose(self, packet: Packet, fate: Fate, at: float, lost: Callable[[Fate], None]) -> None:
        self.counts[packet.direction, fate.rule or LINE] += 1
        self._loop.call_at(at, lost, fate)
