"""Files offered to a dataset: found, hashed, and read only if their content is new."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Final

from analysis import runfiles
from analysis.dataset import Incoming
from analysis.importers import content_hash, files, pseudonym, reader

RUNS: Final = "runs"


def offer(format_name: str, paths: list[Path]) -> Iterator[Incoming]:
    """Offer the files of a format under some paths.

    Args:
        format_name: a key of :data:`analysis.importers.FORMATS`.
        paths: files and folders.

    Yields:
        One offer a file. Its origin is a pseudonym of where it lies, so that a file read again
        after it has changed takes the place of its older self.

    Raises:
        DataError: a path does not exist, or a folder holds no such file.
    """
    read = reader(format_name)
    for path in _files(format_name, paths):
        yield Incoming(
            content_hash(path.read_bytes()),
            pseudonym(str(_home(format_name, path.resolve()))),
            format_name,
            partial(read, path),
        )


def _files(format_name: str, paths: list[Path]) -> list[Path]:
    """Find the files; a probe's data folder holds more than runs, and only those are wanted."""
    if format_name != RUNS:
        return files(format_name, paths)
    found: list[Path] = []
    for path in paths:
        inside = runfiles.find(path) if runfiles.is_data_folder(path) else files(RUNS, [path])
        found += inside
    return found


def _home(format_name: str, path: Path) -> Path:
    """Return where a file is known to lie: a run stays itself when it moves on from ``tmp``."""
    moves = format_name == RUNS and path.parent.name in runfiles.FOLDERS
    return path.parent.parent / path.name if moves else path
