"""Runs the probe behind the lab's presets, as a person would, and keeps what it recorded."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

import msgspec

from analysis.errors import AnalysisError
from analysis.evaluate.lab_matrix import Cell, Preset, read_presets

#: The probe's own command line, from the same installation.
PROBE: Final = (sys.executable, "-m", "probe.cli")
#: A run whose every transfer crawls is over long before.
LIMIT_S: Final = 1_200.0
#: Time for a lab to take itself down once asked to.
_GRACE_S: Final = 20.0
_KEPT: Final = "run.json"
_PRESETS: Final = "presets"
_LAST_LINES: Final = 5


class LabError(AnalysisError):
    """The lab cannot be run at all; the text says why."""


class Ran(msgspec.Struct, frozen=True, kw_only=True):
    """One cell that was run: the exit status of each session, how long all took, the last words.

    ``said`` is the end of what was written to standard error.
    """

    cell: Cell
    statuses: tuple[int, ...]
    wall_s: float
    said: tuple[str, ...] = ()


def known_presets(file: Path | None = None) -> dict[str, Preset]:
    """Ask the probe for the lab's presets.

    Args:
        file: presets of one's own instead of the program's.

    Returns:
        The presets by name.

    Raises:
        LabError: the probe does not answer.
    """
    return asyncio.run(_known_presets(file))


async def _known_presets(file: Path | None) -> dict[str, Preset]:
    status, out, err = await _call([*PROBE, "lab", "list", *_of_file(file), "--json"])
    if status:
        raise LabError(f"found that probe lab list fails ({_end(err)}), expected the presets")
    return read_presets(out.splitlines())


def own_presets(folder: Path) -> Path | None:
    """Find the presets that the runs of a folder are behind, where they are not the program's."""
    return next(iter(sorted(folder.glob(f"{_PRESETS}.*"))), None)


def keep_presets(file: Path, folder: Path) -> None:
    """Keep a presets file beside the runs behind it.

    Args:
        file: the presets.
        folder: of the runs; made if missing.

    Raises:
        LabError: the folder holds runs behind other presets.
    """
    there = own_presets(folder)
    if there is None and holds_runs(folder):
        raise LabError(f"found runs behind the program's own presets in {folder}: name another")
    if there is not None and there.read_bytes() != file.read_bytes():
        raise LabError(f"found other presets in {there}, expected those of {file}: name another")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / _PRESETS).with_suffix(file.suffix).write_bytes(file.read_bytes())


def _of_file(file: Path | None) -> tuple[str, ...]:
    return () if file is None else ("--presets", str(file))


async def run_all(
    cells: Sequence[Cell], folder: Path, jobs: int, tell: Callable[[Ran, int], None]
) -> None:
    """Run cells, several at once; those the folder holds already are not run again.

    Labs mostly wait, so several fit on one processor; that none of them was held up shows in the
    loop lag of their records.

    Args:
        cells: to run.
        folder: where each cell's records go, under its path; presets of one's own are there.
        jobs: how many labs at once.
        tell: called after each run with it and the number still to come.
    """
    this = asyncio.current_task()
    assert this is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, this.cancel)
    waiting = [cell for cell in cells if not (folder / cell.path / _KEPT).exists()]
    left = len(waiting)
    presets = own_presets(folder)
    slots = asyncio.Semaphore(jobs)

    async def one(cell: Cell) -> None:
        nonlocal left
        async with slots:
            ran = await _run(cell, folder / cell.path, presets)
        left -= 1
        tell(ran, left)

    async with asyncio.TaskGroup() as group:
        for cell in waiting:
            (folder / cell.path).mkdir(parents=True, exist_ok=True)
            group.create_task(one(cell))


def holds_runs(folder: Path) -> bool:
    """Tell whether any run was kept in a folder."""
    return any(folder.glob(f"*/*/*/{_KEPT}"))


def kept(folder: Path) -> list[Ran]:
    """Read which runs a folder holds.

    Args:
        folder: as for :func:`run_all`.

    Returns:
        The runs, by path.

    Raises:
        LabError: there are none, or a file of them cannot be read.
    """
    files = sorted(folder.glob(f"*/*/*/{_KEPT}"))
    if not files:
        raise LabError(f"found no runs in {folder}, expected a folder that -o was given")
    try:
        return [msgspec.json.decode(file.read_bytes(), type=Ran) for file in files]
    except (msgspec.DecodeError, OSError) as error:
        raise LabError(f"found a {_KEPT} that cannot be read: {error}") from error


def command(cell: Cell, seed: int, data: Path, presets: Path | None = None) -> list[str]:
    """Write the command of one session: the probe's own, behind the probe's own lab."""
    lab = ["lab", "run", *_of_file(presets), "--engine", cell.engine, "--seed", str(seed)]
    lab += [cell.preset, "--"]
    run = ["run", "--yes", "--json", "--data", str(data), "--seed", str(seed)]
    what = ["--only", ",".join(cell.services), "--kinds", ",".join(cell.kinds)]
    return [*PROBE, *lab, *PROBE, *run, *what]


async def _run(cell: Cell, folder: Path, presets: Path | None) -> Ran:
    begun, statuses, said = time.monotonic(), [], b""
    for seed in cell.seeds:
        status, _, err = await _call(command(cell, seed, folder / "data", presets))
        statuses.append(status)
        said += err
    ran = Ran(
        cell=cell,
        statuses=tuple(statuses),
        wall_s=round(time.monotonic() - begun, 1),
        said=tuple(said.decode(errors="replace").splitlines()[-_LAST_LINES:]),
    )
    # Written last: a run that was broken off leaves none, and is made again.
    (folder / _KEPT).write_bytes(msgspec.json.encode(ran))
    return ran


async def _call(words: Sequence[str]) -> tuple[int, bytes, bytes]:
    """Run a command to its end; whatever happens here, nothing of it is left running."""
    process = await asyncio.create_subprocess_exec(
        *words,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=_environment(os.environ.items()),
        start_new_session=True,
    )
    try:
        async with asyncio.timeout(LIMIT_S):
            out, err = await process.communicate()
    except TimeoutError:
        return 1, b"", f"not done after {LIMIT_S:.0f} s".encode()
    finally:
        if process.returncode is None:
            await _end_group(process)
    assert process.returncode is not None
    return process.returncode, out, err


async def _end_group(process: asyncio.subprocess.Process) -> None:
    for number in (signal.SIGTERM, signal.SIGKILL):
        with suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with suppress(TimeoutError):
            async with asyncio.timeout(_GRACE_S):
                await process.communicate()
                return


def _environment(present: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Leave out the settings of whoever evaluates: each run is given its own."""
    return {name: value for name, value in present if not name.startswith(("PROBE_", "ANALYSIS_"))}


def _end(said: bytes) -> str:
    return said.decode(errors="replace").strip().rpartition("\n")[2] or "without a word"
