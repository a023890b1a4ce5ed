"""What can speak against a slowdown that the sequential test has found."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import median, stdev
from typing import Final

from analysis import sequential
from analysis.judge_fetch import Comparison

#: The rates throttling pins services to begin at 128 kbit/s (Xue et al., IMC 2021); a control
#: under four times that cannot show them.
SLOW_CONTROL_BPS: Final = 4 * 128_000.0
#: A slowdown beyond this stands even beside a slow control.
PLAIN_SLOWDOWN: Final = 4.0
#: Controls whose log goodput scatters more than this (a factor of e either way) are no measure,
#: unless even the slowest of them beat every target twice over.
GREATEST_SCATTER: Final = 1.0
_APART: Final = 2.0
#: Where only some targets are slow, they are below this share of nearly every control.
_CLEAR_APART: Final = 4.0
_NEARLY_ALL: Final = 0.1
#: Controls that differ by more than this among themselves are noisier than the test supposes: in
#: log ratio, and in its scales. At fewer the median of three deviations says too little.
_NOISY: Final = 0.45
_NOISY_SCALES: Final = 1.5
#: A median absolute deviation to a standard deviation, and that of one arm to that of a ratio.
_RATIO_NOISE: Final = 1.4826 * math.sqrt(2.0)
#: An idle round trip of the control that grows by half, and by more than a busy host makes.
_IDLE_GROWTH: Final = 1.5
_IDLE_GROWTH_S: Final = 0.02
#: A transfer this near to what its round trips allow (slow start from ten segments, RFC 6928)
#: is slow because the server is far, which a distant control cannot rule out.
_LATENCY_BOUND: Final = 2.0
_FIRST_WINDOW_BYTES: Final = 10 * 1448
#: Round trips before the first byte: connect, TLS 1.3, request.
_SETUP_ROUND_TRIPS: Final = 2.0


def scatters(compared: Sequence[Comparison]) -> bool:
    """Say whether the controls swing too much to compare with.

    Args:
        compared: pairs with a log ratio.

    Returns:
        Whether they scatter and do not stand clear of the targets.
    """
    speeds = [c.control_bps for c in compared if c.control_bps > 0.0]
    if len(speeds) < 2 or stdev(map(math.log, speeds)) <= GREATEST_SCATTER:  # noqa: PLR2004
        return False
    return min(speeds) < _APART * max(c.target_bps for c in compared)


def noise(compared: Sequence[Comparison], scale: float) -> float | None:
    """Measure how noisy the line is by how far its controls differ among themselves.

    Args:
        compared: pairs with a log ratio.
        scale: of the noise that the test supposes.

    Returns:
        The scale to test with instead; ``None`` where they show no more noise than that.
    """
    speeds = [math.log(c.control_bps) for c in compared if c.control_bps > 0.0]
    if len(speeds) < sequential.MIN_PAIRS:
        return None
    middle = median(speeds)
    seen = _RATIO_NOISE * median(abs(speed - middle) for speed in speeds)
    return seen if seen > max(_NOISY, _NOISY_SCALES * scale) else None


def stand_apart(slow: Sequence[Comparison], compared: Sequence[Comparison]) -> bool:
    """Say whether the slow targets of a session are another sort than all else in it.

    Args:
        slow: the pairs whose targets were slow.
        compared: all pairs with a log ratio.

    Returns:
        Whether the fastest of them lies far below nearly all controls: a line that is slow now and
        then leaves no such gap.
    """
    controls = sorted(c.control_bps for c in compared)
    low = controls[int(_NEARLY_ALL * len(controls))]
    return _CLEAR_APART * max(c.target_bps for c in slow) <= low


def idle_swing(compared: Sequence[Comparison]) -> tuple[float, float] | None:
    """Tell whether round trips to the control changed with nothing under way.

    Args:
        compared: pairs with a log ratio.

    Returns:
        The lower and the upper of the middle half, s; ``None`` where they agree.
    """
    rtts = sorted(c.control.rtt_s for c in compared if c.control.rtt_s)
    if not rtts:
        return None
    low, high = rtts[len(rtts) // 4], rtts[-1 - len(rtts) // 4]
    return (low, high) if high > max(_IDLE_GROWTH * low, low + _IDLE_GROWTH_S) else None


def is_far(compared: Sequence[Comparison]) -> bool:
    """Say whether the targets ran about as fast as their distance allows.

    Args:
        compared: pairs with a log ratio.

    Returns:
        Whether the median target took less than twice the round trips of a slow start.
    """
    shares = []
    for c in compared:
        if not c.target.rtt_s:
            return False
        windows = math.log2(1.0 + c.target.size_bytes / _FIRST_WINDOW_BYTES)
        shares.append(c.target.spent_s / ((windows + _SETUP_ROUND_TRIPS) * c.target.rtt_s))
    return bool(shares) and median(shares) < _LATENCY_BOUND
