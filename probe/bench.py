"""What a session works with: the judge it asks, and everything it needs from outside."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Protocol

import msgspec

from probe.evidence import Evidence
from probe.limits import Limits
from probe.line import Hold, Line
from probe.measurement import Arm, Measurement, Subject
from probe.network import Network
from probe.recorder import Recorder
from probe.session_kinds import Session


class Judge(Protocol):
    """What a live session asks."""

    def prepare(self) -> None:
        """Load what judging takes, so that nothing is loaded while a transfer is timed."""

    def enough(self, trials: Sequence[Measurement]) -> bool:
        """Say whether another pair can no longer change the answer."""

    def want(self, trials: Sequence[Measurement]) -> str | None:
        """Name the trial that would settle how: ``longer``, ``parallel`` or ``freeze``."""

    def suspects(self, trials: Sequence[Measurement]) -> bool:
        """Say whether a session found something that another control should confirm."""

    def settled(self, size_bytes: int, t_s: float, control_bps: float, total_bytes: int) -> bool:
        """Say whether a running target fetch can no longer change its pair's evidence."""

    def conclude(self, sessions: Sequence[Sequence[Measurement]]) -> Conclusion:
        """Judge the sessions of one service and kind together."""


class Conclusion(msgspec.Struct, frozen=True, kw_only=True):
    """What the judge says of one service and kind, in words and as one line of JSON.

    ``figures`` are the numbers compared, ``word`` the verdict, ``detail`` how and how sure;
    ``found`` is true for a verdict that says something is wrong.
    """

    service: str
    kind: str
    figures: str
    word: str
    detail: str
    json_line: str
    found: bool


class Progress(msgspec.Struct, frozen=True):
    """What a session is doing now, for the terminal."""

    service: str
    kind: Subject
    arm: Arm
    round: int
    rate_bps: float | None = None


class Bench(msgspec.Struct, frozen=True):
    """Everything a session needs from outside."""

    network: Network
    limits: Limits
    line: Line
    recorder: Recorder
    judge: Judge
    rng: random.Random
    tell: Callable[[Progress], None]
    evidence: Evidence = Evidence()


class Running(msgspec.Struct, frozen=True):
    """A session under way: its plan, its identifier, its hold on the line, its trials so far."""

    plan: Session
    id: str
    hold: Hold
    trials: list[Measurement]
