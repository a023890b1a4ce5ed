"""Run files read back: every record of a probe's data folder, grouped into sessions.

DuckDB opens the files, a few at a time, and every line is decoded and checked against the schema
here. Its own JSON reader is not used: it joins a line that is not UTF-8 with the next, so that a
bad line's number would be wrong. Files may be read while a probe writes them: a last line without
its end is cut off and reported, never guessed at.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import duckdb
import msgspec

from analysis.errors import DataError
from analysis.importers import Skipped
from probe.measurement import Measurement, SchemaError, decode

FOLDERS: Final = ("tmp", "new", "sent")
SUFFIX: Final = ".jsonl"
_FILES_AT_ONCE: Final = 16


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
        DataError: a path does not exist or cannot be read.
    """
    for path in paths:
        if not path.exists():
            raise DataError(f"found no {path}, expected a probe's data folder or a run file")
    files = tuple(dict.fromkeys(file for path in paths for file in find(path)))
    read: dict[str, list[tuple[Measurement, Path]]] = {}
    skipped: list[Skipped] = []
    torn: list[Skipped] = []
    for path, content in _contents(files):
        whole, _, rest = content.rpartition(b"\n")
        lines = whole.split(b"\n")
        for number, line in enumerate(lines, 1):
            if not line.strip():
                continue
            try:
                record = decode(line)
            except (SchemaError, UnicodeDecodeError, RecursionError) as error:
                skipped.append(Skipped(path, number, str(error)))
            else:
                read.setdefault(record.session, []).append((record, path))
        if rest:
            number = len(lines) + 1 if whole else 1
            torn.append(Skipped(path, number, "found an unfinished last line; cut it off"))
    sessions = [_session(name, found) for name, found in read.items()]
    sessions.sort(key=lambda session: (session.trials[0].start, session.id))
    return Loaded(tuple(sessions), tuple(skipped), tuple(torn), files)


def _session(name: str, found: list[tuple[Measurement, Path]]) -> Session:
    """Join one session's records; one that lies in two folders counts once."""
    records = {record.id: record for record, _ in found}
    trials = sorted(records.values(), key=lambda record: record.start)
    return Session(name, tuple(trials), tuple(dict.fromkeys(path for _, path in found)))


def _contents(files: Sequence[Path]) -> Iterator[tuple[Path, bytes]]:
    """Yield the files' bytes; a file that a probe moved meanwhile is found in its new folder."""
    with duckdb.connect() as connection:
        for start in range(0, len(files), _FILES_AT_ONCE):
            batch = [_moved(file) for file in files[start : start + _FILES_AT_ONCE]]
            names = [str(file) for file in batch]
            try:
                rows = connection.execute(
                    "SELECT filename, content FROM read_blob($names) ORDER BY filename",
                    {"names": names},
                ).fetchall()
            except duckdb.Error as error:
                raise DataError(
                    f"found that run files cannot be read ({error}), expected files this user "
                    "may read"
                ) from error
            yield from ((Path(name), content) for name, content in rows)


def _moved(file: Path) -> Path:
    homes = (file, *(file.parent.parent / folder / file.name for folder in FOLDERS))
    return next((home for home in homes if home.exists()), file)
