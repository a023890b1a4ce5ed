"""``analysis export``: records in another project's format."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path

import click
import msgspec

from analysis import runfiles
from analysis.commands import Voice
from analysis.errors import DataError
from analysis.export_ooni import to_ooni


def run(data: Sequence[str], output: Path, voice: Voice) -> int:
    """Write fetches as OONI measurements, one JSON object a line, and print the file's path.

    Args:
        data: the paths called DATA: data folders and run files.
        output: the file.
        voice: how much to say.

    Returns:
        The exit status.

    Raises:
        DataError: there is no fetch in them, or the file cannot be written.
    """
    loaded = runfiles.load([Path(path) for path in data])
    voice.skipped(loaded.skipped)
    fetches = [t for session in loaded.sessions for t in session.trials if t.fetch]
    if not fetches:
        raise DataError(f"found no fetch in {', '.join(data)}, expected at least one to export")
    lines = [
        msgspec.json.encode(to_ooni(trial, random.Random(trial.id)))  # noqa: S311 - moments only
        for trial in fetches
    ]
    try:
        output.write_bytes(b"\n".join(lines) + b"\n")
    except OSError as error:
        raise DataError(
            f"found that {output} cannot be written ({error.strerror}), expected a file to write"
        ) from error
    click.echo(output)
    return 0
