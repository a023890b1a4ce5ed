"""Sentences a journalist can quote: figures with units, the number of pairs and the grade."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable
from typing import Final

from analysis.finding import Mechanism, Rate, Slowdown

#: What each grade of control rests on.
GRADES: Final = {
    "A": "grade A: same server, neutral name",
    "B": "grade B: same bytes to our own server, neutral content",
    "C": "grade C: another server at the same time",
    "D": "grade D: only the past",
}
#: What a finding of a slowdown rests on where the kernel's figures are of a proxy near by.
BEHIND_PROXY: Final = "; connections end at a proxy near by, so this is read from their pace alone"
#: Versions of HTTP that are worth a word, oldest first.
VERSIONS: Final = {"h2": "HTTP/2", "h3": "QUIC"}
_LARGEST_ODDS: Final = 1e6
_MEGA: Final = 1e6


def bps(value: float) -> str:
    """Write a rate to about three figures.

    Args:
        value: bit/s.

    Returns:
        For example ``128 kbit/s`` or ``41 Mbit/s``.
    """
    if value >= _MEGA:
        return f"{figure(value / _MEGA)} Mbit/s"
    return f"{figure(value / 1000.0)} kbit/s"


def figure(value: float) -> str:
    """Write a number to three significant figures, whole from 100 on.

    Args:
        value: the number.

    Returns:
        For example ``0.13``, ``4.2``, ``317``.
    """
    return f"{value:,.0f}" if value >= 100.0 else f"{value:.3g}"  # noqa: PLR2004 - three figures


def against(target_bps: float, control_bps: float) -> str:
    """Set two rates side by side in one unit.

    Args:
        target_bps: of the target, bit/s.
        control_bps: of the control, bit/s.

    Returns:
        For example ``0.13 against 41 Mbit/s``.
    """
    unit, name = (_MEGA, "Mbit/s") if max(target_bps, control_bps) >= _MEGA else (1e3, "kbit/s")
    return f"{figure(target_bps / unit)} against {figure(control_bps / unit)} {name}"


def rate(found: Rate) -> str:
    """Write an estimated rate with its interval.

    Args:
        found: the estimate.

    Returns:
        For example ``128 kbit/s (126-131)``.
    """
    least = "at least " if found.lower_bound else ""
    if found.low is None or found.high is None:
        return f"{least}{bps(found.value)}"
    unit = _MEGA if found.value >= _MEGA else 1e3
    return f"{least}{bps(found.value)} ({figure(found.low / unit)}-{figure(found.high / unit)})"


def times(slower: Slowdown) -> str:
    """Write a slowdown with its interval.

    Args:
        slower: the estimate.

    Returns:
        For example ``96 times (71-128)``.
    """
    if slower.low is None or slower.high is None:
        return f"{figure(slower.value)} times"
    return f"{figure(slower.value)} times ({figure(slower.low)}-{figure(slower.high)})"


def odds(log_odds: float) -> str:
    """Write odds in words.

    Args:
        log_odds: natural log.

    Returns:
        For example ``odds of 9,900 to 1``, capped at a million.
    """
    value = min(math.exp(min(abs(log_odds), 50.0)), _LARGEST_ODDS)
    over = "more than " if value >= _LARGEST_ODDS else ""
    return f"odds of {over}{value:,.0f} to 1"


def evidence(pairs: int, grade: str) -> str:
    """Say what a statement rests on.

    Args:
        pairs: pairs that count.
        grade: of the control.

    Returns:
        For example ``3 pairs, grade A: same server, neutral name``.
    """
    return f"{pairs} {'pair' if pairs == 1 else 'pairs'}, {GRADES[grade]}"


def most_common(reasons: Iterable[str]) -> str:
    """Pick the reason given most often.

    Args:
        reasons: texts, some of them repeated.

    Returns:
        The most frequent; empty for none.
    """
    ranked = Counter(reasons).most_common(1)
    return ranked[0][0] if ranked else ""


BLOCKED_BY: Final[dict[Mechanism, str]] = {
    "dns": "its name is not resolved",
    "reset": "connections to it are reset",
    "dropped": "packets to it get no answer",
    "tls": "its TLS handshake is interfered with",
    "blockpage": "another page is put in its place",
    "unclassified": "connections to it fail",
}
