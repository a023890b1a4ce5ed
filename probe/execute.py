"""Sets up a run from its options, carries it out, and says how it ended."""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path

import msgspec

from probe.bench import Bench, Judge
from probe.evidence import Evidence
from probe.exits import Status
from probe.ids import uuid7
from probe.limits import Limits, only_run
from probe.line import Line
from probe.line_check import check_line, is_down, line_sentence
from probe.measurement import Measurement, Subject, Vantage
from probe.network import Network
from probe.plan import Plan, brief_plan
from probe.recorder import Recorder
from probe.run import carry_out_plan
from probe.session_kinds import Session
from probe.signals import cancel_on_signals
from probe.store import RunFile, recover
from probe.targets import Targets
from probe.ui import Emitter, Ended


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """What a run was asked to do.

    ``whereabouts`` finds the vantage; it sees no record. ``packets`` keeps those of fetch trials.
    """

    targets: Targets
    plan: Plan
    data: Path
    budget_bytes: int
    network: Network
    seed: int
    whereabouts: Callable[[Targets, Limits], Awaitable[Vantage]]
    packets: bool = False


def execute(options: Options, judge: Judge, emitter: Emitter) -> Ended:
    """Carry out one run.

    Args:
        options: what to do.
        judge: the analysis.
        emitter: where to say what happens.

    Returns:
        How it ended; an interrupt is an ending like others, with everything finished kept.

    Raises:
        CommandError: the data folder, a setting or the table of networks cannot be used.
    """
    for path in recover(options.data):
        emitter.say(f"Recovered {path.name} of a probe that was killed.")
    judge.prepare()
    with only_run(options.data):
        return asyncio.run(_run(options, judge, emitter))


async def _run(options: Options, judge: Judge, emitter: Emitter) -> Ended:
    begun = time.monotonic()
    run = uuid7(time.time())
    with RunFile(options.data, run) as file:
        ledger = options.data / "limits.json"
        limits = Limits(ledger, options.budget_bytes, time.monotonic, time.time)
        table = _Table(options.plan, limits, judge, emitter)
        cancel_on_signals()
        try:
            vantage = await options.whereabouts(options.targets, limits)
            bench = Bench(
                network=options.network,
                limits=limits,
                line=Line(),
                recorder=Recorder(file, run, vantage, time.time),
                judge=judge,
                rng=random.Random(options.seed),  # noqa: S311 - an order, not a secret
                tell=emitter.progress,
                evidence=Evidence(file.packets if options.packets else None),
            )
            status = await _measure(options, bench, vantage, table, emitter)
        except asyncio.CancelledError:
            status = Status.INTERRUPTED
        kept = file.finish()
    return Ended(
        status=status,
        used_bytes=limits.used_bytes,
        seconds=time.monotonic() - begun,
        found=table.found,
        file=kept,
    )


async def _measure(
    options: Options, bench: Bench, vantage: Vantage, table: _Table, emitter: Emitter
) -> Status:
    neutral = await check_line(options.targets, bench)
    if is_down(neutral):
        emitter.say(line_sentence(neutral))
        return Status.LINE_DOWN
    plan = options.plan
    if neutral.only_domestic:
        emitter.say(line_sentence(neutral))
        plan = brief_plan(plan, options.targets)
    emitter.begin(vantage, plan, bench.limits.left_bytes)
    return await carry_out_plan(plan, options.targets, bench, table.ended)


class _Table:
    """Gathers sessions until all of a service and kind have ended, then has them judged."""

    def __init__(self, plan: Plan, limits: Limits, judge: Judge, emitter: Emitter) -> None:
        self._limits = limits
        self._judge = judge
        self._emitter = emitter
        self._open = Counter((session.service, session.subject) for session in plan.sessions)
        self._sessions: dict[tuple[str, Subject], list[list[Measurement]]] = {}
        self.found = 0

    def ended(self, session: Session, found: list[list[Measurement]]) -> None:
        """Take in one session and what followed it."""
        of = (session.service, session.subject)
        self._open[of] -= 1
        if found:
            self._sessions.setdefault(of, []).extend(found)
        if self._open[of]:
            return
        if of in self._sessions:
            conclusion = self._judge.conclude(self._sessions[of])
            self.found += conclusion.found
            self._emitter.conclusion(conclusion)
        else:
            self._emitter.not_measured(*of, self._why(session))

    def _why(self, session: Session) -> str:
        if not self._limits.allows(session.pair_bytes):
            return "the byte budget was used up: raise --budget, or try again tomorrow"
        return "its relays were asked within the last hour: try again later"
