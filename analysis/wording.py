"""Findings in the few words a table has room for. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median
from typing import Final

import msgspec

from analysis.fetches import figures
from analysis.finding import Finding, Verdict
from analysis.judge_fetch import compare, medians_bps
from analysis.messaging import messages_work
from analysis.pairs import is_compared, pair_up
from analysis.sequential import ALTERNATIVES
from probe.measurement import Arm, Measurement

_WORDS: Final[dict[Verdict, str]] = {
    "normal": "normal",
    "throttled": "THROTTLED",
    "blocked": "BLOCKED",
    "call_degraded": "DEGRADED",
    "slow_line": "slow line",
    "inconclusive": "not sure",
}
#: Verdicts that say something is wrong, and not merely with the line.
FOUND: Final = frozenset({"throttled", "blocked", "call_degraded"})
_MECHANISMS: Final = {
    "policed": "policed to",
    "shaped": "shaped to",
    "random_loss": "random loss",
    "delayed": "held up",
    "frozen": "freezes",
    "reset": "connection reset",
    "dropped": "no answer",
    "dns": "name withheld",
    "tls": "refused in the TLS handshake",
    "blockpage": "a block page instead",
    "no_setup": "calls cannot be set up",
    "cut_off": "cut off",
    "bursty": "bursts of loss",
}
#: What the test of each kind rules out when it clears a service.
_CLEARED: Final = {
    "fetch": "cleared at 2x slower",
    "upload": "cleared at 2x slower",
    "call": "cleared at 3 % more loss",
    "reach": "cleared",
}
_MEGA: Final = 1e6


class Words(msgspec.Struct, frozen=True, kw_only=True):
    """A finding for one row: the figures compared, the verdict, how and how sure."""

    figures: str
    word: str
    detail: str
    found: bool


def describe(finding: Finding, trials: Sequence[Measurement]) -> Words:
    """Word a finding.

    Args:
        finding: the answer.
        trials: the trials behind it, of both arms.

    Returns:
        The words.
    """
    return Words(
        figures=_figures(finding, trials),
        word=_WORDS[finding.verdict],
        detail=_detail(finding) + _messages(finding, trials),
        found=finding.verdict in FOUND,
    )


def rate(bits_per_second: float) -> str:
    """Write a rate with its unit and two figures: ``128 kbit/s``, ``41 Mbit/s``."""
    if bits_per_second >= _MEGA:
        return f"{_two_figures(bits_per_second / _MEGA)} Mbit/s"
    return f"{bits_per_second / 1e3:.0f} kbit/s"


def _two_figures(value: float) -> str:
    return f"{value:.0f}" if value >= 10 else f"{value:.2g}"  # noqa: PLR2004 - two figures


def _figures(finding: Finding, trials: Sequence[Measurement]) -> str:
    match finding.kind:
        case "fetch" | "upload":
            return _fetch_figures(finding, [t for t in trials if _is_of(finding, t)])
        case "call":
            return _call_figures(trials)
        case _:
            return _reach_figures(trials)


def _fetch_figures(finding: Finding, trials: Sequence[Measurement]) -> str:
    if speeds := _compared_bps(finding, trials):
        target, control = speeds
        return f"{target / 1e6:.2g} against {_two_figures(control / 1e6)} Mbit/s"
    target_bps = _goodput_bps(trials, "target")
    if target_bps is None:
        failures = sorted({t.failure for t in trials if t.arm == "target" and t.failure})
        return failures[0] if failures else ""
    return f"{rate(target_bps)}, no control"


def _compared_bps(finding: Finding, trials: Sequence[Measurement]) -> tuple[float, float] | None:
    """Median speeds of the pairs compared; where only some targets are slowed, of those."""
    sessions: dict[str, list[Measurement]] = {}
    for trial in trials:
        sessions.setdefault(trial.session, []).append(trial)
    pairs = (pair for session in sessions.values() for pair in pair_up(session))
    seen = [c for c in map(compare, pairs) if c.outcome == "compared"]
    slow = [c for c in seen if c.target_bps < c.control_bps / ALTERNATIVES[0].ratio]
    chosen = slow if finding.verdict == "throttled" and slow else seen
    return medians_bps(chosen) if chosen else None


def _is_of(finding: Finding, trial: Measurement) -> bool:
    """Whether a trial, as far as it got, was over the finding's version of HTTP."""
    return trial.fetch is None or trial.fetch.http in (None, finding.http) or not finding.http


def _goodput_bps(trials: Sequence[Measurement], arm: Arm) -> float | None:
    plain = [t for t in trials if t.arm == arm and is_compared(t)]
    speeds = [figures(t).goodput_bps for t in plain if t.fetch and t.fetch.body_bytes]
    return median(speeds) if speeds else None


def _call_figures(trials: Sequence[Measurement]) -> str:
    calls = [t.call for t in trials if t.arm == "target" and t.call and t.call.sent]
    if not calls:
        return "no call could be set up"
    sent = sum(call.sent for call in calls)
    if all(call.lost_up is not None and call.lost_down is not None for call in calls):
        up = sum(call.lost_up or 0 for call in calls)
        down = sum(call.lost_down or 0 for call in calls)
        return f"{up / sent:.0%} lost up, {down / sent:.0%} down"
    return f"{1 - sum(call.received for call in calls) / sent:.0%} lost"


def _reach_figures(trials: Sequence[Measurement]) -> str:
    targets = [t for t in trials if t.arm == "target"]
    return f"{sum(t.failure is None for t in targets)} of {len(targets)} addresses answer"


def _detail(finding: Finding) -> str:
    evidence = f"{finding.pairs} pairs, grade {finding.grade}"
    if finding.verdict in FOUND:
        return ", ".join(part for part in (_mechanism(finding), evidence) if part)
    if finding.verdict == "normal" and finding.kind in _CLEARED:
        return f"{_CLEARED[finding.kind]}, {evidence}"
    return finding.why


def _messages(finding: Finding, trials: Sequence[Measurement]) -> str:
    works = messages_work(trials) if finding.verdict == "call_degraded" else None
    return {True: ". Messages work", False: ". Messages fail too", None: ""}[works]


def _mechanism(finding: Finding) -> str:
    known = _MECHANISMS.get(finding.mechanism or "", "")
    if finding.mechanism in ("policed", "shaped") and finding.rate_bps:
        return f"{known} {_rate_range(finding)}"
    if finding.onset_packet:
        return f"{known} from packet {finding.onset_packet + 1} on".strip()
    return known


def _rate_range(finding: Finding) -> str:
    assert finding.rate_bps is not None
    found = finding.rate_bps
    least = "at least " if found.lower_bound else ""
    if found.low is None or found.high is None:
        return f"{least}{rate(found.value)}"
    scale = _MEGA if found.value >= _MEGA else 1e3
    return f"{least}{rate(found.value)} ({found.low / scale:.3g}-{found.high / scale:.3g})"
