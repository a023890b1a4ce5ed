"""One service slowed or blocked in every way, at several rates: what thresholds are tried on. Pure.

All presets of one rate are a *fold*: thresholds chosen on the other folds are tried on it. A
mechanism that has no rate takes part with as many severities, the gravest beside the lowest rate.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from random import Random
from typing import Final

import msgspec

from probe.lab import rules
from probe.lab.rules import Effect, Expected, Line, Match, Preset, Rule
from probe.lab.truth import expectations
from probe.lab.vary import SEPARATOR, between

#: Folds and their rates, bit/s.
RATES: Final = {
    "64k": 64e3,
    "128k": 128e3,
    "256k": 256e3,
    "512k": 512e3,
    "1M": 1e6,
    "2M": 2e6,
}
_SERVICE: Final = "twitter"
_NAMES: Final = ("*.twimg.com", "twitter.com", "t.co")
#: Each is drawn evenly on a logarithmic scale between these.
_LINE_BPS: Final = (20e6, 60e6)
_RTT_S: Final = (0.01, 0.15)
_BUCKET_BYTES: Final = (8e3, 150e3)
_QUEUE_S: Final = (0.2, 2.0)
_LEAST_QUEUE_BYTES: Final = 8_000
#: From the first fold to the last.
_LOSS: Final = (0.3, 0.06)
_HOLD_S: Final = (10.0, 2.0)
_FREEZE_BYTES: Final = (12e3, 200e3)

_Make = Callable[[float, float, Random], Effect]

#: What a fold's rate, its place among the folds from 0 to 1, and chance make of each mechanism.
_THROTTLING: Final[dict[str, _Make]] = {
    "policed": lambda rate_bps, _, rng: rules.Police(
        rate_bps=rate_bps, bucket_bytes=round(between(*_BUCKET_BYTES, rng))
    ),
    "shaped": lambda rate_bps, _, rng: rules.Shape(
        rate_bps=rate_bps,
        queue_bytes=max(round(rate_bps / 8 * between(*_QUEUE_S, rng)), _LEAST_QUEUE_BYTES),
    ),
    "random_loss": lambda _, place, __: rules.Loss(ratio=_along(_LOSS, place)),
    "delayed": lambda _, place, __: rules.Hold(delay_s=_along(_HOLD_S, place)),
    "frozen": lambda _, place, __: rules.Freeze(after_bytes=round(_along(_FREEZE_BYTES, place))),
}
_BLOCKING: Final[dict[str, _Make]] = {
    "reset": lambda *_: rules.Reset(),
    "tls": lambda *_: rules.Reset(alert=True),
    "dropped": lambda *_: rules.Drop(),
    "dns": lambda *_: rules.DnsTamper(answer="nxdomain"),
}
#: How often a fold has each: limiters differ in more than their rate.
_OFTEN: Final = {"policed": 2, "shaped": 2}


def sweep(seed: int) -> list[Preset]:
    """Draw the presets of every fold.

    Args:
        seed: fixes every draw.

    Returns:
        ``MECHANISM@RATE.SEED.NUMBER``, each with its fold.
    """
    return [
        _preset(mechanism, fold, f"{seed}.{number}")
        for fold in RATES
        for mechanism in (*_THROTTLING, *_BLOCKING)
        for number in range(1, 1 + _OFTEN.get(mechanism, 1))
    ]


def _preset(mechanism: str, fold: str, which: str) -> Preset:
    name = f"{mechanism}{SEPARATOR}{fold}.{which}"
    # Of its own: one more mechanism leaves the other draws as they are.
    rng = Random(name)  # noqa: S311 - repeatable on purpose
    rate_bps = RATES[fold]
    place = list(RATES).index(fold) / (len(RATES) - 1)
    effect = (_THROTTLING | _BLOCKING)[mechanism](rate_bps, place, rng)
    by_dns = isinstance(effect, rules.DnsTamper)
    # What a distant line does to a transfer may not come near what the limiter does.
    most_rtt_s = min(_RTT_S[1], _RTT_S[1] * 1e6 / rate_bps)
    line_bps = between(*_LINE_BPS, rng)
    preset = Preset(
        name=name,
        title=f"{mechanism} at {fold[:-1]} {fold[-1]}bit/s, or as gravely",
        source="no event: drawn at random",
        fold=f"{fold[:-1]} {fold[-1]}bit/s",
        line=Line(
            rate_down_bps=line_bps,
            rate_up_bps=line_bps / 2,
            rtt_s=between(_RTT_S[0], most_rtt_s, rng),
            queue_bytes=round(line_bps / 8 * 0.05),
        ),
        rules=(
            Rule(
                name=mechanism,
                match=Match(sni=_NAMES, transport=None if by_dns else "tcp"),
                effect=effect,
                direction="down" if mechanism in _THROTTLING else "both",
            ),
        ),
        expected=(
            Expected(
                service=_SERVICE,
                kind="fetch",
                verdict="throttled" if mechanism in _THROTTLING else "blocked",
                mechanisms=(mechanism,),
            ),
        ),
        # Of a queue behind a proxy nothing shows, and names are looked up nowhere on loopback.
        engines=("netns",) if by_dns or mechanism == "shaped" else ("loopback", "netns"),
    )
    return msgspec.structs.replace(preset, expected=expectations(preset))


def _along(ends: tuple[float, float], place: float) -> float:
    """Go from the first end to the second, evenly on a logarithmic scale."""
    first, last = map(math.log, ends)
    return math.exp(first + place * (last - first))
