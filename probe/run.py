"""One run: is the line up, where are we, then every session of the plan."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

import msgspec

from probe import failure
from probe.bench import Bench
from probe.confirm import confirmations
from probe.endpoints import parse_url
from probe.exits import Status
from probe.fetch.reach import reach
from probe.measurement import Measurement
from probe.plan import Plan, line_checks
from probe.recorder import Outcome, Trial
from probe.session import carry_out
from probe.session_kinds import Session
from probe.targets import Targets
from probe.trial import addresses_of, servers_of

#: What only a host, or someone on the way to it, can have answered: the line works.
_ALIVE: Final = (None, failure.REFUSED, failure.RESET)


class LineState(msgspec.Struct, frozen=True):
    """What the neutral hosts said: the failure of each scope, None where it answered."""

    failures: dict[str, str | None]

    @property
    def down(self) -> bool:
        """Whether no neutral host gave any sign of life; a refusal is one."""
        return bool(self.failures) and all(why not in _ALIVE for why in self.failures.values())

    def sentence(self) -> str:
        """Say what was found, in one line."""
        seen = ", ".join(f"{scope}: {why}" for scope, why in self.failures.items())
        local = any(why in failure.LOCAL for why in self.failures.values())
        cause = "this machine has no route to the internet" if local else "no neutral host answered"
        return f"The line is down: {cause} ({seen}). Nothing was measured; try again when it is up."


async def check_line(targets: Targets, bench: Bench) -> LineState:
    """Reach a domestic and a foreign neutral host, so that a dead line is known as one.

    Args:
        targets: names the controls.
        bench: everything from outside.

    Returns:
        What each answered; the attempts are stored as records of the service ``line``.
    """
    session = bench.recorder.new_id()
    failures: dict[str, str | None] = {}
    for number, (scope, control) in enumerate(line_checks(targets)):
        endpoint = str(parse_url(control.url or ""))
        started_s = bench.recorder.wall()
        servers = await servers_of(bench.network, endpoint)
        async with bench.limits.visit(addresses_of(servers, endpoint)):
            why, body = await reach(endpoint, bench.network)
        trial = Trial(
            session=session,
            service="line",
            kind="reach",
            round=number,
            arm="control",
            control_kind=None,
            endpoint=endpoint,
        )
        outcome = Outcome(started_s=started_s, failure=why, reach=body)
        bench.recorder.record(trial, outcome)
        failures[scope] = why
    return LineState(failures)


async def carry_out_plan(
    plan: Plan,
    targets: Targets,
    bench: Bench,
    ended: Callable[[Session, list[list[Measurement]]], None],
) -> Status:
    """Run every session; they share the line in the plan's order.

    A session that found something is followed by others that tell a name from a server.

    Args:
        plan: the sessions.
        targets: for the controls of what follows.
        bench: everything from outside.
        ended: told of each session as it ends, with its records and those of what followed it.

    Returns:
        ``DONE`` when each session measured something, ``PARTIAL`` when some did not, ``FAILED``
        when none did.
    """

    async def one(order: int, session: Session) -> bool:
        trials = await carry_out(session, order, bench)
        found = [trials] if trials else []
        if trials and bench.judge.suspects(trials):
            found += await _confirm(session, targets, order, bench)
        ended(session, found)
        return bool(trials)

    tasks = [asyncio.create_task(one(i, session)) for i, session in enumerate(plan.sessions)]
    try:
        measured = await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    if all(measured):
        return Status.DONE
    return Status.PARTIAL if any(measured) else Status.FAILED


async def _confirm(
    session: Session, targets: Targets, order: int, bench: Bench
) -> list[list[Measurement]]:
    """Look again with better controls, until one of them finds the same."""
    found = []
    for further in confirmations(session, targets):
        if trials := await carry_out(further, order, bench):
            found.append(trials)
            if bench.judge.suspects(trials):
                break
    return found
