"""A probe's session into dataset rows: derived once per trial, judged once per session."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from statistics import median
from typing import Any, Final

import msgspec

from analysis.baseline import CONTROL
from analysis.bins import RATE_BINS_PER_OCTAVE, log_bin
from analysis.fetches import figures
from analysis.finding import Finding, to_json
from analysis.merge import BAD
from analysis.pairs import pair_up
from analysis.rows import SessionRow, TrialRow
from probe.measurement import Measurement

Judge = Callable[[Sequence[Measurement]], Finding]

#: Sessions that say something of the line, not of a service: checks before a run, and pairs of
#: controls, which nobody is asked to judge.
LINE: Final = "line"
NOT_JUDGED: Final = frozenset({LINE, CONTROL})

_HIT_RATIO: Final = 0.25


def session_row(
    trials: Sequence[Measurement], finding: Finding | None, source: str, probe: str
) -> SessionRow:
    """Make a session's row.

    Args:
        trials: the session's, at least one.
        finding: what the judge said; None for a session nobody judges.
        source: content hash of the file they came from.
        probe: the line's pseudonym.

    Returns:
        The row; speeds and ratio are medians over its pairs.
    """
    first = trials[0]
    speeds = [
        (figures(pair.target).goodput_bps, figures(pair.control).goodput_bps)
        for pair in pair_up(trials)
        if pair.target.fetch and pair.control.fetch
    ]
    target = median(pair[0] for pair in speeds) if speeds else None
    control = median(pair[1] for pair in speeds) if speeds else None
    ratios = [target / control for target, control in speeds if control > 0]
    rate = finding.rate_bps.value if finding and finding.rate_bps else None
    return SessionRow(
        **_shared(first, source, probe),
        pairs=finding.pairs if finding else len(pair_up(trials)),
        hits=sum(ratio < _HIT_RATIO for ratio in ratios),
        hit=_hit(finding),
        target_bps=_whole(target),
        target_bin=log_bin(target),
        control_bps=_whole(control),
        control_bin=log_bin(control),
        ratio_bin=log_bin(median(ratios)) if ratios else None,
        verdict=finding.verdict if finding else None,
        mechanism=finding.mechanism if finding else None,
        rate_bps=_whole(rate),
        rate_bin=log_bin(rate, RATE_BINS_PER_OCTAVE),
        log_odds=finding.log_odds if finding else None,
        finding=to_json(finding).decode() if finding else None,
    )


def trial_row(trial: Measurement, source: str, probe: str) -> TrialRow:
    """Make a trial's row.

    Args:
        trial: the record.
        source: content hash of the file it came from.
        probe: the line's pseudonym.
    """
    row = TrialRow(
        **_shared(trial, source, probe),
        round=trial.round,
        arm=trial.arm,
        endpoint=trial.endpoint,
        failure=trial.failure,
    )
    return msgspec.structs.replace(row, **_derived(trial))


def _derived(trial: Measurement) -> dict[str, Any]:
    if trial.fetch:
        fetch, found = trial.fetch, figures(trial)
        return {
            "censored": fetch.censored is not None,
            "bytes": fetch.body_bytes,
            "goodput_bps": round(found.goodput_bps),
            "goodput_bin": log_bin(found.goodput_bps),
            "connect_s": fetch.connect_s,
            "connect_bin": _microseconds_bin(fetch.connect_s),
            "tls_s": fetch.tls_s,
            "tls_bin": _microseconds_bin(fetch.tls_s),
            "ttfb_s": fetch.ttfb_s,
            "ttfb_bin": _microseconds_bin(fetch.ttfb_s),
        }
    if trial.call:
        call = trial.call
        return {
            "sent": call.sent,
            "lost_up": call.lost_up,
            "lost_down": call.lost_down,
            "lost": call.lost,
        }
    if trial.reach:
        connect = trial.reach.connect_s
        return {"connect_s": connect, "connect_bin": _microseconds_bin(connect)}
    return {}


def _shared(trial: Measurement, source: str, probe: str) -> dict[str, Any]:
    where = trial.vantage
    return {
        "source": source,
        "session": trial.session,
        "probe": probe,
        "start_s": int(trial.start.timestamp()),
        "country": where.country,
        "asn": where.asn,
        "network": where.network,
        "network_type": where.network_type,
        "service": trial.service,
        "kind": trial.subject,
        "control_kind": trial.control_kind,
    }


def _hit(finding: Finding | None) -> int | None:
    if finding is None or not (finding.verdict in BAD or finding.verdict == "normal"):
        return None
    return int(finding.verdict in BAD)


def _whole(value: float | None) -> int | None:
    return None if value is None else round(value)


def _microseconds_bin(value_s: float | None) -> int | None:
    """Bin a duration by its microseconds, so that a bin of 0 is the shortest there is."""
    return None if value_s is None else log_bin(value_s * 1e6)
