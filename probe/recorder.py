"""Turns outcomes of trials into records and stores them: the one place where records are formed."""

from __future__ import annotations

import platform
import ssl
from collections.abc import Callable
from datetime import UTC, datetime

import msgspec

from probe import __version__
from probe.ids import uuid7
from probe.measurement import (
    Arm,
    Call,
    ControlKind,
    Fetch,
    Host,
    Kind,
    Measurement,
    NeutralHosts,
    Reach,
    Software,
    Vantage,
)
from probe.store import RunFile


class Trial(msgspec.Struct, frozen=True, kw_only=True):
    """Which trial it is: its place in the run."""

    session: str
    service: str
    kind: Kind
    round: int
    arm: Arm
    control_kind: ControlKind | None
    endpoint: str


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What came of it: a failure or none, one body, how the machine and the budget fared."""

    started_s: float
    failure: str | None
    fetch: Fetch | None = None
    call: Call | None = None
    reach: Reach | None = None
    host: Host = Host()
    out_of_budget: bool = False


class Recorder:
    """Forms and stores the records of one run.

    Args:
        file: the open run file.
        run: the run's identifier.
        vantage: where the probe sits; the only thing about the volunteer a record ever holds.
        wall: seconds since 1970.

    Attributes:
        neutral: what the line check found; goes into every record from then on.
    """

    def __init__(
        self, file: RunFile, run: str, vantage: Vantage, wall: Callable[[], float]
    ) -> None:
        self._file = file
        self._run = run
        self._vantage = vantage
        self._software = software()
        self.wall = wall
        self.neutral = NeutralHosts()

    def new_id(self) -> str:
        """Return a fresh identifier."""
        return uuid7(self.wall())

    def record(self, trial: Trial, outcome: Outcome) -> Measurement:
        """Store one finished trial.

        Args:
            trial: its place in the run.
            outcome: what came of it.

        Returns:
            The record, as stored.

        Raises:
            StoreError: the disk would not take it.
        """
        record = Measurement(
            id=self.new_id(),
            run=self._run,
            session=trial.session,
            round=trial.round,
            arm=trial.arm,
            control_kind=trial.control_kind,
            start=datetime.fromtimestamp(int(outcome.started_s), UTC),
            service=trial.service,
            kind=trial.kind,
            endpoint=trial.endpoint,
            vantage=self._vantage,
            software=self._software,
            host=outcome.host,
            failure=outcome.failure,
            neutral=self.neutral,
            out_of_budget=outcome.out_of_budget,
            fetch=outcome.fetch,
            call=outcome.call,
            reach=outcome.reach,
        )
        self._file.append(record)
        return record


def software() -> Software:
    """Describe the measuring program and what it stands on."""
    return Software(
        version=__version__,
        python=platform.python_version(),
        kernel=platform.release(),
        tls=ssl.OPENSSL_VERSION,
    )
