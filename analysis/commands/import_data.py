"""``analysis import``: files of a format into a dataset."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click

from analysis.commands import Voice
from analysis.dataset import build
from analysis.importers.offer import offer


def run(format_name: str, paths: Sequence[Path], output: Path, voice: Voice) -> int:
    """Build or extend a dataset and print its path.

    Args:
        format_name: a key of :data:`analysis.importers.FORMATS`.
        paths: files and folders.
        output: the dataset's folder.
        voice: how much to say.

    Returns:
        The exit status.
    """
    built = build(output, offer(format_name, list(paths)))
    voice.skipped(built.skipped)
    voice.say(
        f"{built.added} files added, {built.replaced} replaced, {built.unchanged} known already; "
        f"the dataset holds {built.sessions} sessions"
    )
    click.echo(output)
    return 0
