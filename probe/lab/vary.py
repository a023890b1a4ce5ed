"""Presets at other figures, drawn at random: emulated censors that no rule was made on. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from random import Random
from typing import Any, Final, TypeVar

import msgspec

from probe.lab import rules
from probe.lab.rules import Line, Preset, Rule
from probe.lab.truth import expectations

#: Between a preset's name and what tells its variations apart.
SEPARATOR: Final = "@"

_Value = TypeVar("_Value", bound=msgspec.Struct)
_Ranges = Mapping[str, tuple[float, float]]

#: Each figure is drawn evenly on a logarithmic scale between these, where a preset names it.
_LINE: Final[_Ranges] = {"rate_down_bps": (2e6, 100e6), "rtt_s": (0.01, 0.2)}
_EFFECTS: Final[Mapping[type, _Ranges]] = {
    rules.Police: {"rate_bps": (50e3, 4e6), "bucket_bytes": (3e3, 1e6)},
    rules.Shape: {"rate_bps": (50e3, 4e6), "queue_bytes": (8e3, 500e3)},
    rules.Delay: {"delay_s": (0.05, 0.6)},
    rules.Hold: {"delay_s": (0.5, 8.0)},
    rules.Loss: {"ratio": (0.02, 0.3)},
    rules.BurstLoss: {"p": (0.0005, 0.005), "r": (0.05, 0.3), "bad": (0.3, 1.0)},
    # A TLS handshake must fit before the end, or else it is a block.
    rules.Freeze: {"after_bytes": (8e3, 128e3), "after_packets": (16, 100)},
    rules.DropAcks: {"ratio": (0.8, 0.98)},
    rules.HandshakeCrawl: {"rate_bps": (1e3, 8e3)},
    rules.Degrade: {"after_packets": (1, 60), "pass_ratio": (0.1, 0.94)},
    rules.Cut: {"after_s": (2.0, 12.0)},
}
#: Seconds of its rate that a line's queue holds, and bytes it holds at least.
_QUEUE_S: Final = (0.02, 0.3)
_LEAST_QUEUE_BYTES: Final = 16_000
_MOST_LOSS: Final = 0.03
_MOST_JITTER_S: Final = 0.02
#: A line that is slow on purpose stays so.
_SLOW_BPS: Final = 2e6


def varied(presets: Iterable[Preset], seed: int, count: int) -> list[Preset]:
    """Draw presets like those given, on other lines and with other figures.

    Args:
        presets: whose rules to keep.
        seed: fixes every draw.
        count: how many of each.

    Returns:
        ``NAME@SEED.1`` to ``NAME@SEED.count`` of each, with what is to be found there now.
    """
    given = list(presets)
    return [
        vary(preset, f"{preset.name}{SEPARATOR}{seed}.{number}")
        for number in range(1, count + 1)
        for preset in given
    ]


def vary(preset: Preset, name: str) -> Preset:
    """Draw one preset like another.

    Args:
        preset: whose rules to keep.
        name: of the new one; fixes every draw, so that one more preset leaves the others as they
            are.

    Returns:
        The preset, with what is to be found there now.
    """
    rng = Random(name)  # noqa: S311 - repeatable on purpose
    line = draw_line(preset.line, rng)
    changed = msgspec.structs.replace(
        preset,
        name=name,
        title=f"{preset.title}; at other figures",
        line=line,
        rules=tuple(_other(rule, rng) for rule in preset.rules),
    )
    return msgspec.structs.replace(changed, expected=expectations(changed))


def draw_line(line: Line, rng: Random) -> Line:
    """Draw a line: half of them lose packets, half of them jitter.

    Args:
        line: whose neighbours and congestion control to keep, and whose rates where it is slow.
        rng: where the figures come from.

    Returns:
        The line.
    """
    slow = line.rate_down_bps < _SLOW_BPS
    drawn = _drawn(line, {"rtt_s": _LINE["rtt_s"]} if slow else _LINE, rng)
    queue = drawn.rate_down_bps / 8 * between(*_QUEUE_S, rng)
    return msgspec.structs.replace(
        drawn,
        rate_up_bps=line.rate_up_bps if slow else drawn.rate_down_bps * rng.uniform(0.2, 1.0),
        queue_bytes=max(round(queue), _LEAST_QUEUE_BYTES),
        loss_ratio=rng.uniform(0.0, _MOST_LOSS) * rng.randint(0, 1),
        jitter_s=rng.uniform(0.0, _MOST_JITTER_S) * rng.randint(0, 1),
    )


def _other(rule: Rule, rng: Random) -> Rule:
    effect = _drawn(rule.effect, _EFFECTS.get(type(rule.effect), {}), rng)
    return msgspec.structs.replace(rule, effect=effect)


def _drawn(value: _Value, ranges: _Ranges, rng: Random) -> _Value:
    figures: dict[str, Any] = {}
    for name, ends in ranges.items():
        present = getattr(value, name)
        if present is not None:
            figure = between(*ends, rng)
            figures[name] = round(figure) if isinstance(present, int) else figure
    return msgspec.structs.replace(value, **figures)


def between(low: float, high: float, rng: Random) -> float:
    """Draw a figure, evenly on a logarithmic scale.

    Args:
        low: the least, above 0.
        high: the greatest.
        rng: where it comes from.

    Returns:
        The figure.
    """
    return math.exp(rng.uniform(math.log(low), math.log(high)))
