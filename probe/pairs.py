"""One pair of trials: the target and its control, on fresh sockets."""

from __future__ import annotations

from probe.bench import Bench, Progress, Running
from probe.call_pairs import far_end_pair, relay_pair
from probe.fetch import reach
from probe.fetch_pairs import fetch_pair
from probe.measurement import Arm, Measurement
from probe.recorder import Outcome
from probe.session_kinds import (
    REACH_BYTES,
    CallSession,
    FetchSession,
    ReachSession,
    RelaySession,
)
from probe.trial import addresses_of, keep, servers_of, shuffled_arms, trial, turn


async def carry_out_pair(running: Running, number: int, bench: Bench) -> list[Measurement]:
    """Run one pair and store its records.

    Args:
        running: the session under way.
        number: which pair, from 0.
        bench: everything from outside.

    Returns:
        The two records; none when politeness forbids the pair now.
    """
    match running.plan:
        case FetchSession() as plan:
            return await fetch_pair(running, plan, number, bench)
        case ReachSession() as plan:
            arms = shuffled_arms(bench)
            return [await _reach(running, plan, arm, number, bench) for arm in arms]
        case CallSession() as plan:
            return await far_end_pair(running, plan, number, bench)
        case RelaySession() as plan:
            return await relay_pair(running, plan, number, bench)


async def _reach(
    running: Running, plan: ReachSession, arm: Arm, number: int, bench: Bench
) -> Measurement:
    endpoint = plan.addresses[number % len(plan.addresses)] if arm == "target" else plan.control
    bench.tell(Progress(plan.service, "reach", arm, number))
    servers = await servers_of(bench.network, endpoint)
    async with turn(running, addresses_of(servers, endpoint), bench):
        started_s = bench.recorder.wall()
        failure, body = await reach(endpoint, bench.network, plan.limit_s)
    place = trial(running, arm, number, endpoint)
    outcome = Outcome(started_s=started_s, failure=failure, reach=body)
    return keep(running, place, outcome, REACH_BYTES, bench)
