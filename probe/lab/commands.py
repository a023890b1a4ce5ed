"""``probe lab``: list the presets, and run a command behind one."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, get_args

import click
import msgspec

from probe.commands.options import option
from probe.exits import CommandError, Status
from probe.lab import presets, world
from probe.lab.rules import Engine, Expected, Preset
from probe.lab.sweep import sweep
from probe.lab.vary import varied

if TYPE_CHECKING:
    from types import FrameType

#: What was measured is then the machine's doing and not the preset's.
OVERRUN = "probe lab: this machine was too slow"
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
@option("--json", "as_json", is_flag=True, help="One JSON object a line, with what is to be found.")
def list_presets(file: Path | None, *, as_json: bool) -> int:
    """List the presets: name, the engines that can carry it, what it is, what is to be found.

    What is named stands before "any"; what is not named is normal.
    """
    known = _load(file)
    if as_json:
        for preset in known.values():
            click.echo(json.dumps(_row(preset)))
        return Status.DONE
    width = max(map(len, known), default=0)
    for name, preset in known.items():
        click.echo(f"{name:{width}}  {'/'.join(preset.engines):14}  {preset.title}")
        for expected in preset.expected:
            click.echo(f"{'':{width}}  {_in_words(expected)}")
    return Status.DONE


def _in_words(expected: Expected) -> str:
    whose = "any" if expected.service == "*" else expected.service
    parts = [" or ".join((expected.verdict, *expected.accept)), " or ".join(expected.mechanisms)]
    if expected.rate_bps:
        parts.append(f"{expected.rate_bps / 1000:g} kbit/s")
    return f"{whose} {expected.kind}: {', '.join(filter(None, parts))}"


def _row(preset: Preset) -> dict[str, object]:
    """What a program needs to run a preset and to judge what was found behind it.

    ``probability`` is the least of its rules': how often a connection meets all of the censor.
    """
    return {
        "name": preset.name,
        "title": preset.title,
        "source": preset.source,
        "engines": preset.engines,
        "fold": preset.fold,
        "probability": min((rule.probability for rule in preset.rules), default=1.0),
        "services": {one.key: one.kinds for one in world.SITES if one.role == "service"},
        "expected": msgspec.to_builtins(preset.expected),
    }


@lab.command()
@_file
@option("--seed", type=int, default=1, show_default=True, help="Fixes every draw.")
@option("--count", type=click.IntRange(min=1), default=1, show_default=True, help="Of each preset.")
@option("--sweep", "swept", is_flag=True, help="Instead: each way of slowing, at several rates.")
def vary(file: Path | None, seed: int, count: int, *, swept: bool) -> int:
    """Print presets at other figures, drawn at random, as a file for --presets (.json)."""
    drawn = sweep(seed) if swept else varied(_load(file).values(), seed, count)
    click.echo(presets.dump(drawn))
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
    with _ends_in_order():
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
            with _interrupts_left_to_the_command():
                return await _ended(command, {**os.environ, **environ})
    except LabError as error:
        raise CommandError(str(error)) from error
    except (FileNotFoundError, PermissionError) as error:
        raise _not_runnable(command, error) from error


async def _ended(command: tuple[str, ...], environ: dict[str, str]) -> int:
    process = await asyncio.create_subprocess_exec(*command, env=environ)
    try:
        return _status(await process.wait())
    finally:
        if process.returncode is None:  # the lab is ended from outside, and its command with it
            process.terminate()


def _in_netns(preset: Preset, seed: int, command: tuple[str, ...]) -> int:
    from probe.lab.netns import LabError, NetnsLab  # noqa: PLC0415 - --help stays quick

    try:
        with NetnsLab(preset, seed=seed) as running:
            environ = {**os.environ, "PROBE_TARGETS": str(running.targets_file)}
            with _interrupts_left_to_the_command():
                status = _status(running.run(command, env=environ).returncode)
            if lost := running.counters().overrun_packets:
                click.echo(f"{OVERRUN}: {lost} packets were lost before the middlebox", err=True)
            return status
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


@contextmanager
def _ends_in_order() -> Iterator[None]:
    """Let a signal that ends this program take the lab and its command down first."""

    def leave(number: int, frame: FrameType | None) -> None:
        del frame
        raise SystemExit(_SIGNAL_STATUS + number)

    numbers = (signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.signal(number, leave) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
