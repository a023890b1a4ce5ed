"""``probe targets``: check a targets file, or list what it holds."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime
from pathlib import Path

import click

from probe.commands.options import load_targets
from probe.consent import ask_or_require
from probe.exits import Status
from probe.limits import Visits
from probe.network import Network
from probe.targets import Service, Targets
from probe.targets_live import check_live

_FILE = click.argument("file", type=click.Path(path_type=Path), required=False)


@click.group()
def targets() -> None:
    """Check or list a targets file."""


@targets.command()
@_FILE
@click.option("--live", is_flag=True, help="Ask every endpoint; do this from a clean network.")
@click.option("--yes", is_flag=True, help="Give consent without being asked, for --live.")
def check(file: Path | None, *, live: bool, yes: bool) -> int:
    """Read a targets file and name every mistake in it."""
    found = load_targets(file)
    today = datetime.now(UTC).date()
    state = "expired" if found.expired(today) else "expires"
    click.echo(
        f"{len(found.services)} services, {len(found.controls)} controls, reviewed "
        f"{found.reviewed}, {state} {found.expires}: no mistakes."
    )
    if not live:
        return Status.DONE
    ask_or_require(yes=yes)
    return _ask_everyone(found)


def _ask_everyone(found: Targets) -> int:
    answers = asyncio.run(check_live(found, Network.from_options(), Visits(time.monotonic)))
    for answer in answers:
        click.echo(f"{answer.problem or 'ok'}: {answer.owner} {answer.endpoint}")
    bad = sum(answer.problem is not None for answer in answers)
    click.echo(f"{len(answers) - bad} of {len(answers)} endpoints are as the file says.")
    return Status.PARTIAL if bad else Status.DONE


@targets.command("list")
@_FILE
def list_targets(file: Path | None) -> None:
    """List services, what is probed of each, and its controls."""
    found = load_targets(file)
    for name, service in found.services.items():
        click.echo(f"{name:<12} {service.name:<16} {_parts(service)}")
        for endpoint in _endpoints(service):
            click.echo(f"{'':<12} {endpoint}")


def _parts(service: Service) -> str:
    counts = {"fetch": service.fetch, "reach": service.reach, "call": service.call}
    parts = [f"{len(items)} {kind}" for kind, items in counts.items() if items]
    return f"{', '.join(parts)}; against {', '.join(service.controls) or 'nothing'}"


def _endpoints(service: Service) -> list[str]:
    return [
        *(fetch.url for fetch in service.fetch),
        *(reach.address for reach in service.reach),
        *(relay for call in service.call for relay in call.relays),
    ]
