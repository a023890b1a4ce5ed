"""The judge: trials of one session in, one finding out. Pure, so live and stored agree."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final, Literal

import msgspec
from msgspec import UNSET

from analysis import conclude_call, conclude_fetch, conclude_reach, sentences
from analysis.conclusion import Conclusion, Want
from analysis.finding import Finding, Window
from analysis.line_guard import heed
from analysis.messaging import messages_work
from analysis.pairs import Pair, is_compared, pair_up
from probe.measurement import Measurement

#: The service name under which line checks are stored.
LINE_SERVICE: Final = "line"


class Advice(msgspec.Struct, frozen=True):
    """What a live session does next.

    ``stop``: more pairs would not change the answer. ``want``: a trial that would tell more about
    the mechanism (``parallel`` connections to the target, a ``longer`` transfer, ``freeze``
    tests), or ``None``.
    """

    stop: bool
    want: Want | None


def judge(trials: Sequence[Measurement], *, offset: float = 0.0) -> Finding:
    """Judge one session.

    Args:
        trials: of one session, one service and one kind (fetch, call or reach), in any order;
            line checks may be among them and are set aside.
        offset: usual natural log ratio of target to control goodput for this probe, from its
            past; 0 for a first session and for grades A and B.

    Returns:
        The finding; the same trials always give the same one.

    Raises:
        ValueError: there are no trials, or they are of several services or kinds, or of a kind
            that has no verdict.
    """
    own = _own(trials)
    first = next((trial for trial in own if trial.arm == "target"), own[0])
    conclusion = _conclude(own, offset)
    is_call = first.kind == "call"
    return Finding(
        service=first.service,
        kind=first.subject,
        country=first.vantage.country,
        asn=first.vantage.asn,
        network=first.vantage.network,
        window=Window(start=min(t.start for t in own), end=max(map(_end, own))),
        sessions=1,
        pairs=conclusion.pairs,
        grade=_grade(own),
        verdict=conclusion.verdict,
        mechanism=conclusion.mechanism,
        rate_bps=conclusion.rate_bps,
        slowdown=conclusion.slowdown,
        since=None,
        until=None,
        log_odds=round(conclusion.log_odds, 3),
        why=conclusion.why + _messages(conclusion, own),
        direction=conclusion.direction if is_call else UNSET,
        onset_packet=conclusion.onset_packet if is_call else UNSET,
        http=_http(own) or UNSET,
    )


def advise(trials: Sequence[Measurement], *, offset: float = 0.0) -> Advice:
    """Say what a running session needs next.

    Args:
        trials: made so far; may be empty.
        offset: as for :func:`judge`.

    Returns:
        Whether to stop, and what would settle the mechanism.

    Raises:
        ValueError: as for :func:`judge`, but not for an empty session.
    """
    if not any(trial.service != LINE_SERVICE for trial in trials):
        return Advice(stop=False, want=None)
    conclusion = _conclude(_own(trials), offset)
    return Advice(stop=conclusion.decided, want=conclusion.want)


def _messages(conclusion: Conclusion, own: Sequence[Measurement]) -> str:
    works = messages_work(own) if conclusion.verdict == "call_degraded" else None
    said = {
        True: " Its messages went through meanwhile.",
        False: " Its messages did not go through either.",
    }
    return said.get(works, "") if works is not None else ""


def _own(trials: Sequence[Measurement]) -> list[Measurement]:
    own = [trial for trial in trials if trial.service != LINE_SERVICE] or list(trials)
    subjects = sorted({(trial.service, trial.subject) for trial in own})
    if len(subjects) != 1:
        found = ", ".join(f"{service} {kind}" for service, kind in subjects) or "no trials"
        raise ValueError(f"found {found}, expected trials of one service and one kind")
    return own


def _conclude(own: Sequence[Measurement], offset: float) -> Conclusion:
    return heed(_conclude_pairs(own, offset), own[0].service, own)


def _conclude_pairs(own: Sequence[Measurement], offset: float) -> Conclusion:
    service, kind, grade = own[0].service, own[0].kind, _grade(own)
    pairs: tuple[Pair, ...] = pair_up(own)
    if kind == "fetch":
        beside = [trial for trial in own if not is_compared(trial)]
        name = f"{service} upload" if own[0].subject == "upload" else service
        version = sentences.VERSIONS.get(_http(own) or "")
        name += f" over {version}" if version else ""
        return conclude_fetch.conclude(name, grade, pairs, offset=offset, beside=beside)
    if kind == "call":
        return conclude_call.conclude(service, grade, pairs)
    if kind == "reach":
        return conclude_reach.conclude(service, grade, pairs)
    raise ValueError(f"found {kind} trials, expected fetch, call or reach: these have a verdict")


def _http(own: Sequence[Measurement]) -> str | None:
    """Name the version a session speaks: its controls' where no target got that far."""
    spoken = {trial.arm: trial.fetch.http for trial in own if trial.fetch and trial.fetch.http}
    return spoken.get("target") or spoken.get("control")


def _grade(own: Sequence[Measurement]) -> Literal["A", "B", "C", "D"]:
    kinds = [trial.control_kind for trial in own if trial.control_kind is not None]
    # Of mixed kinds the weakest counts: a chain of evidence is as good as its weakest link.
    return max(kinds, default="D")


def _end(trial: Measurement) -> datetime:
    lasted = trial.fetch.duration_s if trial.fetch is not None else None
    if trial.call is not None:
        lasted = trial.call.planned * trial.call.interval_s
    if trial.reach is not None:
        lasted = trial.reach.connect_s
    return trial.start + timedelta(seconds=lasted or 0.0)
