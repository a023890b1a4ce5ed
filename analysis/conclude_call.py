"""From the flow pairs of a call session to its verdict."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import median
from typing import Final

import msgspec
import numpy as np

from analysis import call_pairs, losses, repeats, sentences, sequential
from analysis.call_pairs import Aspect, FlowPair
from analysis.calls import Flags, Flow
from analysis.conclusion import Conclusion
from analysis.finding import Direction, Mechanism
from analysis.pairs import Pair
from probe import failure as f
from probe.measurement import Measurement

#: A control that loses this much, or takes this long, says that the line is no good for calls.
LOSSY_RATIO: Final = 0.05
SLOW_RTT_S: Final = 0.6
#: A share this small is not spelled out as a loss of the control.
_NOTHING: Final = 0.005

_HOW: Final[dict[Mechanism, str]] = {
    "cut_off": "and then nothing more gets through",
    "policed": "in regular gaps, as a rate limiter drops them",
    "bursty": "in bursts",
    "random_loss": "at random",
}


class Case(msgspec.Struct, frozen=True, kw_only=True):
    """A call session before the judge.

    ``no_setup`` holds the pairs in which only the target's call was not set up, ``void`` why the
    rest say nothing.
    """

    service: str
    grade: str
    pairs: tuple[FlowPair, ...]
    no_setup: int
    void: tuple[str, ...]

    @property
    def basis(self) -> str:
        """Pairs and grade, in words."""
        return sentences.evidence(len(self.pairs), self.grade)


def conclude(service: str, grade: str, pairs: Sequence[Pair]) -> Conclusion:
    """Judge one session of call flow pairs.

    Args:
        service: its name, for the sentence.
        grade: kind of the control.
        pairs: flows of the app's shape, each beside one of random bytes (or relays beside a
            control relay), in their order.

    Returns:
        The conclusion.

    Raises:
        ValueError: a record is not a call.
        probe.trace.TraceError: a trace does not unpack.
    """
    case = _open(service, grade, pairs)
    worse = call_pairs.worse_in(case.pairs)
    if setup := _no_setup(case):
        return setup
    if worse:
        return _degraded(case, worse)
    if call_pairs.is_cleared(case.pairs):
        return _cleared(case)
    return _undecided(case, len(pairs))


def _open(service: str, grade: str, pairs: Sequence[Pair]) -> Case:
    compared, void, no_setup = [], [], 0
    for pair in pairs:
        reason = _void(pair)
        if reason:
            void.append(reason)
        elif _was_set_up(pair.target):
            compared.append(call_pairs.compare(pair))
        else:
            no_setup += 1
    return Case(
        service=service,
        grade=grade,
        pairs=tuple(compared),
        no_setup=no_setup,
        void=tuple(void),
    )


def _was_set_up(trial: Measurement) -> bool:
    return trial.call is not None and trial.call.setup == "ok" and trial.call.sent > 0


def _void(pair: Pair) -> str:
    """Why a pair says nothing; empty when it does say something."""
    if f.LOCAL & {pair.target.failure, pair.control.failure}:
        return "this machine had no way out"
    if not _was_set_up(pair.control):
        return "the control's call was not set up either"
    failure = pair.target.failure or ""
    if not _was_set_up(pair.target) and failure and not repeats.may_be_blocking(failure):
        return f"the target failed in a way that shows nothing ({failure})"
    return ""


def _no_setup(case: Case) -> Conclusion | None:
    odds = repeats.log_evidence(case.no_setup, len(case.pairs))
    if case.no_setup < repeats.MIN_FAILURES or odds < -math.log(sequential.ALPHA):
        return None
    tries = case.no_setup + len(case.pairs)
    return Conclusion(
        verdict="call_degraded",
        mechanism="no_setup",
        pairs=tries,
        decided=True,
        log_odds=odds,
        why=f"{case.service} calls cannot be set up: {case.no_setup} of {tries} got no answer, "
        f"while the control's worked each time ({sentences.GRADES[case.grade]}).",
    )


def _degraded(case: Case, worse: Sequence[Aspect]) -> Conclusion:
    strongest = _telling(worse)
    total = call_pairs.pooled(case.pairs)
    corrected = total[worse[0]].p_value * (call_pairs.MAX_PAIRS - 1) * len(total)
    odds = call_pairs.log_odds(corrected)
    direction = _direction(worse)
    if strongest == "delay":
        mechanism: Mechanism = "delayed"
        onset, what = None, _delay_words(case)
    else:
        lost = [_losses(pair.target, strongest) for pair in case.pairs]
        onset = losses.onset(lost)
        mechanism = losses.process(lost, onset or 0)
        what = _loss_words(case, strongest, onset, mechanism)
    return Conclusion(
        verdict="call_degraded",
        mechanism=mechanism,
        pairs=len(case.pairs),
        decided=True,
        log_odds=odds,
        direction=direction,
        onset_packet=onset,
        why=f"{what} ({case.basis}; {sentences.odds(odds)}).",
    )


def _telling(worse: Sequence[Aspect]) -> Aspect:
    """The aspect to describe: a loss before a delay, one with a direction before one without."""
    order: tuple[tuple[Aspect, ...], ...] = (("up", "down"), ("any",), ("delay",))
    return next(aspect for group in order for aspect in worse if aspect in group)


def _direction(worse: Sequence[Aspect]) -> Direction | None:
    """Where the loss happens; ``None`` where nothing tells."""
    if "up" in worse and "down" in worse:
        return "both"
    if "up" in worse:
        return "up"
    return "down" if "down" in worse else None


def _losses(flow: Flow, aspect: Aspect) -> Flags:
    """One direction's losses; of the way back only those that had a chance."""
    if aspect == "up":
        return flow.lost_up
    return flow.lost_down[flow.reached] if aspect == "down" else flow.lost


def _loss_words(case: Case, aspect: Aspect, onset: int | None, mechanism: Mechanism) -> str:
    lost = [_losses(pair.target, aspect)[onset or 0 :] for pair in case.pairs]
    other = [_losses(pair.control, aspect) for pair in case.pairs]
    where = {"up": "they send", "down": "meant for them"}.get(aspect, "they exchange")
    since = f", from packet {onset + 1} on" if onset else ""
    rest = _ratio(other)
    control = "none" if rest < _NOTHING else f"{rest:.0%}"
    return (
        f"{case.service} calls lose {_ratio(lost):.0%} of the packets {where}{since}, "
        f"{_HOW[mechanism]}; the same packets with other bytes lose {control}"
    )


def _delay_words(case: Case) -> str:
    mine = 1000.0 * median([_rtt_s(pair.target) for pair in case.pairs])
    other = 1000.0 * median([_rtt_s(pair.control) for pair in case.pairs])
    return (
        f"{case.service} calls are held up: packets take {mine:.0f} ms there and back, the same "
        f"packets with other bytes {other:.0f} ms"
    )


def _cleared(case: Case) -> Conclusion:
    control = _ratio([pair.control.lost for pair in case.pairs])
    target = _ratio([pair.target.lost for pair in case.pairs])
    rtt_s = median([_rtt_s(pair.control) for pair in case.pairs])
    if control >= LOSSY_RATIO or rtt_s >= SLOW_RTT_S:
        return Conclusion(
            verdict="slow_line",
            pairs=len(case.pairs),
            decided=True,
            why=f"The line itself is poor: {case.service} calls lose {target:.0%}, the same "
            f"packets with other bytes {control:.0%}, at {1000 * rtt_s:.0f} ms ({case.basis}).",
        )
    return Conclusion(
        verdict="normal",
        pairs=len(case.pairs),
        decided=True,
        log_odds=math.log(sequential.BETA),
        why=f"{case.service} calls fare as any others: {target:.1%} lost against {control:.1%}; "
        f"{call_pairs.CLEARED_RATIO:.0%} more loss is ruled out ({case.basis}).",
    )


def _undecided(case: Case, made: int) -> Conclusion:
    usable = len(case.pairs) + case.no_setup
    hopeless = not usable and len(case.void) >= repeats.MIN_FAILURES
    if len(case.void) > usable:
        missing = f"{sentences.most_common(case.void)} in {len(case.void)} of {made} pairs"
    elif not usable:
        missing = "no pair of flows was complete"
    else:
        missing = f"{usable} pairs of flows did not suffice to tell"
    return Conclusion(
        verdict="inconclusive",
        pairs=usable,
        decided=hopeless or made >= call_pairs.MAX_PAIRS,
        why=f"Not sure about {case.service} calls: {missing}.",
    )


def _ratio(flows: Sequence[Flags]) -> float:
    packets = sum(map(len, flows))
    return float(sum(flow.sum() for flow in flows)) / packets if packets else 0.0


def _rtt_s(flow: Flow) -> float:
    came = flow.rtt_s[np.isfinite(flow.rtt_s)]
    return float(np.median(came)) if len(came) else 0.0
