"""``analysis evaluate lab``: the program against emulated censors, beside what was to be found."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import click
import msgspec

from analysis.commands import Voice
from analysis.errors import DataError
from analysis.evaluate import lab_folds
from analysis.evaluate.lab_evaluation import evaluate, forget_unfit
from analysis.evaluate.lab_matrix import (
    ENGINES,
    FIRST_REPORTED_SEED,
    Cell,
    Engine,
    Preset,
    matrix,
    quick_matrix,
)
from analysis.evaluate.lab_report import markdown, row
from analysis.evaluate.lab_runs import (
    Ran,
    holds_runs,
    keep_presets,
    known_presets,
    own_presets,
    run_all,
)
from analysis.evaluate.lab_runs import kept as kept_runs


def run(
    *,
    quick: bool,
    runs: int,
    jobs: int,
    only: str,
    engine: Engine | None,
    first_seed: int | None,
    presets: Path | None,
    title: str,
    output: Path | None,
    kept: Path | None,
    as_json: bool,
    voice: Voice,
) -> int:
    """Run the matrix, or read one that was kept, and print what it came to.

    Args:
        quick: one run of each preset, on the engines in turn.
        runs: else so many, with seeds that follow each other.
        jobs: labs at once.
        only: names of presets with commas between; empty for all.
        engine: one engine instead of both.
        first_seed: of the runs; the first that no rule was made on if None.
        presets: presets of one's own instead of the program's.
        title: of the section that is printed.
        output: where to keep the records, and the presets if they are one's own.
        kept: judge these records instead of making any.
        as_json: print outcomes instead of tables.
        voice: how much to say.

    Returns:
        The exit status; a wrong finding is a result like others.

    Raises:
        DataError: there is no such preset.
    """
    with _folder(kept or output) as folder:
        if kept is None and presets is not None:
            keep_presets(presets, folder)
        known = _chosen(known_presets(own_presets(folder)), only)
        if kept is None:
            engines = (engine,) if engine else ENGINES
            first = FIRST_REPORTED_SEED if first_seed is None else first_seed
            cells = (
                quick_matrix(known, engines, first)
                if quick
                else matrix(known, engines, range(first, first + runs))
            )
            if holds_runs(folder):
                forget_unfit(folder, voice.say)
            _run(cells, folder, jobs, voice)
        made = [
            ran
            for ran in kept_runs(folder)
            if engine in (None, ran.cell.engine) and (not only or ran.cell.preset in known)
        ]
        found = evaluate(folder, made, known)
    if as_json:
        for item in found.outcomes:
            click.echo(msgspec.json.encode(row(item)))
    else:
        click.echo(markdown(found, title), nl=False)
        if found.cases:
            by_rate = lab_folds.report(found.cases, f"{title}: each rate left out")
            click.echo(f"\n{by_rate.text()}", nl=False)
    return 0


def _run(cells: list[Cell], folder: Path, jobs: int, voice: Voice) -> None:
    try:
        asyncio.run(run_all(cells, folder, jobs, _told(voice)))
    except asyncio.CancelledError:
        raise KeyboardInterrupt from None  # asked to end, by whichever signal


def _chosen(presets: dict[str, Preset], only: str) -> dict[str, Preset]:
    names = [name for name in only.split(",") if name]
    if unknown := [name for name in names if name not in presets]:
        raise DataError(f"--only: found {unknown[0]!r}, expected some of {', '.join(presets)}")
    return {name: preset for name, preset in presets.items() if not names or name in names}


@contextmanager
def _folder(chosen: Path | None) -> Iterator[Path]:
    if chosen is not None:
        yield chosen
        return
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder)


def _told(voice: Voice) -> Callable[[Ran, int], None]:
    def tell(ran: Ran, left: int) -> None:
        voice.say(f"{ran.cell.path}: {ran.wall_s:.0f} s, {left} to come")

    return tell
