"""One run's finding beside what was to be found. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec
from msgspec import UNSET

from analysis.evaluate.lab_matrix import Cell, Expected
from analysis.finding import Finding, Rate
from analysis.merge import BAD, merge_cell
from analysis.pairs import is_compared
from analysis.verdict import advise, judge
from probe.measurement import Measurement
from probe.trace import unpack

#: A found rate is right within this share of the limiter's.
RATE_TOLERANCE: Final = 0.10
#: An onset is right within so many packets. Of a flow that loses three packets in ten, the first
#: loss comes later than this after the onset once in 35 flows.
ONSET_TOLERANCE: Final = 10
#: What stands in a table where nothing was recorded, and where there is no mechanism to name.
NO_RECORD: Final = "no record"
NOTHING: Final = "none"


class Cost(msgspec.Struct, frozen=True):
    """Time and bytes, of bodies and of call packets both ways, until the verdict was certain."""

    seconds: float
    bytes: int


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What was found of one service and kind in one run, and what was to be found."""

    cell: Cell
    service: str
    kind: str
    expected: Expected
    finding: Finding | None
    cost: Cost | None

    @property
    def verdict(self) -> str:
        """The verdict found."""
        return self.finding.verdict if self.finding else NO_RECORD

    @property
    def right(self) -> bool:
        """Whether the verdict is the expected one, or one that is honest too."""
        return self.verdict in (self.expected.verdict, *self.expected.accept)

    @property
    def exact(self) -> bool:
        """Whether the verdict is the expected one."""
        return self.verdict == self.expected.verdict

    @property
    def censored(self) -> bool:
        """Whether somebody is in the way here."""
        return self.expected.verdict in BAD

    @property
    def false_alarm(self) -> bool:
        """Whether somebody is blamed where nobody is in the way."""
        return not self.censored and self.verdict in BAD

    @property
    def mechanism_right(self) -> bool | None:
        """Whether a verdict that hit names a right mechanism; None where there is none to name."""
        if not (self.expected.mechanisms and self.finding and self.exact):
            return None
        return self.finding.mechanism in self.expected.mechanisms

    @property
    def rate_error(self) -> float | None:
        """Found rate over the limiter's, less 1; None of a rate that is only a lower bound."""
        rate = self._rate
        if not (self.expected.rate_bps and rate) or rate.lower_bound:
            return None
        return rate.value / self.expected.rate_bps - 1.0

    @property
    def rate_right(self) -> bool | None:
        """Whether the rate is right, or a lower bound that holds; one not found is wrong."""
        if not (self.expected.rate_bps and self.exact):
            return None
        rate = self._rate
        if rate is None or self.rate_error is not None:
            return self.rate_error is not None and abs(self.rate_error) <= RATE_TOLERANCE
        return rate.value <= self.expected.rate_bps * (1.0 + RATE_TOLERANCE)

    @property
    def covered(self) -> bool | None:
        """Whether the rate's interval holds the limiter's; None where it has no two ends."""
        rate = self._rate
        if self.rate_error is None or rate is None or rate.low is None or rate.high is None:
            return None
        assert self.expected.rate_bps is not None
        return rate.low <= self.expected.rate_bps <= rate.high

    @property
    def _rate(self) -> Rate | None:
        """The rate of a finding whose verdict hit."""
        return self.finding.rate_bps if self.finding and self.exact else None

    @property
    def direction_right(self) -> bool | None:
        """Whether the direction is right."""
        if not (self.expected.direction and self.finding and self.exact):
            return None
        return self.finding.direction == self.expected.direction

    @property
    def onset_error(self) -> int | None:
        """Packets from the true onset to the found one."""
        if not (self.expected.onset_packet and self.finding and self.exact):
            return None
        onset = self.finding.onset_packet
        # A finding counts from 0; one that names no onset says it was from the start.
        found = 0 if onset is UNSET or onset is None else onset
        return found + 1 - self.expected.onset_packet

    @property
    def onset_right(self) -> bool | None:
        """Whether the onset is right."""
        error = self.onset_error
        return None if error is None else abs(error) <= ONSET_TOLERANCE

    @property
    def wrong(self) -> tuple[str, ...]:
        """What is not as expected, in words."""
        expected, found = self.expected, self.finding
        faults = {
            f"{self.verdict}, expected {expected.verdict}": self.right,
            f"{found and found.mechanism}, expected {' or '.join(expected.mechanisms)}": (
                self.mechanism_right
            ),
            f"rate {self._rate_words}": self.rate_right,
            f"direction {found and found.direction}, expected {expected.direction}": (
                self.direction_right
            ),
            f"onset {self.onset_error} packets off": self.onset_right,
        }
        return tuple(words for words, right in faults.items() if right is False)

    @property
    def _rate_words(self) -> str:
        if self._rate is None:
            return "not found"
        if self.rate_error is None:
            return f"at least {self._rate.value:.0f} bit/s, expected {self.expected.rate_bps}"
        return f"{self.rate_error:+.1%} off"

    @property
    def verdicts(self) -> tuple[str, str]:
        """Expected and found verdict, for a confusion table."""
        return self.expected.verdict, self.verdict

    @property
    def mechanisms(self) -> tuple[str, str] | None:
        """True and found mechanism, for F1 scores.

        A mechanism is named with its verdict. Any of several right ones counts as the first. None
        where the preset fixes no mechanism, or an answer as honest as the verdict has none to name.
        """
        named = self.expected.mechanisms
        if self.censored and (not named or (self.right and not self.exact)):
            return None
        truth = f"{self.expected.verdict} {named[0]}" if self.censored else NOTHING
        if self.finding is None or self.verdict not in BAD:
            return truth, NOTHING
        right = self.exact and self.finding.mechanism in named
        return truth, truth if right else f"{self.verdict} {self.finding.mechanism}"


def outcome(
    cell: Cell, expected: Expected, service: str, kind: str, sessions: Sequence[list[Measurement]]
) -> Outcome:
    """Judge one service and kind of a run.

    Args:
        cell: the run.
        expected: what was to be found.
        service: the service.
        kind: the kind.
        sessions: its sessions, oldest first; may be none.

    Returns:
        The finding of all sessions together beside the expectation.
    """
    found = merge_cell([judge(trials) for trials in sessions]) if sessions else None
    return Outcome(
        cell=cell,
        service=service,
        kind=kind,
        expected=expected,
        finding=found,
        cost=cost(sessions[0]) if sessions else None,
    )


def cost(session: Sequence[Measurement]) -> Cost:
    """Work out when a session was decided, and what it had moved by then.

    Args:
        session: its trials.

    Returns:
        Time and bytes up to the first round after which the judge wants no more; of all rounds
        where it never came to that. Starts are stored to the second, and so is the time.
    """
    trials = [trial for trial in session if is_compared(trial)]
    rounds = sorted({trial.round for trial in trials})
    for last in rounds:
        until = [trial for trial in trials if trial.round <= last]
        if advise(until).stop:
            break
    window = judge(until).window
    return Cost((window.end - window.start).total_seconds(), sum(map(_moved, until)))


def _moved(trial: Measurement) -> int:
    if trial.fetch is not None:
        return trial.fetch.body_bytes
    call = trial.call
    if call is None or not call.sent:
        return 0
    sizes = unpack(call.trace.columns["size_bytes"]) if call.trace.packets else ()
    sent = sum(size for size in sizes if size is not None)
    return round(sent * (1.0 + call.received / call.sent))
