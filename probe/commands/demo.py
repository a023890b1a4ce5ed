"""``probe demo``: the lab, a run in it, the report: nothing else needed."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path
from typing import Final, Protocol

import click

from probe.commands.options import option
from probe.exits import CommandError, Status
from probe.lab.loopback import LabError, LoopbackLab
from probe.lab.presets import find, load

_PRESET: Final = "demo"
#: Enough to see what is slowed beside what is not, within three minutes.
_SERVICES: Final = "twitter,youtube,whatsapp,telegram,signal"


class Reporting(Protocol):
    """The analysis, as far as the demo needs it."""

    def report(self, data: Path, folder: Path) -> int:
        """Write the report on a data folder, print its page's place, return the status."""


@click.command()
@option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("demo"),
    help="Folder for the demo's results and report.",
)
@option("--seed", type=int, default=1, help="Seed of the emulated line and censor.")
@click.pass_obj
def demo(reporting: Reporting, /, out: Path, seed: int) -> int:
    """Show the whole way once: emulate a censor, measure behind it, write the report.

    Nothing leaves this machine: services, far end and censor are processes on loopback.
    """
    click.echo(
        "An emulated line whose censor holds Twitter to 130 kbit/s and spoils WhatsApp calls.\n",
        err=True,
    )
    try:
        status = asyncio.run(_measure(out / "data", seed))
    except LabError as error:
        raise CommandError(str(error)) from error
    if status not in (Status.DONE, Status.PARTIAL):
        return status
    click.echo("\nReport:")
    return reporting.report(out / "data", out / "report") or status


async def _measure(data: Path, seed: int) -> int:
    """Run the probe as a person would, behind the lab."""
    async with LoopbackLab(find(_PRESET, load()), seed=seed) as lab:
        words = [
            *(sys.executable, "-m", "probe", "run", "--only", _SERVICES),
            *("--targets", str(lab.targets_file), "--data", str(data), "--seed", str(seed)),
        ]
        # Nothing leaves this machine, so this run needs no consent, and must not record any.
        environ = {**os.environ, **lab.environ, "PROBE_CONSENT": "yes"}
        process = await asyncio.create_subprocess_exec(*words, env=environ)
        try:
            return await process.wait()
        except asyncio.CancelledError:  # Ctrl-C went to the probe too: let it keep what is done
            return await process.wait()
