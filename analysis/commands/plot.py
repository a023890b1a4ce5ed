"""``analysis plot``: one plot in a file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click

from analysis.commands import Voice
from analysis.commands.detect import opened
from analysis.plots import draw


def run(kind: str, data: Sequence[str], output: Path, service: str | None, voice: Voice) -> int:
    """Draw a plot and print the file's path.

    Args:
        kind: a key of :data:`analysis.plots.KINDS`.
        data: the paths called DATA.
        output: the file.
        service: which service, where the data hold several.
        voice: how much to say.

    Returns:
        The exit status.
    """
    draw.draw(kind, opened(data, voice), service, output)
    click.echo(output)
    return 0
