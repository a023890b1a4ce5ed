"""One pair of trials: the target and its control, on fresh sockets, in random order."""

from __future__ import annotations

from typing import Final

from msgspec import structs

from probe.bench import Bench, Progress, Running
from probe.call import CallOrder, CallOutcome, call_pair
from probe.fetch import FetchOrder, fetch, reach
from probe.limits import RELAY_FLOW_S, RELAY_PROFILE
from probe.measurement import Arm, Fetch, Host, Measurement
from probe.network import Network
from probe.plan import (
    FETCH_OVERHEAD,
    REACH_BYTES,
    CallSession,
    FetchArm,
    FetchSession,
    ReachSession,
    RelaySession,
    origin,
)
from probe.recorder import Outcome, Trial

#: Handshakes and certificates of a fetch, both directions.
_HANDSHAKE_BYTES: Final = 8_000
#: A call packet: its usual payload, and its IPv4 and UDP headers.
_CALL_PAYLOAD_BYTES: Final = 200
_UDP_HEADER_BYTES: Final = 28


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
            return [
                await _fetch(running, plan, arm, number, bench) for arm in _shuffled_arms(bench)
            ]
        case ReachSession() as plan:
            return [
                await _reach(running, plan, arm, number, bench) for arm in _shuffled_arms(bench)
            ]
        case CallSession() as plan:
            return await _far_end_pair(running, plan, number, bench)
        case RelaySession() as plan:
            return await _relay_pair(running, plan, number, bench)


def goodput_bps(fetch: Fetch) -> float:
    """Return body bits per second from request to end; 0 when nothing came."""
    if fetch.duration_s is None or fetch.request_t_s is None:
        return 0.0
    spent_s = fetch.duration_s - fetch.request_t_s
    return 8 * fetch.body_bytes / spent_s if spent_s > 0 else 0.0


def _shuffled_arms(bench: Bench) -> list[Arm]:
    arms: list[Arm] = ["target", "control"]
    bench.rng.shuffle(arms)
    return arms


async def _addresses(network: Network, endpoint: str) -> list[str]:
    """Every address behind ``host:port``, so that visits to one server never overlap."""
    host, _, port = endpoint.rpartition(":")
    found, _ = await network.resolve(host, int(port))
    return [address for address, _ in found] or [host]


async def _fetch(
    running: Running, plan: FetchSession, arm: Arm, number: int, bench: Bench
) -> Measurement:
    side: FetchArm = plan.target if arm == "target" else plan.control
    control_bps = min(
        (goodput_bps(t.fetch) for t in running.trials if t.arm == "control" and t.fetch),
        default=0.0,
    )

    def watch(t_s: float, size_bytes: int) -> bool:
        running.hold.saw(t_s, size_bytes)
        rate_bps = 8 * size_bytes / t_s if t_s > 0 else 0.0
        bench.tell(Progress(plan.service, "fetch", arm, number, rate_bps))
        return (
            arm == "target"
            and control_bps > 0
            and bench.judge.settled(size_bytes, t_s, control_bps, plan.limit_bytes)
        )

    order = FetchOrder(
        url=side.url, http=side.http, limit_s=plan.limit_s, limit_bytes=plan.limit_bytes
    )
    addresses = await _addresses(bench.network, origin(side.url))
    async with bench.limits.visit(addresses):
        await running.hold.trial()
        started_s = bench.recorder.wall()
        outcome = await fetch(order, bench.network, watch=watch)
    bench.limits.spend(int(outcome.fetch.body_bytes * FETCH_OVERHEAD) + _HANDSHAKE_BYTES)
    bench.line.carried(goodput_bps(outcome.fetch))
    return bench.recorder.record(
        _trial(running, arm, number, side.url),
        Outcome(
            started_s=started_s,
            failure=outcome.failure,
            fetch=structs.replace(outcome.fetch, overlapped=running.hold.overlapped),
            host=Host(loop_lag_s=outcome.loop_lag_s),
        ),
    )


async def _reach(
    running: Running, plan: ReachSession, arm: Arm, number: int, bench: Bench
) -> Measurement:
    endpoint = plan.addresses[number] if arm == "target" else plan.control
    bench.tell(Progress(plan.service, "reach", arm, number))
    async with bench.limits.visit(await _addresses(bench.network, endpoint)):
        await running.hold.trial()
        started_s = bench.recorder.wall()
        failure, body = await reach(endpoint, bench.network)
    bench.limits.spend(REACH_BYTES)
    return bench.recorder.record(
        _trial(running, arm, number, endpoint),
        Outcome(started_s=started_s, failure=failure, reach=body),
    )


async def _far_end_pair(
    running: Running, plan: CallSession, number: int, bench: Bench
) -> list[Measurement]:
    port = plan.ports[number % len(plan.ports)]
    seed = bench.rng.getrandbits(32)  # one for both: the same sizes at the same times

    def order(shape: str) -> CallOrder:
        return CallOrder(
            peer="far_end",
            host=plan.host,
            port=port,
            profile=plan.profile,
            shape=shape,
            duration_s=plan.duration_s,
            seed=seed,
        )

    return await _flows(running, (order(plan.shape), order("random")), number, bench)


async def _relay_pair(
    running: Running, plan: RelaySession, number: int, bench: Bench
) -> list[Measurement]:
    relays = plan.pairs[number]
    claims = [bench.limits.claim_relay(relay) for relay in relays]
    if not all(claims):
        return []

    def order(relay: str) -> CallOrder:
        host, _, port = relay.rpartition(":")
        return CallOrder(
            peer="relay",
            host=host,
            port=int(port),
            profile=RELAY_PROFILE,
            duration_s=RELAY_FLOW_S,
            seed=bench.rng.getrandbits(32),
        )

    return await _flows(running, (order(relays[0]), order(relays[1])), number, bench)


async def _flows(
    running: Running, orders: tuple[CallOrder, CallOrder], number: int, bench: Bench
) -> list[Measurement]:
    """Run both flows at once; which one starts first alternates from pair to pair."""
    await running.hold.trial()
    bench.tell(Progress(running.plan.service, "call", "target", number))
    started_s = bench.recorder.wall()
    target, control = orders
    if number % 2:
        control_out, target_out = await call_pair(control, target, bench.network)
    else:
        target_out, control_out = await call_pair(target, control, bench.network)
    flows: tuple[tuple[Arm, CallOrder, CallOutcome], ...] = (
        ("target", target, target_out),
        ("control", control, control_out),
    )
    bench.limits.spend(sum(_flow_bytes(outcome) for _, _, outcome in flows))
    return [
        bench.recorder.record(
            _trial(running, arm, number, f"{order.host}:{order.port}/udp"),
            _call_outcome(outcome, started_s),
        )
        for arm, order, outcome in flows
    ]


def _flow_bytes(outcome: CallOutcome) -> int:
    packets = outcome.call.sent + outcome.call.received
    return packets * (_CALL_PAYLOAD_BYTES + _UDP_HEADER_BYTES)


def _call_outcome(outcome: CallOutcome, started_s: float) -> Outcome:
    return Outcome(
        started_s=started_s,
        failure=outcome.failure,
        call=outcome.call,
        host=Host(
            loop_lag_s=outcome.loop_lag_s,
            stamps=outcome.stamps,
            clock_step_s=outcome.clock_step_s,
        ),
    )


def _trial(running: Running, arm: Arm, number: int, endpoint: str) -> Trial:
    return Trial(
        session=running.id,
        service=running.plan.service,
        kind=running.plan.kind,
        round=number,
        arm=arm,
        control_kind=running.plan.control_kind,
        endpoint=endpoint,
    )
