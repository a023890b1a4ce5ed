"""Run files read back: every record of a probe's data folder, grouped into sessions.

DuckDB scans the files, cuts them into lines and gathers each session's lines from whatever files
they lie in; every record is then decoded and checked against the schema. Files may be read while a
probe writes them: a last line without its end is cut off and reported, never guessed at.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from pathlib import Path
from typing import Any, Final

import duckdb
import msgspec

from analysis.errors import DataError
from analysis.importers import Skipped
from probe.measurement import Measurement, SchemaError, decode

FOLDERS: Final = ("tmp", "new", "sent")
SUFFIX: Final = ".jsonl"
#: Longest line read, in bytes: a call of 20 s with its packet trace is under 100 kB.
_MAX_LINE_BYTES: Final = 16_000_000

_SCAN: Final = """
    SELECT filename,
           row_number() OVER (PARTITION BY filename ORDER BY nth) AS line,
           count(*) OVER (PARTITION BY filename) AS lines,
           json ->> '$.session' AS session,
           CAST(json AS VARCHAR) AS text
    FROM (SELECT filename, json, row_number() OVER () AS nth
          FROM read_json_objects($paths, format = 'newline_delimited', ignore_errors = true,
                                 filename = true, maximum_object_size = $limit))
    ORDER BY session, filename, line
"""


class Session(msgspec.Struct, frozen=True):
    """The trials of one session in the order they were stored, and the files they lay in."""

    id: str
    trials: tuple[Measurement, ...]
    files: tuple[Path, ...]


class Loaded(msgspec.Struct, frozen=True):
    """What the files held. ``torn`` are last lines that were still being written."""

    sessions: tuple[Session, ...]
    skipped: tuple[Skipped, ...]
    torn: tuple[Skipped, ...]
    files: tuple[Path, ...]


def is_data_folder(path: Path) -> bool:
    """Tell whether a folder is one a probe stores its runs in."""
    return path.is_dir() and any((path / folder).is_dir() for folder in FOLDERS)


def find(path: Path) -> list[Path]:
    """List the run files under a path.

    Args:
        path: a probe's data folder, a folder of run files, or one run file.

    Returns:
        The files, sorted by name, which is by time.
    """
    if path.is_file():
        return [path]
    folders = [path / folder for folder in FOLDERS] if is_data_folder(path) else [path]
    found = (file for folder in folders for file in folder.glob("*" + SUFFIX))
    return sorted(found, key=lambda file: (file.name, file.parent.name))


def load(paths: Sequence[Path]) -> Loaded:
    """Read run files.

    Args:
        paths: data folders and run files.

    Returns:
        Their sessions, oldest first, and the lines that are no records.

    Raises:
        DataError: a path does not exist.
    """
    for path in paths:
        if not path.exists():
            raise DataError(f"found no {path}, expected a probe's data folder or a run file")
    files = tuple(dict.fromkeys(file for path in paths for file in find(path)))
    rows = _scan([file for file in files if file.stat().st_size])
    sessions: list[Session] = []
    skipped: list[Skipped] = []
    torn: list[Skipped] = []
    for _, lines in groupby(rows, key=lambda row: row[3]):
        read: dict[str, list[tuple[Measurement, Path]]] = {}
        for file, number, last, _, text in lines:
            path = Path(file)
            try:
                record = decode(text or "")
            except SchemaError as error:
                if number == last and text is None and not _ends_whole(path):
                    torn.append(Skipped(path, number, "an unfinished last line, cut off"))
                elif text is not None or not _is_blank(path, number):
                    skipped.append(Skipped(path, number, str(error)))
            else:
                read.setdefault(record.session, []).append((record, path))
        sessions += [_session(name, found) for name, found in read.items()]
    sessions.sort(key=lambda session: (session.trials[0].start, session.id))
    return Loaded(tuple(sessions), tuple(skipped), tuple(torn), files)


def _session(name: str, found: list[tuple[Measurement, Path]]) -> Session:
    """Join one session's records; one submitted and kept by two paths counts once."""
    records = {record.id: record for record, _ in found}
    trials = sorted(records.values(), key=lambda record: record.start)
    return Session(name, tuple(trials), tuple(dict.fromkeys(path for _, path in found)))


def _scan(files: list[Path]) -> list[Any]:
    if not files:
        return []
    wanted = {"paths": [str(file) for file in files], "limit": _MAX_LINE_BYTES}
    # One thread, because only then is the order of the lines, and so their numbers, certain.
    with duckdb.connect(config={"threads": 1}) as connection:
        try:
            result = connection.execute(_SCAN, wanted)
        except duckdb.Error as error:
            raise DataError(
                f"found that the run files cannot be read ({error}), expected JSON lines"
            ) from error
        rows: list[Any] = result.fetchall()
        return rows


def _ends_whole(path: Path) -> bool:
    with path.open("rb") as file:
        file.seek(-1, 2)
        return file.read(1) == b"\n"


def _is_blank(path: Path, number: int) -> bool:
    with path.open("rb") as file:
        return next(line for i, line in enumerate(file, 1) if i == number).strip() == b""
