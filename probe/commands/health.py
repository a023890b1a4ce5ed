"""``probe health``: for a container's HEALTHCHECK."""

from __future__ import annotations

import time
from pathlib import Path

import click

from probe.commands.options import Span, data_option, option
from probe.exits import CommandError
from probe.store import run_files


@click.command()
@data_option
@option("--every", type=Span(), default=6 * 3600.0, metavar="6h", help="How far apart runs are.")
def health(data: Path, every: float) -> None:
    """Exit with 0 while runs keep coming: the last record is younger than two intervals."""
    youngest_s = max((path.stat().st_mtime for path in run_files(data)), default=None)
    if youngest_s is None:
        raise CommandError(f"found no run in {data}, expected one every {every / 3600:.1f} h")
    age_s = time.time() - youngest_s
    if age_s > 2 * every:
        raise CommandError(
            f"found the last record {age_s / 3600:.1f} h old, expected one every "
            f"{every / 3600:.1f} h: look at the probe's messages"
        )
    click.echo(f"The last record is {age_s / 60:.0f} min old.")
