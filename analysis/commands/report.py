"""``analysis report``: the HTML report."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import click

from analysis.commands import Voice
from analysis.commands.detect import opened, status
from analysis.detect import detect
from analysis.report import write


def run(data: Sequence[str], output: Path, *, exit_on_finding: bool, voice: Voice) -> int:
    """Write the report and print its path.

    Args:
        data: the paths called DATA.
        output: the report's folder.
        exit_on_finding: return a status of its own when there is interference.
        voice: how much to say.

    Returns:
        The exit status.
    """
    source = opened(data, voice)
    found = detect(source)
    click.echo(write(output, source, found, datetime.now(UTC)))
    return status(found.findings, exit_on_finding=exit_on_finding)
