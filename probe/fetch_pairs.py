"""Fetch trials: a pair of them, or one transfer over several connections at once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final, NamedTuple

from msgspec import structs

from probe.bench import Bench, Progress, Running
from probe.fetch import FetchOrder, FetchOutcome, fetch
from probe.fetch.capture import Capture
from probe.limits import CONNECTIONS_PER_ADDRESS
from probe.measurement import Arm, Fetch, Host, Measurement
from probe.plan import FETCH_OVERHEAD, FetchArm, FetchSession, origin
from probe.recorder import Outcome, Trial
from probe.trial import addresses_of, servers_of, shuffled_arms, trial, turn, written

#: Handshakes and certificates of a fetch, both directions.
_HANDSHAKE_BYTES: Final = 8_000
#: A transfer that is to tell more about a slow target may take this many times as long.
_LONGER: Final = 2.0
#: Connections at once that tell a shared limiter from a single one.
_DOSES: Final = (2, 4)


class _Made(NamedTuple):
    """Where a trial belongs, when it began, and what saw its packets."""

    running: Running
    place: Trial
    started_s: float
    capture: Capture | None


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
    servers = await servers_of(bench.network, origin(plan.target.url))
    spread = [written(server) for server in servers for _ in range(CONNECTIONS_PER_ADDRESS)]
    chosen = spread[: max(dose for dose in (0, *_DOSES) if dose <= len(spread))]
    order = structs.replace(_order(plan, plan.target), rtt_beside=False)
    async with (
        turn(running, addresses_of(servers, plan.target.url), bench),
        bench.evidence.watch() as capture,
    ):
        started_s = bench.recorder.wall()
        outcomes = await asyncio.gather(
            *(fetch(structs.replace(order, address=at), bench.network) for at in chosen)
        )
    place = trial(running, "target", number, plan.target.url)
    made = _Made(running, place, started_s, capture)
    return [_record(made, outcome, bench, parallel=len(chosen)) for outcome in outcomes]


def goodput_bps(fetch: Fetch) -> float:
    """Return body bits per second from request to end; 0 when nothing came."""
    if fetch.duration_s is None or fetch.request_t_s is None:
        return 0.0
    spent_s = fetch.duration_s - fetch.request_t_s
    return 8 * fetch.body_bytes / spent_s if spent_s > 0 else 0.0


async def _fetch_arm(
    running: Running, plan: FetchSession, arm: Arm, number: int, bench: Bench
) -> Measurement:
    side = plan.target if arm == "target" else plan.control
    servers = await servers_of(bench.network, origin(side.url))
    order = _order(plan, side)
    if plan.control_kind in ("A", "B") and servers:
        order = structs.replace(order, address=written(min(servers)))  # both arms: one server
    async with (
        turn(running, addresses_of(servers, side.url), bench),
        bench.evidence.watch() as capture,
    ):
        started_s = bench.recorder.wall()
        watch = _watch(running, plan, arm, number, bench)
        outcome = await fetch(order, bench.network, watch=watch)
    bench.line.carried(goodput_bps(outcome.fetch))
    place = trial(running, arm, number, side.url)
    return _record(_Made(running, place, started_s, capture), outcome, bench)


def _order(plan: FetchSession, side: FetchArm) -> FetchOrder:
    return FetchOrder(
        url=side.url,
        http=side.http,
        limit_s=plan.limit_s,
        limit_bytes=plan.limit_bytes,
        sni=side.sni,
        check_certificate=side.sni is None,
    )


def _watch(
    running: Running, plan: FetchSession, arm: Arm, number: int, bench: Bench
) -> Callable[[float, int], bool]:
    """Tell line and terminal how a transfer is going, and end it when its outcome is settled."""
    speeds = [goodput_bps(t.fetch) for t in running.trials if t.arm == "control" and t.fetch]
    control_bps = min(speeds, default=0.0)

    def watch(t_s: float, size_bytes: int) -> bool:
        running.hold.saw(t_s, size_bytes)
        rate_bps = 8 * size_bytes / t_s if t_s > 0 else 0.0
        bench.tell(Progress(plan.service, "fetch", arm, number, rate_bps))
        return (
            arm == "target"
            and control_bps > 0
            and bench.judge.settled(size_bytes, t_s, control_bps, plan.limit_bytes)
        )

    return watch


def _record(made: _Made, outcome: FetchOutcome, bench: Bench, *, parallel: int = 1) -> Measurement:
    bench.limits.spend(int(outcome.fetch.body_bytes * FETCH_OVERHEAD) + _HANDSHAKE_BYTES)
    overlapped = made.running.hold.overlapped
    body = structs.replace(outcome.fetch, overlapped=overlapped, parallel=parallel)
    host = Host(loop_lag_s=outcome.loop_lag_s)
    record = bench.recorder.record(
        made.place,
        Outcome(started_s=made.started_s, failure=outcome.failure, fetch=body, host=host),
    )
    bench.evidence.keep(made.capture, record)
    return record
