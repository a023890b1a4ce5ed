"""When a network's state changed: a Bernoulli CUSUM of its votes, two-sided.

Each network and service is followed alone, never pooled: when the mix of reporting networks
drifts, a pooled series changes though no network did. What counts is one vote a probe and day;
the moment is then placed with all tests around it. Silence says nothing: it halves what has been
gathered every 48 hours, and no change is ever placed inside it more sharply than its two ends.

The CUSUM sums log-likelihood ratios and starts again at zero (Page 1954). To say that a network is
slowed takes odds of 3,000 to 1, to say that it no longer is 100 to 1.
"""

from __future__ import annotations

import math
from typing import Final, Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from analysis.areas import alternative

#: 3,000 to 1, not the 1,000 of a session: a network is followed for months, and at 1,000 crowds on
#: lines that are slow in the evening gave 1.1 false events in 100 probe-months (simulated, seed 7).
ACCUSE: Final = math.log(3000)
CLEAR: Final = math.log(100)
HALF_LIFE_H: Final = 48.0
#: Silence counts from here: a probe reports once a day.
GRACE_H: Final = 24.0
#: However large a share of votes was slow, a single one that is not says no more than at one half:
#: eleven lines in a row are the fewest that undo a state.
CAP_SHARE: Final = 0.5
#: Distinct probes that must have seen an onset.
WITNESSES: Final = 2
#: Log-likelihood below the best that a 95 % interval reaches (chi-squared, one degree, halved).
_DROP: Final = 1.92
#: Moments before the alarm that are searched for the change, in hours.
_LOOK_BACK_H: Final = 24 * 21

State = Literal["unknown", "normal", "slowed"]


class Series(msgspec.Struct, frozen=True):
    """One network and service by the hour, only hours that have any: parallel columns.

    ``vote_hits`` of ``votes`` and ``hits`` of ``tests``; ``hit_probes`` names the probes whose
    votes were hits, hour by hour, and is empty where that is not known.
    """

    hour: NDArray[np.int64]
    votes: NDArray[np.int64]
    vote_hits: NDArray[np.int64]
    tests: NDArray[np.int64]
    hits: NDArray[np.int64]
    hit_probes: tuple[tuple[str, ...], ...] = ()


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """A change of state: when, between which hours, and how far it was in the data when called.

    Hours are whole hours of Unix time. ``open_start``: nothing before has cleared the network, so
    only "not after" is known. ``tests_after`` counts the tests between the change and the
    alarm.
    """

    to: State
    hour: int
    low_hour: int
    high_hour: int
    alarm_hour: int
    tests_after: int
    share: float
    open_start: bool = False


class Run(msgspec.Struct, frozen=True):
    """What following a series gave: the changes in order, the last state, and the silences."""

    changes: tuple[Change, ...]
    state: State


def follow(series: Series, null_share: float) -> Run:
    """Follow one network.

    Args:
        series: its hours.
        null_share: the share of hits without interference.

    Returns:
        Its changes, oldest first.
    """
    state: State = "unknown"
    found: list[Change] = []
    level = _Level()
    start = 0
    while alarm := _next_alarm(series, start, state, null_share, level):
        to: State = "slowed" if alarm.up else "normal"
        if not (state == "unknown" and to == "normal"):
            found.append(_placed(series, start, alarm, state, null_share))
        state = to
        start = alarm.at + 1
    return Run(tuple(_pruned(found, series, null_share)), state)


class _Level:
    """The share of votes that are hits while a network is slowed, learned as it goes."""

    def __init__(self) -> None:
        self.hits, self.votes = 1.0, 2.0
        self._pending = (0, 0)

    def add(self, hits: int, votes: int, *, settled: bool) -> None:
        """Count votes; those of an excursion that may be the change wait until it ends."""
        hits, votes = hits + self._pending[0], votes + self._pending[1]
        if settled:
            self.hits, self.votes = self.hits + hits, self.votes + votes
        self._pending = (0, 0) if settled else (hits, votes)

    def share(self, least: float) -> float:
        return min(max(self.hits / self.votes, least), CAP_SHARE)


class _Alarm(msgspec.Struct, frozen=True):
    at: int
    up: bool
    zero: int


def _next_alarm(
    series: Series, start: int, state: State, null_share: float, level: _Level
) -> _Alarm | None:
    """Run the sums from a row on until one of them fires."""
    high = alternative(null_share)
    up = down = 0.0
    up_zero = down_zero = start
    for at in range(start, len(series.hour)):
        k, n = int(series.vote_hits[at]), int(series.votes[at])
        if at > start:
            fade = _fade(int(series.hour[at] - series.hour[at - 1]))
            up, down = up * fade, down * fade
        if state != "slowed":
            up += _ratio(k, n, null_share, high)
            if up <= 0:
                up, up_zero = 0.0, at + 1
            if up >= ACCUSE and _witnessed(series, up_zero, at):
                return _Alarm(at, True, up_zero)  # noqa: FBT003  # the field is named in the type
        if state != "normal":
            down += _ratio(k, n, level.share(high) if state == "slowed" else high, null_share)
            if down <= 0:
                down, down_zero = 0.0, at + 1
            if down >= CLEAR:
                return _Alarm(at, False, down_zero)  # noqa: FBT003  # as above
        if state == "slowed":
            level.add(k, n, settled=down == 0.0)
    return None


def _placed(series: Series, start: int, alarm: _Alarm, state: State, null_share: float) -> Change:
    """Place a change with all tests between the last one and the alarm."""
    first = int(np.searchsorted(series.hour, series.hour[alarm.zero] - _LOOK_BACK_H))
    first = max(first, start)
    rows = slice(first, alarm.at + 1)
    hits, tests = series.hits[rows], series.tests[rows]
    after = series.tests[alarm.zero : alarm.at + 1].sum()
    share = series.hits[alarm.zero : alarm.at + 1].sum() / max(after, 1)
    before = hits[: max(alarm.zero - first, 0)].sum() / max(tests[: alarm.zero - first].sum(), 1)
    if alarm.up:
        low, high = null_share, max(_clipped(share), alternative(null_share))
    else:
        low, high = null_share, max(_clipped(before), alternative(null_share))
    old, new = (low, high) if alarm.up else (high, low)
    gain = hits * math.log(new / old) + (tests - hits) * math.log((1 - new) / (1 - old))
    # Log likelihood of a change just before each row, up to a constant.
    likelihood = np.cumsum(gain[::-1])[::-1]
    best = int(np.argmax(likelihood))
    near = np.flatnonzero(likelihood >= likelihood[best] - _DROP)
    if state == "unknown":
        # Nothing before has cleared the network, so when it began is not in the data.
        best, near = 0, np.zeros(1, dtype=np.int64)
    hour = series.hour[rows]
    return Change(
        to="slowed" if alarm.up else "normal",
        hour=int(hour[best]),
        low_hour=_before(series, first + int(near[0])),
        high_hour=int(hour[near[-1]]),
        alarm_hour=int(series.hour[alarm.at]),
        tests_after=int(tests[best:].sum()),
        share=float(hits[best:].sum() / max(tests[best:].sum(), 1)),
        open_start=state == "unknown",
    )


def _before(series: Series, at: int) -> int:
    """Return the last hour with data before a row: the change may lie anywhere after it."""
    return int(series.hour[at - 1]) + 1 if at else int(series.hour[0])


def _pruned(found: list[Change], series: Series, null_share: float) -> list[Change]:
    """Drop a state that came and went without the odds that two changes need."""
    kept = list(found)
    at = 0
    while at + 1 < len(kept):
        rows = slice(*np.searchsorted(series.hour, [kept[at].hour, kept[at + 1].hour]))
        k, n = int(series.vote_hits[rows].sum()), int(series.votes[rows].sum())
        other = _clipped(kept[at].share if kept[at].to == "slowed" else kept[at + 1].share)
        other = max(other, alternative(null_share))
        gain = _ratio(k, n, null_share, other)
        gain = gain if kept[at].to == "slowed" else -gain
        if gain < ACCUSE + CLEAR and not kept[at].open_start:
            del kept[at : at + 2]
            at = max(at - 1, 0)
        else:
            at += 1
    return kept


def _clipped(share: float) -> float:
    return min(max(share, 0.001), 0.98)


def _ratio(k: int, n: int, old: float, new: float) -> float:
    return k * math.log(new / old) + (n - k) * math.log((1 - new) / (1 - old))


def _fade(gap_h: int) -> float:
    return 1.0 if gap_h <= GRACE_H else float(0.5 ** ((gap_h - GRACE_H) / HALF_LIFE_H))


def _witnessed(series: Series, start: int, at: int) -> bool:
    if not series.hit_probes:
        return True
    seen = {probe for row in series.hit_probes[start : at + 1] for probe in row}
    return len(seen) >= WITNESSES
