"""``probe call``: two volunteers who share a code call each other, relayed and directly."""

from __future__ import annotations

import asyncio
import random
import time
from pathlib import Path
from typing import Any, Final

import click
import msgspec

from probe.call.order import MAX_DURATION_S, CallOutcome
from probe.call.peer import PeerOrder, PeerOutcome, Stage, Way, call_peer
from probe.call.profiles import INTERVAL_S
from probe.call.shapes import SHAPES
from probe.call_pairs import call_outcome, flow_bytes, most_bytes
from probe.commands.options import (
    Names,
    Span,
    WebAddress,
    budget_option,
    connect_to_option,
    data_option,
    load_targets,
    option,
    targets_option,
    yes_option,
)
from probe.consent import ask_or_require
from probe.endpoints import parse_url
from probe.exits import Status, UsageError
from probe.failure import LOCAL, REFUSED
from probe.ids import uuid7
from probe.limits import Limits
from probe.measurement import Arm
from probe.network import Network
from probe.recorder import Recorder, Trial
from probe.services import CALL_PORTS
from probe.signals import cancel_on_signals
from probe.store import RunFile
from probe.whereabouts import find_vantage

#: In the order they are measured; the direct way is the one of interest, the other its control.
_WAYS: Final[dict[Way, Arm]] = {"relayed": "control", "direct": "target"}
_NOTICE: Final = (
    "The far end sees your address, and on the direct way so does the other volunteer, as in a "
    "call by any app; --ways relayed hides it from them. It is stored nowhere."
)
_USED: Final = "this code was used before, or by others: agree on another one"
#: What to say of a way that came so far and no further.
_ENDED: Final[dict[Stage, str]] = {
    "far_end": "no answer from the far end ({why}): check --far-end and --calls",
    "meeting": "the other probe did not come ({why}): start both within --patience, same CODE",
    "path": "no packet got through between the two ({why}): a NAT or a filter is in the way",
    "call": "the call was cut short ({why})",
}


class _Options(msgspec.Struct, frozen=True, kw_only=True):
    order: PeerOrder
    ways: tuple[Way, ...]
    data: Path
    budget_bytes: int
    network: Network
    targets_file: Path | None


@click.command()
@click.argument("code")
@option(
    "--far-end",
    type=WebAddress(),
    required=True,
    metavar="URL",
    help="The far end where both meet.",
)
@option(
    "--calls",
    "port",
    type=click.IntRange(1, 65_535),
    default=CALL_PORTS[0],
    help="Its UDP port for calls; both take the same one.",
)
@option(
    "--ways",
    type=Names(tuple(_WAYS)),
    default=tuple(_WAYS),
    metavar="WAY,..",
    help="relayed through the far end, direct, or both; both volunteers give the same.",
)
@option("--profile", type=click.Choice(tuple(INTERVAL_S)), default="voip-60", help="Cadence.")
@option("--shape", type=click.Choice(tuple(SHAPES)), default="random", help="Whose bytes.")
@option("--duration", type=Span(), default=20.0, metavar="20s", help="Length of each call.")
@option("--patience", type=Span(), default=120.0, metavar="2min", help="Wait for the other one.")
@targets_option
@data_option
@budget_option
@connect_to_option
@yes_option
def call(**given: Any) -> int:
    """Call another volunteer who runs the same command with the same CODE.

    The code is good for one call and three minutes. Whoever comes second calls and keeps the
    record; the other one's probe sends every packet back.
    """
    options = _prepare(given)
    ask_or_require(yes=given["yes"])
    click.echo(_NOTICE, err=True)
    return asyncio.run(_call(options))


def _prepare(given: dict[str, Any]) -> _Options:
    """Check everything a person can get wrong."""
    if given["duration"] > MAX_DURATION_S:
        raise UsageError(
            f"--duration: found {given['duration']:g} s, expected up to {MAX_DURATION_S:g} s"
        )
    order = PeerOrder(
        code=given["code"],
        host=parse_url(given["far_end"]).host,
        port=given["port"],
        patience_s=given["patience"],
        profile=given["profile"],
        shape=given["shape"],
        duration_s=given["duration"],
        seed=random.getrandbits(32),
    )
    return _Options(
        order=order,
        ways=tuple(way for way in _WAYS if way in given["ways"]),
        data=given["data"],
        budget_bytes=given["budget"],
        network=Network.from_options(given["connect_to"]),
        targets_file=given["targets_file"],
    )


async def _call(options: _Options) -> Status:
    cancel_on_signals()
    limits = Limits(options.data / "limits.json", options.budget_bytes, time.monotonic, time.time)
    run = uuid7(time.time())
    with RunFile(options.data, run) as file:
        try:
            vantage = await find_vantage(
                load_targets(options.targets_file), options.network, limits
            )
            recorder = Recorder(file, run, vantage, time.time)
            status = await _both_ways(options, limits, recorder)
        except asyncio.CancelledError:
            status = Status.INTERRUPTED
        kept = file.finish()
    if kept:
        click.echo(f"Kept in {options.data}; see it with: probe show {run}")
    return status


async def _both_ways(options: _Options, limits: Limits, recorder: Recorder) -> Status:
    session = recorder.new_id()
    done: list[PeerOutcome] = []
    for way in options.ways:
        if not limits.allows(most_bytes(options.order.profile, options.order.duration_s)):
            click.echo(f"{way}: the byte budget is used up: raise --budget, or try tomorrow")
            break
        started_s = recorder.wall()
        outcome = await call_peer(options.order, options.network, way)
        done.append(outcome)
        click.echo(f"{way}: {_sentence(outcome)}")
        if outcome.outcome is None:
            if outcome.role == "answer":  # it sends back what it gets, and counts neither
                limits.spend(most_bytes(options.order.profile, options.order.duration_s))
            continue
        limits.spend(flow_bytes(outcome.outcome))
        trial = Trial(
            session=session,
            service="peer",
            kind="call",
            round=0,
            arm=_WAYS[way],
            control_kind=None,
            endpoint=f"peer/{way}",
        )
        recorder.record(trial, call_outcome(outcome.outcome, started_s))
    return _status(done, len(options.ways))


def _status(done: list[PeerOutcome], wanted: int) -> Status:
    """Both ways, one, none, or no line at all."""
    came = sum(outcome.failure is None for outcome in done)
    if came:
        return Status.DONE if came == wanted else Status.PARTIAL
    local = any(outcome.failure in LOCAL for outcome in done)
    return Status.LINE_DOWN if local else Status.FAILED


def _sentence(outcome: PeerOutcome) -> str:
    """Say how one way ended, in one line."""
    if outcome.failure is not None:
        used = outcome.stage == "meeting" and outcome.failure == REFUSED
        return _USED if used else _ENDED[outcome.stage].format(why=outcome.failure)
    if outcome.outcome is None:
        return "answered; the other probe called and has the record"
    return _flow(outcome.outcome)


def _flow(outcome: CallOutcome) -> str:
    flow = outcome.call
    return (
        f"{flow.received} of {flow.sent} packets came back; lost {flow.lost_up} on the way there, "
        f"{flow.lost_down} on the way back, {flow.lost} on either"
    )
