"""The flow-pair test on simulated lines: clean, lossy, bad Wi-Fi, bad mobile, with and without.

The lines are Gilbert-Elliott processes in time, so that both flows of a pair meet the same bad
moments, a packet of one half an interval after a packet of the other.
"""

from __future__ import annotations

from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from analysis import call_pairs
from analysis.call_pairs import FlowPair
from analysis.calls import Array, Flow
from analysis.evaluate.tables import Report, Row, share

Flags = NDArray[np.bool_]

#: Seed 20250813 was looked at while choosing; this one reports.
SEED: Final = 20250814
SESSIONS: Final = 500
PACKETS: Final = 333
INTERVAL_S: Final = 0.06
_RTT_S: Final = 0.06
_EXTRA: Final = (0.05, 0.10, 0.30)


class Weather(msgspec.Struct, frozen=True):
    """A line: how often it turns bad and good again (per half interval), and loss in each."""

    name: str
    turns_bad: float
    turns_good: float
    loss_good: float
    loss_bad: float


#: Lossy: an ordinary percent. Wi-Fi and mobile: bad moments of 0.3 s and 1 s in which most is lost
#: (longest gaps of a poor 2.4 GHz link in roc-streaming/qa reach a second).
WEATHERS: Final = (
    Weather("clean", 0.0, 1.0, 0.0, 0.0),
    Weather("lossy", 0.0, 1.0, 0.01, 0.0),
    Weather("bad Wi-Fi", 0.005, 0.1, 0.01, 0.6),
    Weather("bad mobile", 0.003, 0.03, 0.005, 0.7),
)


def evaluate(seed: int = SEED) -> Report:
    """Simulate call sessions, 500 for each line and strength.

    Args:
        seed: of the simulation.

    Returns:
        False alarms, and sessions found with extra loss.
    """
    rng = np.random.default_rng(seed)
    rows: list[Row] = []
    for weather in WEATHERS:
        flagged = sum(bool(session(weather, 0.0, rng)[0]) for _ in range(SESSIONS))
        rows.append(
            share(
                f"{weather.name}: sessions called degraded without cause",
                flagged,
                SESSIONS,
                target=0.0,
                sense="at most",
            )
        )
        for extra in _EXTRA:
            ended = [session(weather, extra, rng) for _ in range(SESSIONS)]
            found = sum(degraded for degraded, _ in ended)
            pairs = float(np.mean([count for _, count in ended]))
            rows.append(
                share(
                    f"{weather.name}: {extra:.0%} extra loss found",
                    found,
                    SESSIONS,
                    target=0.99,
                    note=f"{pairs:.2f} pairs on average",
                )
            )
    return Report(
        title="Simulated calls",
        rows=tuple(rows),
        notes=(f"{PACKETS} packets a flow, both directions of the line. Seed {seed}.",),
    )


def session(weather: Weather, extra: float, rng: np.random.Generator) -> tuple[bool, int]:
    """Simulate one session as a probe would run it.

    Args:
        weather: the line.
        extra: share of the target's packets that are lost besides, on the way up.
        rng: source of chance.

    Returns:
        Whether the target was called degraded, and after how many pairs it ended.
    """
    pairs: list[FlowPair] = []
    for _ in range(call_pairs.MAX_PAIRS):
        pairs.append(_pair(weather, extra, rng))
        if call_pairs.worse_in(pairs):
            return True, len(pairs)
        if call_pairs.is_cleared(pairs):
            break
    return False, len(pairs)


def _pair(weather: Weather, extra: float, rng: np.random.Generator) -> FlowPair:
    up, down = (_lost(weather, rng) for _ in range(2))
    struck = rng.random(PACKETS) < extra
    target = _flow(up[0::2] | struck, down[0::2])
    return call_pairs.count(target, _flow(up[1::2], down[1::2]))


def _lost(weather: Weather, rng: np.random.Generator) -> Flags:
    """Losses of one direction, at every half interval: the flows' packets in turn."""
    draws = rng.random((2, 2 * PACKETS))
    share_bad = weather.turns_bad / (weather.turns_bad + weather.turns_good)
    bad = bool(rng.random() < share_bad)
    out = np.empty(2 * PACKETS, dtype=bool)
    for i in range(2 * PACKETS):
        turn = weather.turns_good if bad else weather.turns_bad
        if draws[0, i] < turn:
            bad = not bad
        out[i] = draws[1, i] < (weather.loss_bad if bad else weather.loss_good)
    return out


def _flow(up: Flags, down: Flags) -> Flow:
    down = down & ~up
    lost = up | down
    sent = np.arange(PACKETS, dtype=np.float64) * INTERVAL_S
    rtt: Array = np.where(lost, np.nan, _RTT_S)
    return Flow(
        interval_s=INTERVAL_S,
        sent_s=sent,
        received_s=sent + rtt,
        lost_up=up,
        lost_down=down,
        lost=lost,
        rtt_s=rtt,
        up_s=np.where(up, np.nan, _RTT_S / 2.0),
        down_s=np.where(lost, np.nan, _RTT_S / 2.0),
    )
