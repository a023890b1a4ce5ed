"""What is to be found behind rules on a line: derived from their figures and nothing measured.

A transfer's time is bounded from below by what its limiter lets through, and estimated for the
line alone by slow start and the loss formula of Mathis et al. (1997). Where the two leave open
whether the service is twice as slow, several answers are honest; where a rule cannot be felt,
nobody must be blamed.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Final

import msgspec

from probe.lab import rules
from probe.lab.rules import Expected, Line, Preset, Rule
from probe.lab.world import OBJECT_BYTES

#: The object on the wire: 1,448 bytes of it in a packet of 1,500, and TLS and headers around it.
_WIRE_BYTES: Final = OBJECT_BYTES * 1.045
_SEGMENT_BITS: Final = 8 * 1_448
#: Connect and TLS 1.3, then slow start from ten segments (RFC 6928).
_ROUND_TRIPS: Final = 2.0 + math.log2(1.0 + OBJECT_BYTES / 14_480)
#: Rate under random loss, in segments a round trip times the root of its ratio.
_MATHIS: Final = 1.22
#: An estimate may be off by so much either way.
_SLACK: Final = 1.5
#: The judge's alternative, and what is too little to be found at all.
_TWICE: Final = 2.0
#: A line below this cannot be told from a limit, says the judge; and slack.
_SLOW_S: Final = 8 * OBJECT_BYTES / 512e3 / _SLACK
#: Loss of call packets that must be found, and that lets the onset be told to ten packets.
_LOSS: Final = 0.05
_PLAIN_LOSS: Final = 0.25
_HONEST: Final = ("normal", "slow_line", "inconclusive")


class Felt(msgspec.Struct, frozen=True):
    """Least and greatest time a rule costs a transfer, s; ``rounds_s`` on every round trip."""

    least_s: float = 0.0
    most_s: float = math.inf
    rounds_s: float = 0.0


def free_s(line: Line) -> float:
    """Estimate how long the lab's object takes where no rule is in the way.

    Args:
        line: the access line.

    Returns:
        Seconds from the first SYN to the last byte.
    """
    rtt_s = line.rtt_s + line.jitter_s
    taken = line.cross_traffic.mean_ratio if line.cross_traffic else 0.0
    rate_bps = line.rate_down_bps * (1.0 - taken)
    return _ROUND_TRIPS * rtt_s + 8 * _WIRE_BYTES / min(
        rate_bps, _lossy_bps(line.loss_ratio, rtt_s)
    )


def slowdown(line: Line, held: Iterable[Rule]) -> tuple[float, float]:
    """Bound how many times slower rules make a fetch over TCP.

    Args:
        line: the access line.
        held: the rules that take hold of the fetch.

    Returns:
        The least and the greatest slowdown.
    """
    alone_s = free_s(line)
    felt = [_felt(rule, line) for rule in held]
    rounds_s = sum(one.rounds_s for one in felt)
    least_s = max([alone_s, *(one.least_s for one in felt)]) + rounds_s * (_ROUND_TRIPS - 1.0)
    most_s = alone_s + sum(one.most_s + 2.0 * _ROUND_TRIPS * one.rounds_s for one in felt)
    return least_s / alone_s, most_s / alone_s


def expectations(preset: Preset) -> tuple[Expected, ...]:
    """Derive what is to be found, from what was before the figures of line and rules changed.

    Args:
        preset: its line and rules as they are, its expectations those of a preset with the same
            rules at other figures.

    Returns:
        Its own expectations.
    """
    slow = free_s(preset.line) >= _SLOW_S
    entries = [_expected(entry, preset, slow=slow) for entry in preset.expected]
    kinds = [entry.kind for entry in entries] or ["fetch", "reach", "call"]
    spoken_for = {entry.kind for entry in entries if entry.service == "*"}
    others = [
        Expected(service="*", kind=kind, verdict="normal", accept=_HONEST[1:])
        for kind in dict.fromkeys(kinds)
        if kind not in spoken_for
    ]
    return (*entries, *others)


def _expected(entry: Expected, preset: Preset, *, slow: bool) -> Expected:
    if entry.verdict == "throttled":
        return _throttled(entry, preset, slow=slow)
    if entry.verdict == "call_degraded":
        return _degraded(entry, preset)
    if entry.verdict in _HONEST[:2]:
        return msgspec.structs.replace(entry, verdict="normal", accept=_HONEST[1:])
    return entry


def _throttled(entry: Expected, preset: Preset, *, slow: bool) -> Expected:
    held = [rule for rule in preset.rules if isinstance(rule.effect, tuple(_FELT))]
    over_tcp = [rule for rule in held if rule.match.transport != "udp"]
    least, _ = slowdown(preset.line, over_tcp)
    _, most = slowdown(preset.line, held)
    if most < _TWICE / _SLACK:
        return Expected(
            service=entry.service, kind=entry.kind, verdict="normal", accept=_HONEST[1:]
        )
    rates = [rule.effect.rate_bps for rule in over_tcp if isinstance(rule.effect, _LIMITERS)]
    certain = least >= _TWICE * _SLACK and not slow
    return msgspec.structs.replace(
        entry,
        rate_bps=rates[0] if rates else None,
        accept=entry.accept if certain else _HONEST,
    )


def _degraded(entry: Expected, preset: Preset) -> Expected:
    for rule in preset.rules:
        if isinstance(rule.effect, rules.Degrade):
            lost = 1.0 - rule.effect.pass_ratio
            return msgspec.structs.replace(
                entry,
                accept=entry.accept if lost >= _LOSS else _HONEST,
                onset_packet=rule.effect.after_packets + 1 if lost >= _PLAIN_LOSS else None,
            )
    return entry


def _lossy_bps(ratio: float, rtt_s: float) -> float:
    return _MATHIS * _SEGMENT_BITS / (rtt_s * math.sqrt(ratio)) if ratio else math.inf


_LIMITERS: Final = (rules.Police, rules.Shape)
#: The effects that a fetch feels and survives.
_FELT: Final = (
    *_LIMITERS,
    rules.Loss,
    rules.Delay,
    rules.Hold,
    rules.HandshakeCrawl,
    rules.Freeze,
    rules.DropAcks,
)


def _felt(rule: Rule, line: Line) -> Felt:  # noqa: PLR0911 - one answer per effect
    match rule.effect:
        case rules.Police(rate_bps=rate_bps, bucket_bytes=bucket_bytes):
            beyond = max(_WIRE_BYTES - bucket_bytes, 0.0)
            # What is lost on the line is sent, and policed, once more.
            unfelt = bucket_bytes >= _WIRE_BYTES * (1.1 + 2.0 * line.loss_ratio)
            return Felt(least_s=8 * beyond / rate_bps, most_s=0.0 if unfelt else math.inf)
        case rules.Shape(rate_bps=rate_bps):
            unfelt = rate_bps >= line.rate_down_bps
            return Felt(8 * _WIRE_BYTES / rate_bps, 0.0 if unfelt else math.inf)
        case rules.Loss(ratio=ratio):
            least_s = 8 * OBJECT_BYTES / _lossy_bps(ratio, line.rtt_s) / _SLACK
            return Felt(least_s=least_s)
        case rules.Delay(delay_s=delay_s):
            return Felt(most_s=0.0, rounds_s=delay_s)
        case rules.Hold(delay_s=delay_s):
            return Felt(least_s=delay_s, most_s=2.0 * delay_s)
        case rules.HandshakeCrawl(rate_bps=rate_bps, first_bytes=first_bytes):
            return Felt(least_s=8 * first_bytes / rate_bps)
        case rules.Freeze():
            return Felt(least_s=math.inf)
        case _:
            return Felt()
