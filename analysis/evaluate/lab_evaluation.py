"""Judges kept runs behind the emulated censor, and says which of them count."""

from __future__ import annotations

import shutil
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final

import msgspec

from analysis.evaluate.lab_compare import Outcome, outcome
from analysis.evaluate.lab_folds import Case, case
from analysis.evaluate.lab_matrix import Preset, asked
from analysis.evaluate.lab_runs import Ran, kept
from analysis.runfiles import load
from probe.measurement import Measurement

#: A transfer of the lab's object takes 0.2 s: a probe that was held up for longer than this may
#: have slept through a whole one, and its run says nothing of the program.
GREATEST_LAG_S: Final = 0.25
#: Exit statuses of a probe that did its work: done, the line is down, a part was measured.
_WORKED: Final = (0, 3, 4)
#: What the lab says on standard error when packets never reached its middlebox.
_OVERRUN: Final = "this machine was too slow"


class Discarded(msgspec.Struct, frozen=True):
    """A run that is not counted, and why."""

    run: str
    why: str


class Evaluation(msgspec.Struct, frozen=True):
    """What the runs of a folder came to; ``cases`` are those of presets with a fold."""

    outcomes: tuple[Outcome, ...]
    discarded: tuple[Discarded, ...]
    lag_s: float
    cases: tuple[Case, ...] = ()


def evaluate(folder: Path, runs: Sequence[Ran], presets: Mapping[str, Preset]) -> Evaluation:
    """Judge the runs a folder holds, as the program judges today.

    Args:
        folder: holds the records.
        runs: what was run.
        presets: with today's expectations; runs that could not be made today are discarded.

    Returns:
        Outcomes of the runs that count, and the others with the reason.
    """
    outcomes: list[Outcome] = []
    cases: list[Case] = []
    discarded: list[Discarded] = []
    lags = [0.0]
    for ran in runs:
        sessions = _sessions(folder / ran.cell.path / "data")
        lag_s = max(map(lag, sessions), default=0.0)
        lags.append(lag_s)
        preset = presets.get(ran.cell.preset)
        if preset is None or ran.cell.engine not in preset.engines:
            discarded.append(Discarded(ran.cell.path, "there is no such preset any more"))
        elif why := unfit(ran, lag_s):
            discarded.append(Discarded(ran.cell.path, why))
        else:
            for found, its_own in compare(ran, preset, sessions):
                outcomes.append(found)
                if preset.fold:
                    cases.append(case(preset.fold, found, its_own))
    folds = [preset.fold for preset in presets.values()]
    cases.sort(key=lambda one: folds.index(one.fold))
    return Evaluation(tuple(outcomes), tuple(discarded), max(lags), tuple(cases))


def forget_unfit(folder: Path, tell: Callable[[str], None]) -> None:
    """Remove the runs of a folder that do not count, so that they are made again.

    Args:
        folder: holds runs.
        tell: called with each run that goes, and why.
    """
    for ran in kept(folder):
        place = folder / ran.cell.path
        if why := unfit(ran, max(map(lag, _sessions(place / "data")), default=0.0)):
            shutil.rmtree(place)
            tell(f"{ran.cell.path}: once more, {why}")


def unfit(ran: Ran, lag_s: float) -> str:
    """Say why a run does not count, by what happened to it and never by what it found.

    Args:
        ran: the run.
        lag_s: the worst loop lag of its records.

    Returns:
        The reason; empty for a run that counts.
    """
    words = ran.said[-1] if ran.said else "without a word"
    if not set(ran.statuses) <= set(_WORKED):
        return words
    if overrun := [line for line in ran.said if _OVERRUN in line]:
        return overrun[0]
    if lag_s > GREATEST_LAG_S:
        return f"this machine was too busy: the probe was held up for {lag_s:.2f} s"
    return ""


def lag(trials: Iterable[Measurement]) -> float:
    """Return the worst loop lag of some trials, in seconds."""
    return max((trial.host.loop_lag_s or 0.0 for trial in trials), default=0.0)


def compare(
    ran: Ran, preset: Preset, sessions: Sequence[list[Measurement]]
) -> list[tuple[Outcome, list[list[Measurement]]]]:
    """Judge every service and kind that a run was told to measure.

    Args:
        ran: the run.
        preset: what it ran behind.
        sessions: its sessions, oldest first.

    Returns:
        One outcome each, with the sessions it is about.
    """
    cells: dict[tuple[str, str], list[list[Measurement]]] = defaultdict(list)
    for trials in sessions:
        cells[trials[0].service, trials[0].subject].append(trials)
    return [
        (outcome(ran.cell, preset.expects(*of), *of, cells[of]), cells[of])
        for of in asked(ran.cell, preset)
    ]


def _sessions(data: Path) -> list[list[Measurement]]:
    return [list(session.trials) for session in load([data]).sessions] if data.exists() else []
