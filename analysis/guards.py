"""What can speak against a slowdown that the sequential test has found."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import median, stdev
from typing import Final

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
    speeds = [c.control.goodput_bps for c in compared if c.control.goodput_bps > 0.0]
    if len(speeds) < 2 or stdev(map(math.log, speeds)) <= GREATEST_SCATTER:  # noqa: PLR2004
        return False
    return min(speeds) < _APART * max(c.target.goodput_bps for c in compared)


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
