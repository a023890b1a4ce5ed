"""Call trials: two flows at once, so that whatever hits the line hits both."""

from __future__ import annotations

import asyncio
from typing import Final

from msgspec import structs

from probe.bench import Bench, Progress, Running
from probe.call import CallOrder, CallOutcome, call_pair
from probe.call.order import WEBRTC, Turn
from probe.call.profiles import packets
from probe.endpoints import parse_turn
from probe.limits import RELAY_FLOW_S, RELAY_PROFILE
from probe.measurement import Arm, Check, Host, Measurement
from probe.messaging import ask_beside
from probe.network import Network
from probe.recorder import Outcome
from probe.session_kinds import CallSession, RelaySession
from probe.trial import keep, trial

#: A call packet: its usual payload, and its IPv4 and UDP headers.
_CALL_PAYLOAD_BYTES: Final = 200
_UDP_HEADER_BYTES: Final = 28


async def far_end_pair(
    running: Running, plan: CallSession, number: int, bench: Bench
) -> list[Measurement]:
    """Call the far end: the app's bytes beside random bytes.

    Args:
        running: the session under way.
        plan: its plan.
        number: which pair, from 0; the next port is used each time.
        bench: everything from outside.

    Returns:
        The two records.
    """
    port = plan.ports[number % len(plan.ports)]
    seed = bench.rng.getrandbits(32)  # one for both: the same sizes at the same times

    def order(shape: str) -> CallOrder:
        return CallOrder(
            peer="far_end",
            host=plan.host,
            port=plan.web_port if shape == WEBRTC else port,
            profile=plan.profile,
            shape=shape,
            duration_s=plan.duration_s,
            seed=seed,
            turn=_turn(plan, bench.network) if shape == WEBRTC else None,
        )

    orders = order(plan.shape), order("random")
    if number:
        return await _flows(running, orders, number, bench)
    async with asyncio.TaskGroup() as group:
        asked = group.create_task(ask_beside(plan, bench))
        return await _flows(running, orders, number, bench, asked)


def _turn(plan: CallSession, network: Network) -> Turn | None:
    """Name the TURN server a session goes through, with the login for it."""
    if plan.turn is None:
        return None
    host, port = parse_turn(plan.turn)
    username, credential = network.turn_login or ("", "")
    return Turn(host=host, port=port, username=username, credential=credential)


async def relay_pair(
    running: Running, plan: RelaySession, number: int, bench: Bench
) -> list[Measurement]:
    """Send plain STUN at call cadence to a relay of the service and to a neutral one.

    Args:
        running: the session under way.
        plan: its plan.
        number: which pair of relays.
        bench: everything from outside.

    Returns:
        The two records; none when one of them was asked within the hour.
    """
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
    running: Running,
    orders: tuple[CallOrder, CallOrder],
    number: int,
    bench: Bench,
    asked: asyncio.Task[tuple[Check, ...]] | None = None,
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
    if asked is not None:
        call = structs.replace(target_out.call, messaging=await asked)
        target_out = structs.replace(target_out, call=call)
    flows: tuple[tuple[Arm, CallOrder, CallOutcome], ...] = (
        ("target", target, target_out),
        ("control", control, control_out),
    )
    return [
        keep(
            running,
            trial(running, arm, number, _endpoint(order)),
            call_outcome(outcome, started_s),
            flow_bytes(outcome),
            bench,
        )
        for arm, order, outcome in flows
    ]


def _endpoint(order: CallOrder) -> str:
    """Write what a flow goes to; of a relayed one, what it goes through."""
    place = order if order.turn is None else order.turn
    return f"{'' if order.turn is None else 'turn:'}{place.host}:{place.port}/udp"


def flow_bytes(outcome: CallOutcome) -> int:
    """Count what a flow moved, both ways together, headers included."""
    count = outcome.call.sent + outcome.call.received
    return count * (_CALL_PAYLOAD_BYTES + _UDP_HEADER_BYTES)


def most_bytes(profile: str, duration_s: float) -> int:
    """Bound what a flow can move, both ways together, for the budget beforehand."""
    return 2 * packets(profile, duration_s) * (_CALL_PAYLOAD_BYTES + _UDP_HEADER_BYTES)


def call_outcome(outcome: CallOutcome, started_s: float) -> Outcome:
    """Put a flow into the recorder's terms."""
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
