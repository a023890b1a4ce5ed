"""The packet censor: holds flows, applies rules. Pure: packets and the time in, fates out.

An engine shows it every packet, in order of time, and does what the fate says.
"""

from __future__ import annotations

from collections.abc import Hashable
from random import Random

import msgspec

from probe.lab import rules
from probe.lab.actions import Action, Freezer, Openings, Packet, action
from probe.lab.quic_initial import quic_sni
from probe.lab.recognise import shapes, tls_sni
from probe.lab.rules import Direction, Match, Rule, Seen, matches

#: Packets of a flow, per direction, whose bytes are looked at: recognised sessions are logged for
#: their first 30 packets (DanielLavrushin/tspu-docs, chapter 8).
INSPECTED_PACKETS = 30
#: Above so many flows, the forgotten ones are cleared out.
MANY_FLOWS = 4096
#: The record of a fatal alert, handshake_failure (RFC 8446, 5.1 and 6).
TLS_ALERT = bytes.fromhex("15030300020228")
#: What one direction does never touches the other's bucket or queue.
_PER_DIRECTION = (
    rules.Police,
    rules.Shape,
    rules.Delay,
    rules.Loss,
    rules.BurstLoss,
    rules.Degrade,
    rules.HandshakeCrawl,
)


class Fate(msgspec.Struct, frozen=True, kw_only=True):
    """What becomes of a packet: it goes on at ``at`` (s), or is lost (None); ``reset`` the flow.

    ``rule`` names the rule that lost it; ``farewell`` is what its sender is then told in the name
    of the other end, in the place of a RST.
    """

    at: float | None = None
    reset: bool = False
    farewell: bytes = b""
    rule: str | None = None


class _Hold:
    """One rule's grip on one flow."""

    def __init__(self, rule: Rule, actions: dict[Direction, Action]) -> None:
        self.rule = rule
        self.actions = actions


class _Flow:
    def __init__(self, seen: Seen) -> None:
        self.seen = seen
        self.packets: dict[Direction, int] = {"up": 0, "down": 0}
        self.last = float("-inf")
        self.spoken = False
        self.tossed: set[str] = set()
        self.holds: list[_Hold] = []


class Censor:
    """Rules at work on the packets of one line.

    Args:
        policy: the rules, in the order they act; their names differ.
        rng: where all chances come from; the same seed and packets give the same fates.
    """

    def __init__(self, policy: tuple[Rule, ...], rng: Random) -> None:
        self._policy = policy
        self._rng = rng
        self._flows: dict[Hashable, _Flow] = {}
        self._shared: dict[str, dict[Direction, Action]] = {}
        self._openings = {
            rule.name: Openings(rule.effect)
            for rule in policy
            if isinstance(rule.effect, rules.ConnectionPolicing)
        }
        self._longest_s = max((rule.state_timeout_s for rule in policy), default=0.0)

    def packet(self, packet: Packet, now: float) -> Fate:
        """Decide what becomes of a packet.

        Args:
            packet: the packet.
            now: when it arrives at the censor, s; never earlier than the call before.

        Returns:
            Its fate.
        """
        flow = self._find(packet, now)
        flow.last = now
        flow.packets[packet.direction] += 1
        self._inspect(flow, packet)
        at = now
        for hold in flow.holds:
            rule = hold.rule
            started = flow.packets[packet.direction] > rule.start_after_packets
            if not (started and rule.acts_on(packet.direction)):
                continue
            left = hold.actions[packet.direction].act(packet, at)
            if left is None:
                return _lost(rule)
            at = left
        return Fate(at=at)

    def room_bytes(self, key: Hashable, direction: Direction) -> int | None:
        """Tell how much payload a freeze still lets through, for an engine that can split.

        Args:
            key: the flow's key.
            direction: which way.

        Returns:
            Bytes, or None where nothing limits them.
        """
        flow = self._flows.get(key)
        rooms = [
            freezer.room_bytes
            for hold in (flow.holds if flow else ())
            if hold.rule.acts_on(direction)
            and isinstance(freezer := hold.actions[direction], Freezer)
            and freezer.room_bytes is not None
        ]
        return min(rooms, default=None)

    def _find(self, packet: Packet, now: float) -> _Flow:
        flow = self._flows.get(packet.flow)
        if flow is None or now - flow.last > self._longest_s:
            self._clear_out(now)
            seen = Seen(address=packet.address, port=packet.port, transport=packet.transport)
            flow = self._flows[packet.flow] = _Flow(seen)
            return flow
        idle_s = now - flow.last
        flow.holds = [hold for hold in flow.holds if idle_s <= hold.rule.state_timeout_s]
        return flow

    def _clear_out(self, now: float) -> None:
        if len(self._flows) >= MANY_FLOWS:
            self._flows = {
                key: flow for key, flow in self._flows.items() if now - flow.last <= self._longest_s
            }

    def _inspect(self, flow: _Flow, packet: Packet) -> None:
        if flow.packets[packet.direction] > INSPECTED_PACKETS:
            return
        before, spoken = flow.seen, flow.spoken
        if packet.payload:
            flow.seen, flow.spoken = _learn(before, packet), True
        if sum(flow.packets.values()) == 1 or flow.seen != before or flow.spoken != spoken:
            for rule in self._policy:
                self._consider(rule, flow)

    def _consider(self, rule: Rule, flow: _Flow) -> None:
        if rule.name in flow.tossed or not matches(rule.match, flow.seen):
            return
        if rule.match.invert and _needs_bytes(rule.match) and not flow.spoken:
            return
        flow.tossed.add(rule.name)
        if self._rng.random() < rule.probability:
            flow.holds.append(_Hold(rule, self._actions(rule)))
            flow.holds.sort(key=lambda hold: self._policy.index(hold.rule))

    def _actions(self, rule: Rule) -> dict[Direction, Action]:
        if rule.scope == "shared" and rule.name in self._shared:
            return self._shared[rule.name]
        openings = self._openings.get(rule.name)
        up = action(rule.effect, self._rng, openings)
        both = isinstance(rule.effect, _PER_DIRECTION)
        made: dict[Direction, Action] = {
            "up": up,
            "down": action(rule.effect, self._rng, openings) if both else up,
        }
        if rule.scope == "shared":
            self._shared[rule.name] = made
        return made


def _lost(rule: Rule) -> Fate:
    if not isinstance(rule.effect, rules.Reset):
        return Fate(rule=rule.name)
    return Fate(reset=True, farewell=TLS_ALERT if rule.effect.alert else b"", rule=rule.name)


def _needs_bytes(match: Match) -> bool:
    return bool(match.sni or match.payload)


def _learn(seen: Seen, packet: Packet) -> Seen:
    sni = seen.sni
    if sni is None and packet.direction == "up":
        read = tls_sni if packet.transport == "tcp" else quic_sni
        sni = read(packet.payload)
    found = shapes(packet.payload, packet.transport)
    return msgspec.structs.replace(seen, sni=sni, shapes=seen.shapes | found)
