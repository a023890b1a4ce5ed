"""A censor that keeps count of what each rule's effect let go on. Pure."""

from __future__ import annotations

from random import Random

from probe.lab.actions import Action, Packet
from probe.lab.censor import Censor
from probe.lab.netns.tally import Tally
from probe.lab.rules import Direction, Rule


class CountingCensor(Censor):
    """The censor of both engines, with its actions counted; what they drop, its fates tell.

    Args:
        policy: the rules, in the order they act.
        rng: where all chances come from.
        tally: where the counts go.
    """

    def __init__(self, policy: tuple[Rule, ...], rng: Random, tally: Tally) -> None:
        super().__init__(policy, rng)
        self._tally = tally

    def _actions(self, rule: Rule) -> dict[Direction, Action]:
        made = super()._actions(rule)
        return {way: _Counted(inner, rule.name, self._tally) for way, inner in made.items()}


class _Counted:
    """An action, and the count of what it lets go on."""

    def __init__(self, inner: Action, rule: str, tally: Tally) -> None:
        self._inner = inner
        self._rule = rule
        self._tally = tally

    def act(self, packet: Packet, at: float) -> float | None:
        """Do what the action does."""
        left = self._inner.act(packet, at)
        if left is not None:
            self._tally.passed_by(self._rule, packet.direction, packet.size_bytes)
        return left
