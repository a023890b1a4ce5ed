"""``probe list``, ``show``, ``export`` and ``rm``: the runs kept in the data folder."""

from __future__ import annotations

import sys
from collections.abc import Callable
from itertools import groupby
from pathlib import Path
from typing import Any

import click

from probe import store
from probe.bench import Judge
from probe.commands.options import data_option
from probe.exits import UsageError
from probe.measurement import Measurement
from probe.store import Contents, read, run_files
from probe.ui import Human, place


def _run_argument(command: Callable[..., Any]) -> Callable[..., Any]:
    return click.argument("run")(command)


@click.command("list")
@data_option
def list_runs(data: Path) -> None:
    """List past runs, oldest first."""
    paths = run_files(data)
    if not paths:
        click.echo(f"No runs in {data}.", err=True)
    for path in paths:
        records = read(path).records
        begun = f"{records[0].start:%Y-%m-%d %H:%M}" if records else "nothing stored yet"
        services = len({record.service for record in records} - {"line"})
        click.echo(
            f"{path.stem}  {begun}  {services} services, {len(records)} trials  {path.parent.name}"
        )


@click.command()
@_run_argument
@data_option
@click.pass_obj
def show(judge: Judge, /, run: str, data: Path) -> None:
    """Show what a past run found: judged anew from its records."""
    contents = _read(data, run)
    emitter = Human()
    for record in contents.records[:1]:
        click.echo(f"{place(record.vantage)}. {record.start:%Y-%m-%d %H:%M} UTC.\n")
    for sessions in _by_service_and_kind(contents.records):
        emitter.conclusion(judge.conclude(sessions))


@click.command()
@_run_argument
@data_option
def export(run: str, data: Path) -> None:
    """Write a past run's records to standard output, one JSON object per line."""
    sys.stdout.buffer.write(_find(data, run).read_bytes())


@click.command("rm")
@_run_argument
@data_option
def remove(run: str, data: Path) -> None:
    """Delete a past run, and the packets kept beside it."""
    path = _find(data, run)
    store.remove(path)
    click.echo(f"Deleted {path.name}.", err=True)


def _find(data: Path, run: str) -> Path:
    """Find a run by the beginning of its name."""
    found = [path for path in run_files(data) if path.stem.startswith(run)]
    if len(found) != 1:
        raise UsageError(
            f"found {len(found)} runs that begin with {run!r} in {data}, expected one: "
            "see probe list"
        )
    return found[0]


def _read(data: Path, run: str) -> Contents:
    contents = read(_find(data, run))
    for bad in contents.bad:
        click.echo(f"{bad.path.name}, line {bad.line}: {bad.reason}; passed over", err=True)
    return contents


def _by_service_and_kind(records: tuple[Measurement, ...]) -> list[list[list[Measurement]]]:
    """Group trials into sessions, and sessions by what they measure; line checks are left out."""

    def subject(record: Measurement) -> tuple[str, str]:
        return record.service, record.subject

    trials = sorted((r for r in records if r.service != "line"), key=subject)
    return [
        [list(session) for _, session in groupby(sorted(group, key=_session), key=_session)]
        for _, group in groupby(trials, key=subject)
    ]


def _session(record: Measurement) -> str:
    return record.session
