"""Each effect at work: a packet and when it would go on in, when it does go on out. Pure."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Hashable
from random import Random
from typing import Protocol

import msgspec

from probe.lab import rules
from probe.lab.effects import Fading, GilbertElliott, Jitter, Queue, TokenBucket
from probe.lab.rules import Direction, Transport


class Packet(msgspec.Struct, frozen=True, kw_only=True):
    """One packet as an engine shows it. ``address`` and ``port`` are the far end's.

    ``flow`` is any key that all packets of the flow share, both ways; ``size_bytes`` the IP
    packet; ``bare_ack`` a segment without payload, SYN, FIN or RST.
    """

    flow: Hashable
    direction: Direction
    address: str
    port: int
    transport: Transport
    payload: bytes
    size_bytes: int
    bare_ack: bool = False


class Action(Protocol):
    """One effect at work on one flow (or, shared, on all)."""

    def act(self, packet: Packet, at: float) -> float | None:
        """Tell when a packet that would go on at ``at`` does go on, s; None when it is lost."""
        ...


class Policer:
    """``rules.Police``."""

    def __init__(self, effect: rules.Police) -> None:
        self._bucket = TokenBucket(effect.rate_bps, effect.bucket_bytes)

    def act(self, packet: Packet, at: float) -> float | None:
        """Pass what the bucket holds tokens for."""
        return at if self._bucket.take(packet.size_bytes, at) else None


class Shaper:
    """``rules.Shape``."""

    def __init__(self, effect: rules.Shape) -> None:
        self._queue = Queue(effect.rate_bps, effect.queue_bytes)

    def act(self, packet: Packet, at: float) -> float | None:
        """Queue it."""
        return self._queue.depart(packet.size_bytes, at)


class Delayer:
    """``rules.Delay``."""

    def __init__(self, effect: rules.Delay, rng: Random) -> None:
        self._jitter = Jitter(effect.delay_s, effect.jitter_s, rng)

    def act(self, packet: Packet, at: float) -> float | None:  # noqa: ARG002 - one signature
        """Delay it."""
        return self._jitter.depart(at)


class Holder:
    """``rules.Hold``."""

    def __init__(self, effect: rules.Hold) -> None:
        self._delay_s = effect.delay_s
        self._until: float | None = None

    def act(self, packet: Packet, at: float) -> float | None:  # noqa: ARG002 - one signature
        """Hold it until the gate opens."""
        if self._until is None:
            self._until = at + self._delay_s
        return max(at, self._until)


class Loser:
    """``rules.Loss`` and ``rules.DropAcks``."""

    def __init__(self, ratio: float, rng: Random, *, only_acks: bool = False) -> None:
        self._ratio = ratio
        self._rng = rng
        self._only_acks = only_acks

    def act(self, packet: Packet, at: float) -> float | None:
        """Toss for it."""
        if self._only_acks and not packet.bare_ack:
            return at
        return None if self._rng.random() < self._ratio else at


class BurstLoser:
    """``rules.BurstLoss``."""

    def __init__(self, effect: rules.BurstLoss, rng: Random) -> None:
        self._states = GilbertElliott(effect, rng)

    def act(self, packet: Packet, at: float) -> float | None:  # noqa: ARG002 - one signature
        """Step the two states."""
        return None if self._states.lost() else at


class Fader:
    """``rules.Fade``."""

    def __init__(self, effect: rules.Fade, rng: Random) -> None:
        self._air = Fading(effect, rng)

    def act(self, packet: Packet, at: float) -> float | None:  # noqa: ARG002 - one signature
        """Lose it if the air is bad just then."""
        return None if self._air.lost(at) else at


class Degrader:
    """``rules.Degrade``."""

    def __init__(self, effect: rules.Degrade, rng: Random) -> None:
        self._left = effect.after_packets
        self._pass_ratio = effect.pass_ratio
        self._rng = rng

    def act(self, packet: Packet, at: float) -> float | None:  # noqa: ARG002 - one signature
        """Pass the first ones, toss for the rest."""
        self._left -= 1
        return at if self._left >= 0 or self._rng.random() < self._pass_ratio else None


class Freezer:
    """``rules.Freeze``."""

    def __init__(self, effect: rules.Freeze) -> None:
        self.room_bytes = effect.after_bytes
        self._room_packets = effect.after_packets

    def act(self, packet: Packet, at: float) -> float | None:
        """Count it against what is left."""
        if self._room_packets is not None:
            self._room_packets -= 1
            return at if self._room_packets >= 0 else None
        assert self.room_bytes is not None
        if len(packet.payload) > self.room_bytes:
            self.room_bytes = 0
            return None
        self.room_bytes -= len(packet.payload)
        # Once full, even an empty segment is silenced: the flow is dead, not short of data.
        return None if self.room_bytes == 0 and not packet.payload else at


class Cutter:
    """``rules.Cut``."""

    def __init__(self, effect: rules.Cut) -> None:
        self._left = effect.after_packets
        self._after_s = effect.after_s
        self._since: float | None = None

    def act(self, packet: Packet, at: float) -> float | None:  # noqa: ARG002 - one signature
        """Pass until the count or the time is up."""
        if self._left is not None:
            self._left -= 1
            return at if self._left >= 0 else None
        assert self._after_s is not None
        self._since = at if self._since is None else self._since
        return at if at - self._since < self._after_s else None


class Crawler:
    """``rules.HandshakeCrawl``."""

    def __init__(self, effect: rules.HandshakeCrawl) -> None:
        self._queue = Queue(effect.rate_bps, float("inf"))
        self._left = effect.first_bytes
        self._last = float("-inf")

    def act(self, packet: Packet, at: float) -> float | None:
        """Crawl through the first bytes; nothing overtakes them."""
        if self._left > 0 and packet.payload:
            self._left -= len(packet.payload)
            self._last = self._queue.depart(packet.size_bytes, at) or at
        return max(at, self._last)


class Dropper:
    """``rules.Drop`` and ``rules.Reset``: nothing passes."""

    def act(self, packet: Packet, at: float) -> float | None:  # noqa: ARG002 - one signature
        """Lose it."""
        return None


class Passer:
    """An effect that is not on packets (``rules.DnsTamper``)."""

    def act(self, packet: Packet, at: float) -> float | None:  # noqa: ARG002 - one signature
        """Pass it."""
        return at


class Openings:
    """``rules.ConnectionPolicing``: the ledger of new connections per address, for all flows."""

    def __init__(self, effect: rules.ConnectionPolicing) -> None:
        self._effect = effect
        self._times: defaultdict[str, deque[float]] = defaultdict(deque)
        self._blocked_until: dict[str, float] = {}

    def refused(self, address: str, now: float) -> bool:
        """Enter a new connection and tell whether it gets no answer."""
        if now < self._blocked_until.get(address, float("-inf")):
            return True
        times = self._times[address]
        times.append(now)
        while times[0] < now - self._effect.window_s:
            times.popleft()
        if len(times) < self._effect.connections:
            return False
        self._blocked_until[address] = now + self._effect.block_s
        times.clear()
        return True


class Refuser:
    """``rules.ConnectionPolicing`` on one flow: decided at its first packet."""

    def __init__(self, openings: Openings) -> None:
        self._openings = openings
        self._refused: bool | None = None

    def act(self, packet: Packet, at: float) -> float | None:
        """Pass it if its connection was let in."""
        if self._refused is None:
            self._refused = self._openings.refused(packet.address, at)
        return None if self._refused else at


def action(effect: rules.Effect, rng: Random, openings: Openings | None = None) -> Action:  # noqa: C901, PLR0911, PLR0912 - one line per effect is the point of this function
    """Put an effect to work.

    Args:
        effect: what to do.
        rng: where its chances come from.
        openings: the ledger, for ``ConnectionPolicing``.

    Returns:
        Fresh state that no packet has touched yet.
    """
    match effect:
        case rules.Police():
            return Policer(effect)
        case rules.Shape():
            return Shaper(effect)
        case rules.Delay():
            return Delayer(effect, rng)
        case rules.Hold():
            return Holder(effect)
        case rules.Loss():
            return Loser(effect.ratio, rng)
        case rules.DropAcks():
            return Loser(effect.ratio, rng, only_acks=True)
        case rules.BurstLoss():
            return BurstLoser(effect, rng)
        case rules.Fade():
            return Fader(effect, rng)
        case rules.Degrade():
            return Degrader(effect, rng)
        case rules.Freeze():
            return Freezer(effect)
        case rules.Cut():
            return Cutter(effect)
        case rules.HandshakeCrawl():
            return Crawler(effect)
        case rules.ConnectionPolicing():
            return Refuser(openings or Openings(effect))
        case rules.Drop() | rules.Reset():
            return Dropper()
        case rules.DnsTamper():
            return Passer()
