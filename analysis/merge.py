"""Several sessions of one service on one network into one finding."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from statistics import median
from typing import Final, TypeVar

import msgspec

from analysis import sentences
from analysis.finding import Finding, Mechanism, Rate, Slowdown, Window
from analysis.shares import excess

#: Verdicts that say somebody is in the way.
BAD: Final = ("throttled", "blocked", "call_degraded")
#: A judge calls at most 1 clean session in 1,000; ten times that allows for lines that are odd.
FALSE_CALLS: Final = 0.01
_SURE: Final = 0.001
#: What a short transfer through a policer can look like too.
_VAGUE: Final = ("unclassified", "random_loss")
_AGES: Final = ("http/1.1", *sentences.VERSIONS)

_T = TypeVar("_T")


def merge(findings: Sequence[Finding]) -> list[Finding]:
    """Merge the findings of sessions.

    Args:
        findings: one a session, in any order.

    Returns:
        One a (service, kind, country, AS), sorted by these.
    """
    cells: dict[tuple[str, str, str, int], list[Finding]] = {}
    for finding in sorted(findings, key=lambda finding: finding.window.start):
        cell = (finding.service, finding.kind, finding.country, finding.asn)
        cells.setdefault(cell, []).append(finding)
    return [merge_cell(cells[cell]) for cell in sorted(cells)]


def merge_cell(sessions: Sequence[Finding]) -> Finding:
    """Merge the sessions of one service on one network.

    Interference that only some sessions see is reported with its count; so few that chance
    explains them are mentioned and not believed.

    Args:
        sessions: at least one, oldest first.

    Returns:
        The session with the strongest evidence for the common verdict and mechanism, its figures
        replaced by those of all sessions that agree; of several versions of HTTP, by those of the
        oldest.
    """
    decided = [item for item in sessions if item.verdict in BAD or item.verdict == "normal"]
    decided = [item for item in decided if not _clears_the_name(item)] or decided
    bad = [item for item in decided if item.verdict in BAD]
    if not decided:
        common = _most_common([item.verdict for item in sessions])
        agreeing = [item for item in sessions if item.verdict == common]
    elif not bad or _by_chance(len(bad), len(decided)):
        agreeing = [item for item in decided if item.verdict == "normal"]
    else:
        common = _most_common([item.verdict for item in bad])
        agreeing = [item for item in bad if item.verdict == common]
    alike = _of_one_version(agreeing)
    how = _mechanism(alike)
    best = max((i for i in alike if i.mechanism == how), key=lambda item: abs(item.log_odds))
    # Of a shorter transfer the handshake is a greater part: only the same kind compares.
    slower = _slowdown([i.slowdown for i in alike if i.slowdown and i.grade == best.grade])
    since, until = _dates(decided) if agreeing[0].verdict in BAD else (None, None)
    return msgspec.structs.replace(
        best,
        window=Window(
            start=min(item.window.start for item in sessions),
            end=max(item.window.end for item in sessions),
        ),
        sessions=sum(item.sessions for item in sessions),
        pairs=sum(item.pairs for item in sessions),
        grade=min(item.grade for item in agreeing),
        rate_bps=_rate([item.rate_bps for item in alike if item.rate_bps]),
        slowdown=slower,
        since=since or best.since,
        until=until or best.until,
        log_odds=sum(item.log_odds for item in decided or sessions),
        why=_why(best, slower, len(agreeing), sessions)
        + _keyed(best, sessions)
        + _otherwise(best, agreeing),
    )


def _mechanism(alike: Sequence[Finding]) -> Mechanism | None:
    """Take the mechanism most sessions name; of those named as often, a sure one, of best grade."""
    counted = Counter(item.mechanism for item in alike)
    most = max(counted.values())
    common = [item for item in alike if counted[item.mechanism] == most]
    return min(common, key=lambda item: (item.mechanism in _VAGUE, item.grade)).mechanism


def _clears_the_name(item: Finding) -> bool:
    """Whether it says only that the name triggers nothing: an address may all the same."""
    return item.kind == "fetch" and item.grade == "B" and item.verdict == "normal"


def _keyed(best: Finding, sessions: Sequence[Finding]) -> str:
    """Say what a slowdown is keyed to, where asking the same server otherwise tells.

    A server that is slow under a neutral name too, beside another that is not, is slowed by its
    address, or slow itself; which of the two, no probe of it can tell.
    """
    same_server = [item for item in sessions if item.grade == "A" and item.kind == "fetch"]
    if best.verdict != "throttled" or best.grade == "A" or not same_server:
        return ""
    if all(item.verdict == "slow_line" for item in same_server):
        return (
            " Under a neutral name the same server was as slow: it is the address that is slowed "
            "and not the name, or the server itself is slow."
        )
    return ""


def _of_one_version(agreeing: Sequence[Finding]) -> list[Finding]:
    """Pick the sessions over the oldest version of HTTP: each may have a rate of its own."""
    ages = [_AGES.index(item.http) if item.http in _AGES else 0 for item in agreeing]
    return [item for item, age in zip(agreeing, ages, strict=True) if age == min(ages)]


def _otherwise(best: Finding, agreeing: Sequence[Finding]) -> str:
    """Name the rates over other versions of HTTP."""
    said = ""
    for version, name in sentences.VERSIONS.items():
        rates = [item.rate_bps for item in agreeing if item.http == version and item.rate_bps]
        if version != best.http and (rate := _rate(rates)):
            said += f" Over {name}: {sentences.rate(rate)}."
    return said


def _by_chance(bad: int, decided: int) -> bool:
    return bad < decided / 2 and excess(bad, decided, FALSE_CALLS) >= _SURE


def _most_common(values: Sequence[_T]) -> _T:
    """Return the most frequent value, the latest of equals."""
    counts = Counter(values)
    most = max(counts.values())
    return next(value for value in reversed(values) if counts[value] == most)


def _dates(decided: Sequence[Finding]) -> tuple[datetime, datetime | None]:
    """Say when the last stretch of interference was first seen, and first seen gone.

    A session that was to confirm another and did not, with fewer bytes, is no end of it.
    """
    if any(item.grade == "C" for item in decided):
        decided = [item for item in decided if item.verdict in BAD or item.grade == "C"]
    last = max(at for at, item in enumerate(decided) if item.verdict in BAD)
    first = last
    while first and decided[first - 1].verdict in BAD:
        first -= 1
    until = decided[last + 1].window.start if last + 1 < len(decided) else None
    return decided[first].window.start, until


def _rate(rates: Sequence[Rate]) -> Rate | None:
    if not rates:
        return None
    lows = [rate.low for rate in rates if rate.low is not None]
    highs = [rate.high for rate in rates if rate.high is not None]
    return Rate(
        value=median(rate.value for rate in rates),
        low=min(lows) if len(lows) == len(rates) else None,
        high=max(highs) if len(highs) == len(rates) else None,
        lower_bound=all(rate.lower_bound for rate in rates),
    )


def _slowdown(slowdowns: Sequence[Slowdown]) -> Slowdown | None:
    if not slowdowns:
        return None
    lows = [item.low for item in slowdowns if item.low is not None]
    highs = [item.high for item in slowdowns if item.high is not None]
    return Slowdown(
        value=median(item.value for item in slowdowns),
        low=min(lows) if len(lows) == len(slowdowns) else None,
        high=max(highs) if len(highs) == len(slowdowns) else None,
    )


def _why(best: Finding, slower: Slowdown | None, agreeing: int, sessions: Sequence[Finding]) -> str:
    if len(sessions) == 1:
        return best.why
    others = Counter(item.verdict for item in sessions if item.verdict != best.verdict)
    rest = "; ".join(f"{count} {verdict}" for verdict, count in sorted(others.items()))
    seen = f"The same in {agreeing} of {len(sessions)} sessions"
    other = best.verdict == "throttled" and slower and slower != best.slowdown
    middle = f", {sentences.times(slower)} slower in the middle" if other and slower else ""
    return f"{best.why} {seen}{middle}{f' (others: {rest})' if rest else ''}."
