"""What an emulated censor does, as values: match x effect x direction. Pure data, no I/O.

Both engines carry the same rules. A *flow* is one TCP connection or one UDP five-tuple. A rule
takes hold of a flow at the first packet that satisfies its match, by the toss of ``probability``
once per flow, and keeps hold until the flow has been idle for ``state_timeout_s``; FIN and RST do
not clear it (Xue et al., IMC 2021, section 6). Several rules may hold one flow: their effects act
one after another in the order written.

Sizes are bytes of the IP packet where packets are seen, and bytes of the TCP payload where only a
byte stream is. ``up`` is from the home to the world, ``down`` the other way.
"""

from __future__ import annotations

import re
from ipaddress import ip_address, ip_network
from typing import Literal

import msgspec

Direction = Literal["up", "down"]
Transport = Literal["tcp", "udp"]
#: What a packet's bytes look like to a classifier (``probe.lab.recognise``).
PayloadShape = Literal["tls", "quic", "stun", "telegram", "whatsapp", "rtp"]
Engine = Literal["loopback", "netns"]

_PATTERN = re.compile(r"(\*\.)?[^*]+|\*[^*]+\*")


class RuleError(ValueError):
    """A rule that cannot be carried out; the text says what was found and what was expected."""


def _ratio(name: str, value: float) -> None:
    if not 0.0 <= value <= 1.0:
        raise RuleError(f"{name}: found {value}, expected a share from 0 to 1")


def _positive(name: str, value: float) -> None:
    if value <= 0:
        raise RuleError(f"{name}: found {value}, expected more than 0")


def _one_of(names: str, *values: float | None) -> None:
    given = [value for value in values if value is not None]
    if len(given) != 1 or given[0] <= 0:
        raise RuleError(f"found {given or 'neither'}, expected exactly one of {names}, above 0")


class Seen(msgspec.Struct, frozen=True, kw_only=True):
    """What a middlebox knows of a flow: the far address and port, and what its bytes gave away.

    ``sni`` is the name in the TLS ClientHello or QUIC Initial, as sent (case and dots kept).
    """

    address: str
    port: int
    transport: Transport
    sni: str | None = None
    shapes: frozenset[PayloadShape] = frozenset()


class Match(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which flows a rule is about. Every part that is given must hold; none given: everything.

    ``sni``: patterns, any of them: ``twitter.com`` that name only; ``*.twimg.com`` every name
    below it; ``*t.co*`` every name that contains it (the substring rule of 10 March 2021).
    ``addresses``: far addresses or CIDR blocks. ``ports``: far ports. ``payload``: shapes, any.
    ``invert`` turns the whole around, for "only listed names pass"; a match that needs a name is
    then decided when the name, or a first payload without one, has been seen.
    """

    sni: tuple[str, ...] = ()
    addresses: tuple[str, ...] = ()
    ports: tuple[int, ...] = ()
    transport: Transport | None = None
    payload: tuple[PayloadShape, ...] = ()
    invert: bool = False

    def __post_init__(self) -> None:
        """Refuse patterns and blocks that could never match."""
        for block in self.addresses:
            try:
                ip_network(block)
            except ValueError as error:
                raise RuleError(f"addresses: found {block!r}, expected a CIDR block") from error
        for pattern in self.sni:
            if not _PATTERN.fullmatch(pattern):
                raise RuleError(f"sni: found {pattern!r}, expected 'name', '*.name' or '*part*'")


def name_matches(pattern: str, name: str) -> bool:
    """Compare a name with one pattern of ``Match.sni``.

    Args:
        pattern: ``name``, ``*.name`` or ``*part*``.
        name: the name as sent. A trailing dot is part of it, as it was for the real box.

    Returns:
        Whether the pattern covers the name; case does not count.
    """
    pattern, name = pattern.lower(), name.lower()
    if pattern.startswith("*") and pattern.endswith("*"):
        return pattern.strip("*") in name
    if pattern.startswith("*."):
        return name.endswith(pattern[1:])
    return name == pattern


def matches(match: Match, seen: Seen) -> bool:
    """Decide whether a flow is one that a match is about.

    Args:
        match: the match.
        seen: what is known of the flow so far.

    Returns:
        True when every given part holds (or, inverted, when one does not).
    """
    held = (
        (match.transport is None or match.transport == seen.transport)
        and (not match.ports or seen.port in match.ports)
        and (not match.payload or not seen.shapes.isdisjoint(match.payload))
        and (not match.addresses or _inside(match.addresses, seen.address))
        and (not match.sni or _named(match.sni, seen.sni))
    )
    return held is not match.invert


def _inside(blocks: tuple[str, ...], address: str) -> bool:
    here = ip_address(address)
    return any(here in ip_network(block) for block in blocks)


def _named(patterns: tuple[str, ...], name: str | None) -> bool:
    return name is not None and any(name_matches(pattern, name) for pattern in patterns)


def _tag(name: str) -> str:
    return re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()


class _Effect(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    forbid_unknown_fields=True,
    tag_field="type",
    tag=_tag,
):
    """One thing done to packets. In a file its ``type`` is the class name in snake_case."""


class Police(_Effect, frozen=True):
    """Drop what exceeds a token bucket: ``rate_bps`` fills it, ``bucket_bytes`` is its depth."""

    rate_bps: float
    bucket_bytes: int

    def __post_init__(self) -> None:
        """Refuse a bucket that passes nothing."""
        _positive("rate_bps", self.rate_bps)
        _positive("bucket_bytes", self.bucket_bytes)


class Shape(_Effect, frozen=True):
    """Queue what exceeds ``rate_bps``; drop what does not fit into ``queue_bytes``."""

    rate_bps: float
    queue_bytes: int

    def __post_init__(self) -> None:
        """Refuse a queue that passes nothing."""
        _positive("rate_bps", self.rate_bps)
        _positive("queue_bytes", self.queue_bytes)


class Delay(_Effect, frozen=True):
    """Delay every packet by ``delay_s`` plus a uniform draw from 0 to ``jitter_s``, in order."""

    delay_s: float
    jitter_s: float = 0.0


class Hold(_Effect, frozen=True):
    """Hold packets until ``delay_s`` after the first one held; what comes later is not delayed.

    With ``start_after_packets`` it holds up the handshake or the first byte of the answer.
    """

    delay_s: float


class Loss(_Effect, frozen=True):
    """Lose each packet with probability ``ratio``, whatever happened to the one before."""

    ratio: float

    def __post_init__(self) -> None:
        """Refuse what is no probability."""
        _ratio("ratio", self.ratio)


class BurstLoss(_Effect, frozen=True):
    """Gilbert-Elliott loss, one step per packet, starting in the good state.

    ``p`` is the probability of good to bad, ``r`` of bad to good; ``good`` and ``bad`` are the
    loss probabilities within each state (Elliott, Bell Syst. Tech. J. 42, 1963).
    """

    p: float
    r: float
    good: float = 0.0
    bad: float = 1.0

    def __post_init__(self) -> None:
        """Refuse what is no probability."""
        for name in ("p", "r", "good", "bad"):
            _ratio(name, getattr(self, name))


class Fade(_Effect, frozen=True):
    """Gilbert-Elliott loss in time: whatever crosses at one moment meets one state.

    States last ``good_s`` and ``bad_s`` on average, exponentially, the good one first, and are the
    same in both directions; ``good`` and ``bad`` are the loss probabilities within each. With the
    scope ``shared`` it is one air for all flows: bad radio, where a lapse hits every call alike.
    """

    good_s: float
    bad_s: float
    good: float = 0.0
    bad: float = 1.0

    def __post_init__(self) -> None:
        """Refuse states without duration and what is no probability."""
        for name in ("good_s", "bad_s"):
            _positive(name, getattr(self, name))
        for name in ("good", "bad"):
            _ratio(name, getattr(self, name))


class Freeze(_Effect, frozen=True):
    """Let so much payload, or so many packets, through in the rule's direction; then silence.

    With direction ``both`` the two directions are counted together. A packet that would exceed
    ``after_bytes`` is not split: it and all after it are lost. A byte stream stops at the byte.
    """

    after_bytes: int | None = None
    after_packets: int | None = None

    def __post_init__(self) -> None:
        """Refuse none or both."""
        _one_of("after_bytes, after_packets", self.after_bytes, self.after_packets)


class Reset(_Effect, frozen=True):
    """Drop the packet that matched and send a RST to both ends.

    With ``alert`` its sender gets a fatal TLS alert in the place of the RST, as if the other end
    had refused the handshake.
    """

    alert: bool = False


class Drop(_Effect, frozen=True):
    """Lose everything, silently."""


class DropAcks(_Effect, frozen=True):
    """Lose each TCP segment that has no payload, no SYN, FIN or RST with probability ``ratio``."""

    ratio: float

    def __post_init__(self) -> None:
        """Refuse what is no probability."""
        _ratio("ratio", self.ratio)


class Degrade(_Effect, frozen=True):
    """Pass ``after_packets`` packets per direction, then each one with ``pass_ratio``."""

    after_packets: int
    pass_ratio: float

    def __post_init__(self) -> None:
        """Refuse what is no probability."""
        _ratio("pass_ratio", self.pass_ratio)


class HandshakeCrawl(_Effect, frozen=True):
    """Queue the first ``first_bytes`` of payload at ``rate_bps``; what follows runs free."""

    rate_bps: float
    first_bytes: int

    def __post_init__(self) -> None:
        """Refuse a rate that passes nothing."""
        _positive("rate_bps", self.rate_bps)


class ConnectionPolicing(_Effect, frozen=True):
    """Punish parallel handshakes: of ``connections`` new ones to an address within ``window_s``.

    The last of them and every new one for ``block_s`` after it get no answer.
    """

    connections: int
    window_s: float
    block_s: float

    def __post_init__(self) -> None:
        """Refuse a rule that blocks the first connection."""
        if self.connections < 2:  # noqa: PLR2004 - one handshake is no parallel handshake
            raise RuleError(f"connections: found {self.connections}, expected 2 or more")
        _positive("window_s", self.window_s)
        _positive("block_s", self.block_s)


class Cut(_Effect, frozen=True):
    """Cut a flow off for good, both ways: ``after_packets`` (both ways) or ``after_s`` seconds."""

    after_packets: int | None = None
    after_s: float | None = None

    def __post_init__(self) -> None:
        """Refuse none or both."""
        _one_of("after_packets, after_s", self.after_packets, self.after_s)


class DnsTamper(_Effect, frozen=True):
    """Forge the answer to a DNS query for a name in the match: NXDOMAIN, or ``address``."""

    answer: Literal["nxdomain", "address"]
    address: str = ""

    def __post_init__(self) -> None:
        """Refuse a forged answer without an address in it."""
        if (self.answer == "address") is not bool(self.address):
            raise RuleError("found answer and address at odds, expected an address with 'address'")


Effect = (
    Police
    | Shape
    | Delay
    | Hold
    | Loss
    | BurstLoss
    | Fade
    | Freeze
    | Reset
    | Drop
    | DropAcks
    | Degrade
    | HandshakeCrawl
    | ConnectionPolicing
    | Cut
    | DnsTamper
)


class Rule(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One line of a censor's policy.

    ``start_after_packets`` packets of the flow, counted per direction from its first packet, pass
    untouched before the effect begins. ``scope`` says what shares one bucket, queue or counter:
    each direction of each flow, or each direction of all flows the rule holds (a per-user limit).
    """

    name: str
    match: Match = Match()
    effect: Effect
    direction: Literal["up", "down", "both"] = "both"
    probability: float = 1.0
    start_after_packets: int = 0
    state_timeout_s: float = 600.0
    scope: Literal["flow", "shared"] = "flow"

    def __post_init__(self) -> None:
        """Refuse what is no probability and what would never hold."""
        _ratio("probability", self.probability)
        _positive("state_timeout_s", self.state_timeout_s)

    def acts_on(self, direction: Direction) -> bool:
        """Tell whether the effect is felt in a direction."""
        return self.direction in ("both", direction)


class CrossTraffic(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Other people's share of the downlink: drawn every ``period_s``, uniform, mean +- swing."""

    mean_ratio: float
    swing_ratio: float = 0.0
    period_s: float = 0.5

    def __post_init__(self) -> None:
        """Refuse a load that leaves nothing or is negative."""
        _ratio("mean_ratio - swing_ratio", self.mean_ratio - self.swing_ratio)
        _ratio("mean_ratio + swing_ratio", self.mean_ratio + self.swing_ratio)
        _positive("period_s", self.period_s)


class Line(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The access line between home and censor; everything crosses it.

    ``rtt_s`` is split evenly over the directions, ``jitter_s`` is added to each one way, uniform
    from 0. ``queue_bytes`` is the drop-tail queue per direction. ``congestion_control`` is what the
    servers' (and the home's) TCP runs; it is set, never inherited from the machine.
    """

    rate_down_bps: float
    rate_up_bps: float
    rtt_s: float
    queue_bytes: int = 250_000
    jitter_s: float = 0.0
    loss_ratio: float = 0.0
    cross_traffic: CrossTraffic | None = None
    congestion_control: Literal["cubic", "bbr"] = "cubic"

    def __post_init__(self) -> None:
        """Refuse a line that passes nothing."""
        for name in ("rate_down_bps", "rate_up_bps", "queue_bytes"):
            _positive(name, getattr(self, name))
        _ratio("loss_ratio", self.loss_ratio)


class Expected(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a right analysis finds for one service and kind; ``service`` ``*`` is all the others.

    ``accept`` lists verdicts that are honest too (a partial censor may stay ``inconclusive``).
    ``rate_bps`` is the limit at the network level; ``mechanisms`` any of which is right.
    ``onset_packet`` counts every packet of the flow from 1, those of its set-up included.
    """

    service: str
    kind: Literal["fetch", "call", "reach"]
    verdict: str
    accept: tuple[str, ...] = ()
    mechanisms: tuple[str, ...] = ()
    rate_bps: float | None = None
    direction: Literal["up", "down", "both"] | None = None
    onset_packet: int | None = None


class Preset(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One emulated censor on one line, and what is to be found there.

    ``source`` cites where the figures come from; ``engines`` those that can carry it; ``fold``
    what an evaluation that leaves one out leaves out together with it.
    """

    name: str
    title: str
    source: str
    line: Line
    rules: tuple[Rule, ...] = ()
    expected: tuple[Expected, ...] = ()
    engines: tuple[Engine, ...] = ("loopback", "netns")
    fold: str = ""

    def expects(self, service: str, kind: Literal["fetch", "call", "reach"]) -> Expected:
        """Look up what is to be found.

        Args:
            service: the service's key.
            kind: ``fetch``, ``call`` or ``reach``.

        Returns:
            The entry for the service, else the one for ``*``, else ``normal``.
        """
        for name in (service, "*"):
            for entry in self.expected:
                if (entry.service, entry.kind) == (name, kind):
                    return entry
        return Expected(service=service, kind=kind, verdict="normal")
