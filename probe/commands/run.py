"""``probe run``: measure the services of a targets file, once or again and again."""

from __future__ import annotations

import random
import time
from datetime import UTC, datetime
from typing import Any, Final

import click
import msgspec

from probe.bench import Judge
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
    unknown_name,
    yes_option,
)
from probe.consent import ask_or_require
from probe.execute import Options, execute
from probe.exits import Status, UsageError
from probe.fetch.capture import check_rights
from probe.network import Network
from probe.plan import Plan, all_hosts, make_plan
from probe.services import CALL_PORTS, FarEnd, Targets
from probe.ui import Emitter, Human, Json, cost
from probe.whereabouts import find_vantage

#: What is measured unless --kinds says otherwise; uploads only where they are asked for.
USUAL: Final = ("fetch", "call", "reach")
KINDS: Final = (*USUAL, "upload")
#: A script that waits for a finding is told of it before it is told that something was left out.
_COUNTED: Final = (Status.DONE, Status.PARTIAL)
#: An unattended probe never asks on the hour: each pause is this share longer or shorter.
_JITTER: Final = 0.2


@click.command()
@targets_option
@option("--only", type=Names(), default=(), metavar="NAME,..", help="Only these services.")
@option(
    "--kinds",
    type=Names(KINDS),
    default=USUAL,
    metavar="KIND,..",
    help="Only these kinds of trial: fetch, call, reach, upload (needs a far end).",
)
@data_option
@option(
    "--every",
    type=Span(),
    default=None,
    metavar="6h",
    help="Measure again and again, about this far apart.",
)
@budget_option
@option("--far-end", type=WebAddress(), default=None, metavar="URL", help="Use this far end.")
@connect_to_option
@option("--json", "as_json", is_flag=True, help="Print one JSON object per finding.")
@yes_option
@option("--dry-run", is_flag=True, help="Say what would be contacted and what it costs.")
@option(
    "--exit-on-finding",
    is_flag=True,
    help="End with status 5 once something was found, even if another part was not measured.",
)
@option("--seed", type=int, default=None, help="Repeat the order of an earlier run.")
@option(
    "--pcap",
    is_flag=True,
    help="Keep each fetch's packets beside its record; needs the right to raw sockets (NET_RAW).",
)
@option("--quiet", "-q", is_flag=True, help="Print results only.")
@option("--verbose", "-v", is_flag=True, help="Say what each trial is doing.")
@click.pass_obj
def run(judge: Judge, /, **given: Any) -> int:
    """Measure the services of a targets file.

    Each service is measured beside controls on the same line, in random order, until the answer
    is clear. What was measured is kept under --data; nothing is sent anywhere.
    """
    options, emitter = _prepare(given)
    if given["dry_run"]:
        _describe(options)
        return Status.DONE
    ask_or_require(yes=given["yes"])
    while True:
        ended = execute(options, judge, emitter)
        emitter.end(ended, options.data)
        if given["exit_on_finding"] and ended.found and ended.status in _COUNTED:
            return Status.FINDING
        if given["every"] is None or ended.status is Status.INTERRUPTED:
            return ended.status
        _pause(given["every"], emitter)
        options = _again(options, given)


def _prepare(given: dict[str, Any]) -> tuple[Options, Emitter]:
    """Check everything a person can get wrong, before anything is measured."""
    targets = load_targets(given["targets_file"])
    emitter: Emitter = (
        Json(say=_stderr, write=click.echo)
        if given["as_json"]
        else Human(verbose=given["verbose"], quiet=given["quiet"])
    )
    if targets.expired(datetime.now(UTC).date()) and not given["quiet"]:
        emitter.say(
            f"Warning: the targets were to be reviewed by {targets.expires}; dead endpoints look "
            "like blocked ones. Get a newer file, or check it with: probe targets check --live"
        )
    if given["far_end"]:
        targets = _with_far_end(targets, given["far_end"])
    for name in given["only"]:
        if name not in targets.services:
            sentence = unknown_name(name, tuple(targets.services))
            raise UsageError(f"--only: {sentence}")
    network = Network.from_options(given["connect_to"])
    if given["pcap"]:
        check_rights()
    seed = random.getrandbits(32) if given["seed"] is None else given["seed"]
    options = Options(
        targets=targets,
        plan=_plan(targets, seed, given),
        data=given["data"],
        budget_bytes=given["budget"],
        network=network,
        seed=seed,
        whereabouts=lambda chosen, limits: find_vantage(chosen, network, limits),
        packets=given["pcap"],
    )
    return options, emitter


def _with_far_end(targets: Targets, url: str) -> Targets:
    known = targets.far_end or FarEnd(url=url, calls=CALL_PORTS)
    return msgspec.structs.replace(targets, far_end=msgspec.structs.replace(known, url=url))


def _plan(targets: Targets, seed: int, given: dict[str, Any]) -> Plan:
    rng = random.Random(seed)  # noqa: S311 - an order, not a secret
    plan = make_plan(targets, rng, only=given["only"], kinds=given["kinds"])
    if not plan.sessions:
        raise UsageError(
            f"found nothing to measure for --kinds {','.join(given['kinds'])}, expected a service "
            "with such endpoints: see probe targets list"
        )
    return plan


def _again(options: Options, given: dict[str, Any]) -> Options:
    seed = options.seed + 1
    plan = _plan(options.targets, seed, given)
    return msgspec.structs.replace(options, seed=seed, plan=plan)


def _describe(options: Options) -> None:
    click.echo(f"{cost(options.plan, options.budget_bytes)}. Hosts that would be contacted:")
    for host in all_hosts(options.plan, options.targets):
        click.echo(f"  {host}")


def _pause(every_s: float, emitter: Emitter) -> None:
    pause_s = every_s * random.uniform(1 - _JITTER, 1 + _JITTER)  # noqa: S311 - not a secret
    emitter.say(f"Next run in about {pause_s / 3600:.1f} h.")
    time.sleep(pause_s)


def _stderr(sentence: str) -> None:
    click.echo(sentence, err=True)
