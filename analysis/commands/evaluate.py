"""``analysis evaluate``: how often the analysis is right, on data whose truth is known."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import click

from analysis.commands import Voice
from analysis.errors import DataError
from analysis.evaluate import (
    areas,
    call_rows,
    capture_rows,
    case_study,
    fleets,
    simulation_rows,
    twitter_rows,
)
from analysis.importers import files
from analysis.importers.lines import unpacked


def twitter2021(path: Path, write: Path | None, voice: Voice) -> int:
    """Evaluate on the measurements of 2021, and write the case study if asked.

    Args:
        path: the CSV, or a folder of its daily files.
        write: the Markdown file of the case study.
        voice: how much to say.

    Returns:
        The exit status.
    """
    found = areas.analyse(path)
    with _one_file(files("twitter2021", [path])) as whole:
        click.echo(twitter_rows.evaluate(whole).text())
    click.echo(areas.evaluated_report(found).text())
    if write is not None:
        case_study.write(found, write)
        voice.say(f"wrote {write}")
    return 0


def captures(path: Path, voice: Voice) -> int:
    """Evaluate on labelled packet captures.

    Args:
        path: a folder of captures with ``labels.csv``.
        voice: how much to say.

    Returns:
        The exit status.
    """
    del voice
    click.echo(capture_rows.evaluate(path).text())
    return 0


def simulated(voice: Voice) -> int:
    """Evaluate on simulated sessions, calls and fleets.

    Args:
        voice: how much to say.

    Returns:
        The exit status.
    """
    for what, evaluate in (
        ("sessions", simulation_rows.evaluate),
        ("calls", call_rows.evaluate),
        ("fleets", fleets.evaluate),
    ):
        voice.say(f"simulating {what} ...")
        click.echo(evaluate().text())
    return 0


@contextmanager
def _one_file(found: Sequence[Path]) -> Iterator[Path]:
    """Yield the only file, or one in which the daily files follow each other."""
    if len(found) == 1:
        yield found[0]
        return
    with tempfile.TemporaryDirectory() as folder:
        whole = Path(folder, "measurements.csv")
        header = b""
        with whole.open("wb") as out:
            for path in found:
                first, _, rest = unpacked(path, path.read_bytes()).partition(b"\n")
                if header and first.strip() != header:
                    raise DataError(f"found other columns in {path} than in {found[0]}")
                out.write(rest if header else first + b"\n" + rest)
                out.write(b"" if rest.endswith(b"\n") else b"\n")
                header = first.strip()
        yield whole
