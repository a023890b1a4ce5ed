"""One run: every session of the plan, and what follows those that found something."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from probe.bench import Bench
from probe.confirm import confirmations
from probe.exits import Status
from probe.measurement import Measurement
from probe.plan import Plan
from probe.session import carry_out
from probe.session_kinds import Session
from probe.targets import Targets


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
            found += await _confirm(session, targets, trials, order, bench)
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
    session: Session, targets: Targets, seen: list[Measurement], order: int, bench: Bench
) -> list[list[Measurement]]:
    """Look again with better controls, until one of them finds the same."""
    found = []
    for further in confirmations(session, targets, seen):
        if trials := await carry_out(further, order, bench):
            found.append(trials)
            if bench.judge.suspects(trials):
                break
    return found
