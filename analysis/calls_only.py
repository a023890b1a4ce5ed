"""Calls broken while messages go through: the signature of August 2025, as one predicate."""

from __future__ import annotations

from collections.abc import Iterable

from analysis.finding import Finding


def calls_broken_messages_fine(findings: Iterable[Finding]) -> bool:
    """Say whether a service's calls are spoiled and nothing else of it is.

    Args:
        findings: of one service, vantage and window, of all kinds.

    Returns:
        Whether calls are degraded and every fetch and reach finding there is, at least one, is
        normal. False where that is not known.
    """
    known = list(findings)
    calls = [finding.verdict for finding in known if finding.kind == "call"]
    rest = [finding.verdict for finding in known if finding.kind in ("fetch", "reach")]
    broken = "call_degraded" in calls
    return broken and bool(rest) and all(verdict == "normal" for verdict in rest)
