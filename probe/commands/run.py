"""``probe run``: measure the services of a targets file, once or again and again."""

from __future__ import annotations

import random
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import click
import msgspec

from probe.bench import Judge
from probe.commands.options import Names, Size, Span, data_option, option, unknown_name
from probe.consent import ask_or_require
from probe.endpoints import EndpointError, parse_url
from probe.execute import Options, execute
from probe.exits import CommandError, Status
from probe.fetch.capture import CaptureError, check_rights
from probe.limits import RUN_BYTES
from probe.network import Network, NetworkError
from probe.plan import Plan, all_hosts, make_plan
from probe.resources import configs
from probe.targets import FarEnd, Targets, TargetsError, load
from probe.ui import Emitter, Human, Json, cost
from probe.whereabouts import find_vantage

#: What is measured unless --kinds says otherwise; uploads only where they are asked for.
USUAL: Final = ("fetch", "call", "reach")
KINDS: Final = (*USUAL, "upload")
#: UDP ports a far end reflects calls on when only its URL is given.
FAR_END_CALLS: Final = (3478, 1400, 599)
#: A script that waits for a finding is told of it before it is told that something was left out.
_COUNTED: Final = (Status.DONE, Status.PARTIAL)
#: An unattended probe never asks on the hour: each pause is this share longer or shorter.
_JITTER: Final = 0.2


@click.command()
@option(
    "--targets",
    "targets_file",
    type=click.Path(path_type=Path),
    default=None,
    help="What to measure; the file that comes with the program when left out.",
)
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
@option(
    "--budget", type=Size(), default=RUN_BYTES, metavar="50MB", help="Most bytes a run may move."
)
@option("--far-end", default=None, metavar="URL", help="Use this far end.")
@option(
    "--connect-to",
    default="",
    metavar="HOST:PORT=ADDR:PORT,..",
    help="Reach a host elsewhere; for labs.",
)
@option("--json", "as_json", is_flag=True, help="Print one JSON object per finding.")
@option("--yes", is_flag=True, help="Give consent without being asked.")
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
            raise CommandError(f"--only: {sentence}", Status.USAGE)
    try:
        network = Network.from_options(given["connect_to"])
    except NetworkError as error:
        raise CommandError(str(error), Status.USAGE) from error
    if given["pcap"]:
        _check_packets()
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
    try:
        parse_url(url)
    except EndpointError as error:
        raise CommandError(f"--far-end: found {url!r}, expected {error}", Status.USAGE) from error
    known = targets.far_end or FarEnd(url=url, calls=FAR_END_CALLS)
    return msgspec.structs.replace(targets, far_end=msgspec.structs.replace(known, url=url))


def _check_packets() -> None:
    try:
        check_rights()
    except CaptureError as error:
        raise CommandError(str(error), Status.USAGE) from error


def _plan(targets: Targets, seed: int, given: dict[str, Any]) -> Plan:
    rng = random.Random(seed)  # noqa: S311 - an order, not a secret
    plan = make_plan(targets, rng, only=given["only"], kinds=given["kinds"])
    if not plan.sessions:
        raise CommandError(
            f"found nothing to measure for --kinds {','.join(given['kinds'])}, expected a service "
            "with such endpoints: see probe targets list",
            Status.USAGE,
        )
    return plan


def _again(options: Options, given: dict[str, Any]) -> Options:
    seed = options.seed + 1
    plan = _plan(options.targets, seed, given)
    return msgspec.structs.replace(options, seed=seed, plan=plan)


def load_targets(path: Path | None) -> Targets:
    """Read a targets file, or the one that comes with the program.

    Args:
        path: the file, or None.

    Returns:
        The validated targets.

    Raises:
        CommandError: the file cannot be used; every mistake is named.
    """
    try:
        return load(path or configs() / "targets.toml")
    except TargetsError as error:
        raise CommandError("\n".join(error.problems), Status.USAGE) from error


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
