"""What the commands call DATA: probes' run files and datasets, opened as one."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from analysis import dataset, rollup, runfiles
from analysis.errors import DataError
from analysis.finding import Finding, from_json
from analysis.importers import Skipped, pseudonym
from analysis.ingest import NOT_JUDGED, Judge, session_row
from analysis.rows import SessionRow, table
from analysis.runfiles import Session
from analysis.votes import mark_votes


class Data(msgspec.Struct, frozen=True):
    """Opened data: ``judged`` has one finding a judged session, ``sessions`` only run files'."""

    datasets: tuple[Path, ...]
    sessions: tuple[Session, ...]
    judged: tuple[Finding, ...]
    rows: Any
    skipped: tuple[Skipped, ...]
    torn: tuple[Skipped, ...]

    def table(self) -> Any:
        """Return all sessions as one Ibis table."""
        return rollup.sessions_table(self.datasets, self.rows)


def open_data(paths: Sequence[str], judge: Judge) -> Data:
    """Open folders and files, and judge the sessions of run files.

    Args:
        paths: probes' data folders, run files and datasets, in any mixture.
        judge: turns a session's trials into a finding.

    Returns:
        The data.

    Raises:
        DataError: one of them is neither, or all of them are empty.
    """
    datasets, runs = _sort_out(paths)
    loaded = runfiles.load(runs)
    answers = [judged(session, judge) for session in loaded.sessions]
    rows = [
        session_row(session.trials, finding, "", probe_of(session.files[0]))
        for session, finding in zip(loaded.sessions, answers, strict=True)
    ]
    found = Data(
        datasets=tuple(datasets),
        sessions=loaded.sessions,
        judged=(
            *(finding for finding in answers if finding),
            *(finding for folder in datasets for finding in _stored(folder)),
        ),
        rows=mark_votes(table(rows, SessionRow)),
        skipped=loaded.skipped,
        torn=loaded.torn,
    )
    if not rows and not any(dataset.paths(folder, "sessions") for folder in datasets):
        bad = f"; {len(loaded.skipped)} lines were no records" if loaded.skipped else ""
        raise DataError(
            f"found no session in {', '.join(map(str, paths))} ({len(loaded.files)} run files"
            f"{bad}), expected at least one: run the probe first, or name another folder"
        )
    return found


def probe_of(run_file: Path) -> str:
    """Return the pseudonym of the probe whose data folder holds a run file."""
    return pseudonym(str(run_file.resolve().parent.parent))


def judged(session: Session, judge: Judge) -> Finding | None:
    """Judge a session, unless it is one that says nothing of a service."""
    first = session.trials[0]
    return None if first.service in NOT_JUDGED or first.kind == "path" else judge(session.trials)


def _stored(folder: Path) -> list[Finding]:
    rows = rollup.findings(rollup.sessions_table([folder])) if _has_sessions(folder) else []
    return [from_json(text) for text in rows]


def _has_sessions(folder: Path) -> bool:
    return bool(dataset.paths(folder, "sessions"))


def _sort_out(paths: Sequence[str]) -> tuple[list[Path], list[Path]]:
    datasets, runs = [], []
    for text in paths:
        path = Path(text)
        if "://" in text:
            raise DataError(
                f"found the URL {text}, expected a folder: copy the dataset here and name its "
                "folder"
            )
        if not path.exists():
            raise DataError(
                f"found no {path}, expected a probe's data folder, a run file or a dataset"
            )
        if dataset.is_dataset(path):
            datasets.append(path)
        elif path.is_file() or runfiles.is_data_folder(path) or runfiles.find(path):
            runs.append(path)
        else:
            raise DataError(
                f"found neither run files nor a dataset in {path}, expected a folder with "
                f"{' '.join(runfiles.FOLDERS)} or {dataset.MANIFEST}"
            )
    return datasets, runs
