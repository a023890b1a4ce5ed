"""Pairs of fetches, and what tells more about a target that was found slow."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from msgspec import structs

from probe.bench import Bench, Progress, Running
from probe.endpoints import HostPort, parse_url
from probe.fetch import FetchOrder, FetchOutcome, fetch
from probe.fetch.freeze import freeze_by_bytes, freeze_by_packets
from probe.fetch.replay import replay
from probe.fetch.sender import fetch_with_sender
from probe.fetch_trial import Made, Work, fetch_trial, goodput_bps, order_of, record_fetch
from probe.limits import CONNECTIONS_PER_ADDRESS
from probe.measurement import Arm, Fetch, Measurement
from probe.network import Network
from probe.recorder import Trial
from probe.session_kinds import FetchSession
from probe.trial import addresses_of, servers_of, shuffled_arms, trial, turn

#: A transfer that is to tell more about a slow target may take this many times as long.
_LONGER: Final = 2.0
#: Connections at once that tell a shared limiter from a single one.
_DOSES: Final = (2, 4)
#: Freezes are not on every connection, so each test is made on a fresh one again.
_FREEZE_REPEATS: Final = 2
_FREEZE_TESTS: Final = (freeze_by_bytes, freeze_by_packets)

_Test = Callable[[FetchOrder, Network], Awaitable[FetchOutcome]]


async def fetch_pair(
    running: Running, plan: FetchSession, number: int, bench: Bench
) -> list[Measurement]:
    """Fetch the target's object and the control's, in random order.

    Args:
        running: the session under way.
        plan: its plan.
        number: which pair, from 0.
        bench: everything from outside.

    Returns:
        The two records.
    """
    return [await _fetch_arm(running, plan, arm, number, bench) for arm in shuffled_arms(bench)]


async def longer_pair(
    running: Running, plan: FetchSession, number: int, bench: Bench
) -> list[Measurement]:
    """Fetch a pair with more time, when the pairs before were too short to tell how.

    Args:
        running: as for :func:`fetch_pair`; likewise the others.
        plan: its plan.
        number: which pair.
        bench: everything from outside.

    Returns:
        The two records.
    """
    return await fetch_pair(
        running, structs.replace(plan, limit_s=_LONGER * plan.limit_s), number, bench
    )


async def freeze_tests(
    running: Running, plan: FetchSession, number: int, bench: Bench
) -> list[Measurement]:
    """Push requests past the point where transfers stop: in many bytes, and in many packets.

    Args:
        running: as for :func:`fetch_pair`; likewise the others.
        plan: its plan.
        number: their common round.
        bench: everything from outside.

    Returns:
        A record each test, arm and repetition, with ``fetch.test`` set; they are no transfers.
    """
    return [
        await fetch_trial(
            running, plan, _place(running, plan, arm, number), bench, _pushing(test, bench)
        )
        for _ in range(_FREEZE_REPEATS)
        for test in _FREEZE_TESTS
        for arm in shuffled_arms(bench)
    ]


async def parallel_fetches(
    running: Running, plan: FetchSession, number: int, bench: Bench
) -> list[Measurement]:
    """Fetch the target's object over as many connections at once as politeness allows.

    A limiter that connections share gives them together what it gives one; random loss, or a
    limiter of single connections, does not.

    Args:
        running: as for :func:`fetch_pair`; likewise the others.
        plan: its plan.
        number: their common round.
        bench: everything from outside.

    Returns:
        One record a connection, each with ``fetch.parallel`` set to their number.
    """
    servers = await servers_of(bench.network, str(parse_url(plan.target.url)))
    spread = [str(HostPort(*server)) for server in servers for _ in range(CONNECTIONS_PER_ADDRESS)]
    chosen = spread[: max(dose for dose in (0, *_DOSES) if dose <= len(spread))]
    order = structs.replace(order_of(plan, plan.target), rtt_beside=False)
    async with (
        turn(running, addresses_of(servers, plan.target.url), bench),
        bench.evidence.watch() as capture,
    ):
        started_s = bench.recorder.wall()
        outcomes = await asyncio.gather(
            *(fetch(structs.replace(order, address=at), bench.network) for at in chosen)
        )
    made = Made(running, _place(running, plan, "target", number), started_s, capture)
    return [record_fetch(made, outcome, bench, parallel=len(chosen)) for outcome in outcomes]


async def _fetch_arm(
    running: Running, plan: FetchSession, arm: Arm, number: int, bench: Bench
) -> Measurement:
    watch = _watch(running, plan, arm, number, bench)
    play = (plan.target if arm == "target" else plan.control).play
    from_far_end = plan.control_kind == "B" and plan.direction == "down"

    async def work(order: FetchOrder) -> FetchOutcome:
        if play:
            return await replay(order, bench.network, inverted=play == "inverted", watch=watch)
        carry_out = fetch_with_sender if from_far_end else fetch
        return await carry_out(order, bench.network, watch=watch)

    place = _place(running, plan, arm, number)
    record = await fetch_trial(running, plan, place, bench, work)
    assert record.fetch is not None
    bench.line.carried(goodput_bps(record.fetch))
    return record


def _place(running: Running, plan: FetchSession, arm: Arm, number: int) -> Trial:
    side = plan.target if arm == "target" else plan.control
    return trial(running, arm, number, side.url)


def _pushing(test: _Test, bench: Bench) -> Work:
    """Make a trial's work of a freeze test: HTTP/1.1, and nothing else on the way meanwhile."""
    return lambda order: test(
        structs.replace(order, http="http/1.1", rtt_beside=False), bench.network
    )


def _pushes(fetch: Fetch) -> bool:
    return fetch.test.startswith("freeze")


def _watch(
    running: Running, plan: FetchSession, arm: Arm, number: int, bench: Bench
) -> Callable[[float, int], bool]:
    """Tell line and terminal how a transfer is going, and end it when its outcome is settled."""
    controls = [t.fetch for t in running.trials if t.arm == "control" and t.fetch]
    speeds = [goodput_bps(control) for control in controls if not _pushes(control)]
    control_bps = min(speeds, default=0.0)

    def watch(t_s: float, size_bytes: int) -> bool:
        running.hold.saw(t_s, size_bytes)
        rate_bps = 8 * size_bytes / t_s if t_s > 0 else 0.0
        bench.tell(Progress(plan.service, plan.subject, arm, number, rate_bps))
        return (
            arm == "target"
            and control_bps > 0
            and bench.judge.settled(size_bytes, t_s, control_bps, plan.limit_bytes)
        )

    return watch
