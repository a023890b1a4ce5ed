"""What every kind of trial needs: its place in the run, the order of arms, whom it visits."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from msgspec.structs import replace

from probe.bench import Bench, Running
from probe.measurement import Arm, Measurement
from probe.network import Address, Network
from probe.recorder import Outcome, Trial


def trial(running: Running, arm: Arm, number: int, endpoint: str) -> Trial:
    """Name a trial's place in the run.

    Args:
        running: the session under way.
        arm: target or control.
        number: the round.
        endpoint: what is probed.

    Returns:
        The place, for the recorder.
    """
    return Trial(
        session=running.id,
        service=running.plan.service,
        kind=running.plan.kind,
        round=number,
        arm=arm,
        control_kind=running.plan.control_kind,
        endpoint=endpoint,
    )


@asynccontextmanager
async def turn(running: Running, addresses: Sequence[str], bench: Bench) -> AsyncIterator[None]:
    """Wait for the line, then for the servers, and have both for one trial.

    Never the other way round: a session that held a server and waited for the line would stop
    the session that holds the line and waits for that server.

    Args:
        running: the session under way.
        addresses: whom the trial visits.
        bench: everything from outside.

    Yields:
        When the trial may begin.
    """
    await running.hold.trial()
    async with bench.limits.visit(addresses):
        yield


def keep(
    running: Running, place: Trial, outcome: Outcome, moved_bytes: int, bench: Bench
) -> Measurement:
    """Count what a trial moved and store its record.

    Args:
        running: the session under way.
        place: of the trial.
        outcome: what came of it.
        moved_bytes: both directions together.
        bench: everything from outside.

    Returns:
        The record; it says whether the budget leaves room for another pair of the session.
    """
    bench.limits.spend(moved_bytes)
    out_of_budget = not bench.limits.allows(running.plan.pair_bytes)
    return bench.recorder.record(place, replace(outcome, out_of_budget=out_of_budget))


def shuffled_arms(bench: Bench) -> list[Arm]:
    """Put the arms in random order, so that a drift of the line favours neither."""
    arms: list[Arm] = ["target", "control"]
    bench.rng.shuffle(arms)
    return arms


async def servers_of(network: Network, endpoint: str) -> list[Address]:
    """Find every server behind an endpoint.

    Args:
        network: resolves the name.
        endpoint: ``host:port``.

    Returns:
        (address, port) pairs; none when the name has no answer.
    """
    host, _, port = endpoint.rpartition(":")
    found, _ = await network.resolve(host.strip("[]"), int(port))
    return list(found)


def addresses_of(servers: Sequence[Address], otherwise: str) -> list[str]:
    """List whom a trial visits, so that visits to one address never overlap.

    Args:
        servers: what :func:`servers_of` found.
        otherwise: what to call a server without an address.

    Returns:
        The addresses.
    """
    return [address for address, _ in servers] or [otherwise]
