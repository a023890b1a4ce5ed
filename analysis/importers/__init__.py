"""Foreign data read into the dataset's rows: one module a format, all behind one signature.

An importer is ``read(path) -> Imported``: one file in, its rows out, with the lines that could not
be read and why. :data:`FORMATS` says which module reads what, by the name used on the command line.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Final

import msgspec

from analysis.errors import DataError
from analysis.rows import SessionRow, TrialRow


class Skipped(msgspec.Struct, frozen=True):
    """A line that was passed over: where (``line`` counts from 1), and why."""

    path: Path
    line: int
    reason: str

    def __str__(self) -> str:
        """Say it the way compilers do, so that editors can jump there."""
        return f"{self.path}:{self.line}: {self.reason}"


class Imported(msgspec.Struct, frozen=True, kw_only=True):
    """What one file held."""

    path: Path
    source: str
    trials: list[TrialRow]
    sessions: list[SessionRow]
    skipped: list[Skipped]


class Format(msgspec.Struct, frozen=True):
    """One foreign format: the module that reads it and the files it looks for in a folder."""

    module: str
    suffixes: tuple[str, ...]
    what: str


FORMATS: Final = {
    "runs": Format("analysis.importers.runs", (".jsonl",), "run files of a probe"),
    "ooni": Format(
        "analysis.importers.ooni",
        (".jsonl", ".jsonl.gz", ".json", ".json.gz"),
        "OONI measurements as JSON lines",
    ),
    "ndt7": Format(
        "analysis.importers.ndt7",
        (".json", ".json.gz", ".jsonl", ".jsonl.gz"),
        "ndt7 results of M-Lab",
    ),
    "twitter2021": Format(
        "analysis.importers.twitter2021",
        (".csv", ".csv.gz"),
        "CSV of the Russia Twitter Throttle Dataset",
    ),
}


def reader(name: str) -> Callable[[Path], Imported]:
    """Return the function that reads one file of a format.

    Args:
        name: a key of :data:`FORMATS`.
    """
    read: Callable[[Path], Imported] = import_module(FORMATS[name].module).read
    return read


def files(name: str, paths: list[Path]) -> list[Path]:
    """Find a format's files.

    Args:
        name: a key of :data:`FORMATS`.
        paths: files, taken as they are, and folders, searched at any depth.

    Returns:
        The files, sorted within each folder.

    Raises:
        DataError: a path does not exist, or a folder holds no such file.
    """
    wanted = FORMATS[name]
    found: list[Path] = []
    for path in paths:
        if not path.exists():
            raise DataError(f"found no {path}, expected a file or folder of {wanted.what}")
        if path.is_file():
            found.append(path)
            continue
        inside = sorted(p for p in path.rglob("*") if p.name.endswith(wanted.suffixes))
        if not inside:
            raise DataError(
                f"found no {' or '.join(wanted.suffixes)} file under {path}, "
                f"expected {wanted.what}: name the files themselves if they are called otherwise"
            )
        found += inside
    return found


def content_hash(data: bytes) -> str:
    """Return the name a file's content goes by in a dataset: 16 hex digits of its SHA-256."""
    return hashlib.sha256(data).hexdigest()[:16]


def pseudonym(text: str) -> str:
    """Return a short name for a line that tells it apart and is not an address."""
    return hashlib.sha256(text.encode()).hexdigest()[:12]
