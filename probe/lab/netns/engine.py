"""Carries a preset out on IP packets: line, censor, timers. Pure: packets and the time in and out.

    up:    home -> access line -> censor -> world
    down:  world -> censor -> access line -> home

A packet that has to wait stands in one heap, with the moment it goes on and what comes next. That
moment, not the one at which the loop got round to it, is the time its next station is told: a
late loop delays one packet and never the schedule behind it.
"""

from __future__ import annotations

from collections.abc import Callable
from heapq import heappop, heappush
from random import Random

import msgspec

from probe.lab.access import Access
from probe.lab.actions import Packet
from probe.lab.netns import dns, packets
from probe.lab.netns.counting import CountingCensor
from probe.lab.netns.tally import Tally
from probe.lab.rules import Direction, DnsTamper, Preset, Rule, Seen, Transport, matches

#: Flows whose far ends are remembered; forgetting them costs a look at the next packet, no more.
_MOST_FLOWS = 65_536
_OTHER: dict[Direction, Direction] = {"up": "down", "down": "up"}
#: What no rule dropped, the line did.
LINE = "line"

Emit = Callable[[Direction, bytes], object]
Station = Callable[[Direction, bytes, float], None]


class Orders(msgspec.Struct, frozen=True, kw_only=True):
    """What an engine in a process of its own is told at the start."""

    preset: Preset
    seed: int


class _FarEnd(msgspec.Struct, frozen=True):
    """What all packets of a flow have in common."""

    flow: bytes
    address: str
    port: int
    transport: Transport


class Engine:
    """One lab's line and censor at work.

    Args:
        preset: what to carry out.
        seed: fixes every chance, together with the packets.
        emit: gets every packet that has come through, with its direction, at its time.
    """

    def __init__(self, preset: Preset, seed: int, emit: Emit) -> None:
        rng = Random(seed)  # noqa: S311 - repeatable on purpose
        self._line: dict[Direction, Access] = {
            direction: Access(preset.line, direction, Random(rng.random()))  # noqa: S311 - as above
            for direction in _OTHER
        }
        self.tally = Tally()
        self._censor = CountingCensor(preset.rules, rng, self.tally) if preset.rules else None
        self._forgers = tuple(r for r in preset.rules if isinstance(r.effect, DnsTamper))
        self._rng = rng
        self._far_ends: dict[bytes, _FarEnd] = {}
        self._waiting: list[tuple[float, int, Station, Direction, bytes]] = []
        self._entered = 0
        self._emit = emit

    def arrive(self, direction: Direction, packet: bytes, now: float) -> None:
        """Take a packet from the home (``up``) or the world (``down``).

        Args:
            direction: which way it goes.
            packet: the IP packet.
            now: when, s; never earlier than the call before.
        """
        # What is due goes first: the censor is shown packets in the order of their times.
        if self._waiting and self._waiting[0][0] <= now:
            self.run(now)
        if direction == "up":
            self._cross_line(direction, packet, now)
        else:
            self._pass_censor(direction, packet, now)

    def next_at(self) -> float | None:
        """Tell when ``run`` is wanted next, s; None when nothing waits."""
        return self._waiting[0][0] if self._waiting else None

    def run(self, now: float) -> None:
        """Move on every packet whose moment has come."""
        waiting = self._waiting
        while waiting and waiting[0][0] <= now:
            at, _, station, direction, packet = heappop(waiting)
            station(direction, packet, at)

    def _wait(self, until: float, station: Station, direction: Direction, packet: bytes) -> None:
        # The running number keeps packets of one moment in order.
        self._entered += 1
        heappush(self._waiting, (until, self._entered, station, direction, packet))

    def _cross_line(self, direction: Direction, packet: bytes, now: float) -> None:
        at = self._line[direction].depart(len(packet), now)
        if at is None:
            self.tally.dropped(LINE, direction, len(packet))
            return
        self._wait(at, self._pass_censor if direction == "up" else self._leave, direction, packet)

    def _pass_censor(self, direction: Direction, packet: bytes, now: float) -> None:
        if self._censor is None or not packets.has_ports(packet):
            self._behind_censor(direction, packet, now)
            return
        shown = self._shown(direction, packet)
        if self._forgers and shown.port == dns.PORT and self._forge(shown, packet, now):
            return
        fate = self._censor.packet(shown, now)
        if fate.at is None:
            assert fate.rule is not None
            self.tally.dropped(fate.rule, direction, len(packet))
            if fate.reset and packet[9] == packets.TCP:
                self._reset(direction, packet, fate.farewell, now)
        elif fate.at > now:
            self._wait(fate.at, self._behind_censor, direction, packet)
        else:
            self._behind_censor(direction, packet, now)

    def _behind_censor(self, direction: Direction, packet: bytes, now: float) -> None:
        if direction == "up":
            self._leave(direction, packet, now)
        else:
            self._cross_line(direction, packet, now)

    def _leave(self, direction: Direction, packet: bytes, now: float) -> None:  # noqa: ARG002 - a Station
        self.tally.passed(direction, len(packet))
        self._emit(direction, packet)

    def _reset(self, direction: Direction, packet: bytes, farewell: bytes, now: float) -> None:
        if packets.tcp_flags(packet) & packets.RST:
            return
        to_sender, to_receiver = packets.resets(packet, farewell)
        self._behind_censor(_OTHER[direction], to_sender, now)
        self._behind_censor(direction, to_receiver, now)

    def _forge(self, shown: Packet, packet: bytes, now: float) -> bool:
        """Answer a DNS query in the resolver's place, if a rule wants it."""
        query = dns.parse(shown.payload) if shown.direction == "up" else None
        if query is None:
            return False
        seen = Seen(
            address=shown.address, port=shown.port, transport=shown.transport, sni=query.name
        )
        for rule in self._forgers:
            if matches(rule.match, seen) and self._rng.random() < rule.probability:
                self.tally.dropped(rule.name, "up", len(packet))
                forged = dns.answer(query, _lie(rule))
                self._cross_line("down", packets.udp_answer(packet, forged), now)
                return True
        return False

    def _shown(self, direction: Direction, packet: bytes) -> Packet:
        far = self._far_end(direction, packet)
        content = packets.payload(packet)
        return Packet(
            flow=far.flow,
            direction=direction,
            address=far.address,
            port=far.port,
            transport=far.transport,
            payload=content,
            size_bytes=len(packet),
            bare_ack=far.transport == "tcp"
            and not content
            and not packets.tcp_flags(packet) & (packets.SYN | packets.FIN | packets.RST),
        )

    def _far_end(self, direction: Direction, packet: bytes) -> _FarEnd:
        key = packets.endpoints(packet) + packet[9:10]
        far = self._far_ends.get(key)
        if far is None:
            if len(self._far_ends) > _MOST_FLOWS:
                self._far_ends.clear()
            up = key if direction == "up" else packets.reversed_endpoints(key) + packet[9:10]
            address, port = packets.destination(up)
            transport: Transport = "tcp" if packet[9] == packets.TCP else "udp"
            far = self._far_ends[key] = _FarEnd(up, address, port, transport)
        return far


def _lie(rule: Rule) -> str | None:
    assert isinstance(rule.effect, DnsTamper)
    return rule.effect.address or None
