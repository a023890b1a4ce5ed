"""Counts what became of packets, exactly, per rule and direction. Pure."""

from __future__ import annotations

import msgspec

from probe.lab.rules import Direction


class Count(msgspec.Struct):
    """Packets, and the bytes of them as IP packets."""

    packets: int = 0
    bytes: int = 0

    def add(self, size_bytes: int) -> None:
        """Count one more packet."""
        self.packets += 1
        self.bytes += size_bytes


class Way(msgspec.Struct):
    """One direction: what came through; and by rule, what it let go on and what it dropped.

    A rule's counts are of the packets its effect was applied to, and of no others: what came before
    it took hold, or goes the other way, is not among them. ``line`` in ``dropped`` is the access
    line itself: random loss and a full queue.
    """

    passed: Count = msgspec.field(default_factory=Count)
    passed_by: dict[str, Count] = msgspec.field(default_factory=dict)
    dropped: dict[str, Count] = msgspec.field(default_factory=dict)


class Tally(msgspec.Struct):
    """Everything a middlebox has counted since it started.

    ``overrun_packets`` never reached it: the kernel dropped them because it was too slow. Any of
    them make what was measured meanwhile the machine's doing and not the preset's.
    """

    up: Way = msgspec.field(default_factory=Way)
    down: Way = msgspec.field(default_factory=Way)
    overrun_packets: int = 0

    def way(self, direction: Direction) -> Way:
        """Pick a direction's counts."""
        return self.up if direction == "up" else self.down

    def passed(self, direction: Direction, size_bytes: int) -> None:
        """Count a packet that came through."""
        self.way(direction).passed.add(size_bytes)

    def passed_by(self, rule: str, direction: Direction, size_bytes: int) -> None:
        """Count a packet that a rule's effect let go on."""
        self.way(direction).passed_by.setdefault(rule, Count()).add(size_bytes)

    def dropped(self, rule: str, direction: Direction, size_bytes: int) -> None:
        """Count a packet that a rule, or the line, dropped."""
        self.way(direction).dropped.setdefault(rule, Count()).add(size_bytes)
