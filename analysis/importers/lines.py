"""JSON lines, plain or gzip, each turned into rows or passed over with its reason."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from analysis.errors import DataError
from analysis.importers import Imported, Skipped, content_hash
from analysis.rows import SessionRow, TrialRow

#: What a line's reader returns: its trials and its sessions.
Rows = tuple[list[TrialRow], list[SessionRow]]


class BadLineError(ValueError):
    """A line that is not what the format says; the text says what was found."""


def read_lines(
    path: Path, what: str, rows_of: Callable[[dict[str, Any], str, str], Rows]
) -> Imported:
    """Read a file of JSON objects, one a line, or one object over many lines.

    Args:
        path: the file.
        what: what it should hold, for messages.
        rows_of: makes rows of one object; gets it, the file's content hash and a name for the
            session, and raises :class:`BadLineError` for what it cannot use.

    Returns:
        The rows, and the lines passed over.

    Raises:
        DataError: no line was readable, or the file cannot be unpacked.
    """
    data = path.read_bytes()
    source = content_hash(data)
    text = unpacked(path, data)
    found = Imported(path=path, source=source, trials=[], sessions=[], skipped=[])
    for number, line in _objects(text):
        try:
            trials, sessions = rows_of(_object(line), source, f"{source}-{number}")
        except BadLineError as error:
            found.skipped.append(Skipped(path, number, str(error)))
            continue
        found.trials.extend(trials)
        found.sessions.extend(sessions)
    if not found.trials and not found.sessions:
        first = f", the first because: {found.skipped[0].reason}" if found.skipped else ""
        raise DataError(
            f"found nothing readable in {path} ({len(found.skipped)} lines were passed over"
            f"{first}), expected {what}"
        )
    return found


def unpacked(path: Path, data: bytes) -> bytes:
    """Return a file's content, unpacked if it is gzip.

    Args:
        path: for the message.
        data: the file's bytes.

    Raises:
        DataError: it is gzip and damaged.
    """
    if data[:2] != b"\x1f\x8b":
        return data
    try:
        return gzip.decompress(data)
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(
            f"found that {path} cannot be unpacked ({error}), expected a whole gzip file: "
            "fetch it again"
        ) from error


def _objects(data: bytes) -> list[tuple[int, bytes]]:
    lines = data.split(b"\n")
    if len(lines) > 1 and not lines[0].rstrip().endswith(b"}"):
        # One object, indented over many lines.
        return [(1, data)]
    return [(number, line) for number, line in enumerate(lines, 1) if line.strip()]


def _object(line: bytes) -> dict[str, Any]:
    try:
        found = msgspec.json.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadLineError(f"found a line that is not JSON ({error})") from error
    if not isinstance(found, dict):
        raise BadLineError(f"found {type(found).__name__}, expected a JSON object")
    return found
