"""Findings as lines of text for a terminal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from analysis.calls_only import calls_broken_messages_fine
from analysis.finding import Finding

_WORDS: Final = {
    "throttled": "THROTTLED",
    "blocked": "BLOCKED",
    "call_degraded": "DEGRADED",
    "normal": "normal",
    "slow_line": "slow line",
    "inconclusive": "not sure",
}
_OPEN: Final = ("inconclusive", "slow_line")
#: With more findings than this, those that are open are counted and not listed.
_FEW: Final = 40


def finding_lines(findings: Sequence[Finding], *, every: bool) -> Iterator[str]:
    """Write findings for people.

    Args:
        findings: in the order to print.
        every: also list the open ones of a long list.

    Yields:
        One aligned line each; then of which services only the calls are spoiled; last, how many
        open ones were left out.
    """
    short = len(findings) > _FEW and not every
    listed = [item for item in findings if not (short and item.verdict in _OPEN)]
    service = max((len(item.service) for item in listed), default=0)
    network = max((len(_network(item)) for item in listed), default=0)
    for item in listed:
        yield (
            f"{item.service:{service}}  {item.kind:5}  {_network(item):{network}}  "
            f"{_WORDS[item.verdict]:9}  {item.why}"
        )
    for (name, where), group in _by_service(findings).items():
        if calls_broken_messages_fine(group):
            yield f"{name} on {where}: calls are spoiled and everything else of it works"
    left_out = len(findings) - len(listed)
    if left_out:
        yield f"{left_out} more are open: too little to tell (-v lists them)"


def _by_service(findings: Sequence[Finding]) -> dict[tuple[str, str], list[Finding]]:
    groups: dict[tuple[str, str], list[Finding]] = {}
    for item in findings:
        groups.setdefault((item.service, _network(item)), []).append(item)
    return groups


def _network(finding: Finding) -> str:
    return f"{finding.country} AS{finding.asn}"
