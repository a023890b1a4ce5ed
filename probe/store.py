"""Run files: one JSONL file per run, maildir-like, so that nothing finished is ever lost.

    tmp/   a run being written, or one whose probe was killed
    new/   finished runs, waiting to be submitted
    sent/  runs a collector has acknowledged

Packets kept as evidence lie in a folder beside their run's file and go where it goes.

Each record is appended and synced before the next trial starts, so a kill loses at most the trial
in flight. The writer holds a lock on its file: a file in ``tmp/`` that nobody holds belongs to a
dead probe, and the next probe cuts its torn last line and moves it on. Readers take whole lines
only, so a file may be read while it is written.
"""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import IO, Self

import msgspec

from probe.exits import CommandError
from probe.measurement import Measurement, SchemaError, decode, encode

FOLDERS = ("tmp", "new", "sent")
SUFFIX = ".jsonl"
PACKETS_SUFFIX = ".packets"


class StoreError(CommandError):
    """The data folder cannot be used; the text says what was found and what to do."""


class BadLine(msgspec.Struct, frozen=True):
    """A line of a run file that is not a record: where, and why."""

    path: Path
    line: int
    reason: str


class Contents(msgspec.Struct, frozen=True):
    """What a run file holds. ``torn_bytes`` is the length of a last line without its end."""

    records: tuple[Measurement, ...]
    bad: tuple[BadLine, ...]
    torn_bytes: int


class RunFile:
    """One run being written. Use as a context manager: leaving it finishes the run.

    Args:
        data: the data folder; made if missing.
        run: the run's identifier, which becomes the file's name.

    Attributes:
        packets: where packets of the run's trials go while it lasts; not made until there are any.

    Raises:
        StoreError: the folder cannot be made or written.
    """

    def __init__(self, data: Path, run: str) -> None:
        self._data = data
        self._name = run + SUFFIX
        self.packets = packets_folder(data / "tmp" / self._name)
        try:
            for folder in FOLDERS:
                (data / folder).mkdir(parents=True, exist_ok=True)
            self._file = _open_locked(data / "tmp" / self._name)
        except OSError as error:
            raise StoreError(
                f"found that {data} cannot be written ({error.strerror}), expected a folder for "
                "the results: name another one with --data"
            ) from error

    def append(self, record: Measurement) -> None:
        """Write one record and wait until it is on the disk.

        Args:
            record: a finished trial.

        Raises:
            StoreError: the disk would not take it; the file is back at its last whole record.
        """
        line = encode(record) + b"\n"
        whole = self._file.tell()
        try:
            _write_synced(self._file, line)
        except OSError as error:
            os.ftruncate(self._file.fileno(), whole)
            self._file.seek(whole)
            raise StoreError(
                f"found that {self._file.name} takes no more ({error.strerror}), expected room "
                "for one record: free some disk space; what was measured before is kept"
            ) from error

    def finish(self) -> Path | None:
        """Close the run and move its file to ``new/``.

        Returns:
            The file's new place, or None when the run stored nothing (the file is removed).
        """
        if self._file.closed:
            return None
        empty = self._file.tell() == 0
        place = _settle(self._data, self._name, empty=empty)
        self._file.close()
        return place

    def __enter__(self) -> Self:
        """Return the open run."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Finish the run, however the block ended."""
        self.finish()


def recover(data: Path) -> list[Path]:
    """Bring home the runs of probes that were killed.

    Args:
        data: the data folder; need not exist.

    Returns:
        The recovered files, now in ``new/``, with torn last lines cut off.
    """
    found = []
    for path in sorted((data / "tmp").glob("*" + SUFFIX)):
        with path.open("r+b") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue  # its probe is alive
            whole = _whole_bytes(file.read())
            file.truncate(whole)
            os.fsync(file.fileno())
            place = _settle(data, path.name, empty=whole == 0)
        if place:
            found.append(place)
    return found


def run_files(data: Path) -> list[Path]:
    """List the run files of a data folder, oldest first.

    Args:
        data: the data folder; need not exist.

    Returns:
        Files of finished and unfinished runs; their names sort by time.
    """
    paths = (path for folder in FOLDERS for path in (data / folder).glob("*" + SUFFIX))
    return sorted(paths, key=lambda path: path.name)


def packets_folder(path: Path) -> Path:
    """Return the folder of a run's packets: one pcap file a trial, named after its record.

    Args:
        path: the run's file.

    Returns:
        The folder beside it; there only if packets were kept.
    """
    return path.with_suffix(PACKETS_SUFFIX)


def remove(path: Path) -> None:
    """Delete a run: its file, and its packets if there are any.

    Args:
        path: the run's file.
    """
    packets = packets_folder(path)
    if packets.exists():
        shutil.rmtree(packets)
    path.unlink(missing_ok=True)


def read(path: Path) -> Contents:
    """Read one run file, also while a probe writes it.

    Args:
        path: a ``.jsonl`` file.

    Returns:
        Its records in the order they were written, the lines that are none, and how much of a
        last unfinished line was passed over.
    """
    data = path.read_bytes()
    whole = _whole_bytes(data)
    records, bad = [], []
    for number, line in _lines(data[:whole]):
        try:
            records.append(decode(line))
        except SchemaError as error:
            bad.append(BadLine(path, number, str(error)))
    return Contents(tuple(records), tuple(bad), len(data) - whole)


def _open_locked(path: Path) -> IO[bytes]:
    """Create and lock a file; again if a recovering probe removed it between the two steps."""
    while True:
        file = path.open("xb", buffering=0)
        fcntl.flock(file, fcntl.LOCK_EX)
        if os.fstat(file.fileno()).st_nlink:
            return file
        file.close()


def _write_synced(file: IO[bytes], line: bytes) -> None:
    taken = file.write(line)
    if taken != len(line):
        raise OSError(errno.ENOSPC, f"only {taken} of {len(line)} bytes were taken")
    os.fsync(file.fileno())


def _lines(data: bytes) -> Iterator[tuple[int, bytes]]:
    return ((i, line) for i, line in enumerate(data.split(b"\n"), 1) if line.strip())


def _whole_bytes(data: bytes) -> int:
    return data.rfind(b"\n") + 1


def _settle(data: Path, name: str, *, empty: bool) -> Path | None:
    """Move a file from ``tmp/`` to ``new/`` durably, its packets first; remove an empty one."""
    here, there = data / "tmp" / name, data / "new" / name
    if empty:
        remove(here)
        return None
    if packets_folder(here).exists():
        packets_folder(here).rename(packets_folder(there))
    here.rename(there)
    for folder in (there.parent, here.parent):
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
    return there
