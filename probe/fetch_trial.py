"""One fetch trial, whatever it does on its connection: its server, its turn, its record."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final, NamedTuple

from msgspec import structs

from probe.bench import Bench, Running
from probe.endpoints import HostPort, parse_url
from probe.fetch import FetchOrder, FetchOutcome
from probe.fetch.capture import Capture
from probe.measurement import Fetch, Host, Measurement
from probe.recorder import Outcome, Trial
from probe.session_kinds import FETCH_OVERHEAD, FetchArm, FetchSession
from probe.trial import addresses_of, keep, servers_of, turn

#: Handshakes and certificates of a fetch, both directions.
HANDSHAKE_BYTES: Final = 8_000

#: Does the trial's work once it is its turn.
Work = Callable[[FetchOrder], Awaitable[FetchOutcome]]


class Made(NamedTuple):
    """Where a trial belongs, when it began, and what saw its packets."""

    running: Running
    place: Trial
    started_s: float
    capture: Capture | None


async def fetch_trial(
    running: Running, plan: FetchSession, place: Trial, bench: Bench, work: Work
) -> Measurement:
    """Carry out one trial when it is its turn, and store its record.

    Args:
        running: the session under way.
        plan: its plan.
        place: of the trial; its arm says which side of the plan it is.
        bench: everything from outside.
        work: what to do with the arm's order.

    Returns:
        The record.
    """
    side = plan.target if place.arm == "target" else plan.control
    servers = await servers_of(bench.network, str(parse_url(side.url)))
    order = order_of(plan, side)
    if plan.control_kind in ("A", "B") and servers:
        # Both arms meet the same server.
        order = structs.replace(order, address=str(HostPort(*min(servers))))
    async with (
        turn(running, addresses_of(servers, side.url), bench),
        bench.evidence.watch() as capture,
    ):
        started_s = bench.recorder.wall()
        outcome = await work(order)
    return record_fetch(Made(running, place, started_s, capture), outcome, bench)


def order_of(plan: FetchSession, side: FetchArm) -> FetchOrder:
    """Write the order for one side of a pair.

    Args:
        plan: of the session.
        side: target or control.

    Returns:
        The order; another name than the URL's cannot have a fitting certificate.
    """
    order = FetchOrder(
        url=side.url,
        http=side.http,
        limit_s=plan.limit_s,
        limit_bytes=plan.limit_bytes,
        sni=side.sni,
        check_certificate=side.sni is None,
    )
    if plan.direction == "down":
        return order
    return structs.replace(order, method="POST", upload_bytes=plan.limit_bytes, limit_bytes=None)


def record_fetch(
    made: Made, outcome: FetchOutcome, bench: Bench, *, parallel: int = 1
) -> Measurement:
    """Store what a trial came to, and its packets where they are kept.

    Args:
        made: the trial.
        outcome: what came of it.
        bench: everything from outside.
        parallel: connections at once in this trial.

    Returns:
        The record.
    """
    moved_bytes = int(outcome.fetch.body_bytes * FETCH_OVERHEAD) + HANDSHAKE_BYTES
    overlapped = made.running.hold.overlapped
    kept = Outcome(
        started_s=made.started_s,
        failure=outcome.failure,
        fetch=structs.replace(outcome.fetch, overlapped=overlapped, parallel=parallel),
        host=Host(loop_lag_s=outcome.loop_lag_s),
    )
    record = keep(made.running, made.place, kept, moved_bytes, bench)
    bench.evidence.keep(made.capture, record)
    return record


def goodput_bps(fetch: Fetch) -> float:
    """Return body bits per second from request to end; 0 when nothing came."""
    if fetch.duration_s is None or fetch.request_t_s is None:
        return 0.0
    spent_s = fetch.duration_s - fetch.request_t_s
    return 8 * fetch.body_bytes / spent_s if spent_s > 0 else 0.0
