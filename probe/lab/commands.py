"""``probe lab``: list the presets, and run a command behind one."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, get_args

import click

from probe.commands.options import option
from probe.exits import CommandError, Status
from probe.lab import presets
from probe.lab.rules import Engine, Preset

if TYPE_CHECKING:
    from types import FrameType

#: What a shell says of a process that a signal ended.
_SIGNAL_STATUS = 128

_file = option(
    "--presets",
    "file",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="Presets of your own.  [default: those of the program]",
)


@click.group()
def lab() -> None:
    """Run a command behind an emulated censor."""


@lab.command("list")
@_file
def list_presets(file: Path | None) -> int:
    """List the presets: name, the engines that can carry it, what it is."""
    known = _load(file)
    width = max(map(len, known), default=0)
    for name, preset in known.items():
        click.echo(f"{name:{width}}  {'/'.join(preset.engines):14}  {preset.title}")
    return Status.DONE


@lab.command(context_settings={"ignore_unknown_options": True})
@_file
@option("--engine", type=click.Choice(get_args(Engine)), help="loopback needs no root.")
@option("--seed", type=int, default=1, help="Fixes every chance in the emulation.")
@click.argument("preset")
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED)
def run(
    file: Path | None, engine: Engine | None, seed: int, preset: str, command: tuple[str, ...]
) -> int:
    """Run COMMAND in the home of an emulated line; its exit status is passed on.

    A probe finds the lab through its environment: probe lab run demo -- probe run
    """
    try:
        chosen = presets.find(preset, _load(file))
    except presets.PresetError as error:
        raise CommandError(str(error), Status.USAGE) from error
    engine = engine or chosen.engines[0]
    if engine not in chosen.engines:
        raise CommandError(
            f"found --engine {engine}, but preset {preset!r} can only be carried by "
            f"{' or '.join(chosen.engines)}: leave --engine out",
            Status.USAGE,
        )
    with _interrupts_left_to_the_command():
        if engine == "netns":
            return _in_netns(chosen, seed, command)
        return asyncio.run(_in_loopback(chosen, seed, command))


def _load(file: Path | None) -> dict[str, Preset]:
    try:
        return presets.load(file)
    except presets.PresetError as error:
        raise CommandError(str(error), Status.USAGE) from error


async def _in_loopback(preset: Preset, seed: int, command: tuple[str, ...]) -> int:
    from probe.lab.loopback import LabError, LoopbackLab  # noqa: PLC0415 - --help stays quick

    try:
        async with LoopbackLab(preset, seed) as running:
            environ = {**running.environ, "PROBE_TARGETS": str(running.targets_file)}
            process = await asyncio.create_subprocess_exec(*command, env={**os.environ, **environ})
            return _status(await process.wait())
    except LabError as error:
        raise CommandError(str(error)) from error
    except (FileNotFoundError, PermissionError) as error:
        raise _not_runnable(command, error) from error


def _in_netns(preset: Preset, seed: int, command: tuple[str, ...]) -> int:
    from probe.lab.netns import LabError, NetnsLab  # noqa: PLC0415 - --help stays quick

    try:
        with NetnsLab(preset, seed=seed) as running:
            environ = {**os.environ, "PROBE_TARGETS": str(running.targets_file)}
            return _status(running.run(command, env=environ).returncode)
    except LabError as error:
        raise CommandError(str(error)) from error
    except (FileNotFoundError, PermissionError) as error:
        raise _not_runnable(command, error) from error


def _not_runnable(command: tuple[str, ...], error: OSError) -> CommandError:
    return CommandError(
        f"found that {command[0]!r} cannot be run ({error.strerror}), expected a program",
        Status.USAGE,
    )


def _status(returned: int) -> int:
    return _SIGNAL_STATUS - returned if returned < 0 else returned


@contextmanager
def _interrupts_left_to_the_command() -> Iterator[None]:
    """Let the command end on Ctrl-C as it sees fit; only then is the lab taken down."""

    def leave(number: int, frame: FrameType | None) -> None:
        del number, frame

    before = signal.signal(signal.SIGINT, leave)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
