"""``analysis detect``: the findings on stdout."""

from __future__ import annotations

from collections.abc import Sequence

import click

from analysis.commands import FINDING, Voice
from analysis.data import Data, open_data
from analysis.detect import detect
from analysis.finding import Finding, to_json
from analysis.lines import finding_lines
from analysis.merge import BAD
from analysis.verdict import judge


def run(data: Sequence[str], *, as_json: bool, exit_on_finding: bool, voice: Voice) -> int:
    """Print one line a finding.

    Args:
        data: the paths called DATA.
        as_json: print every field instead of a sentence.
        exit_on_finding: return a status of its own when there is interference.
        voice: how much to say.

    Returns:
        The exit status.
    """
    findings = detect(opened(data, voice)).findings
    if as_json:
        for finding in findings:
            click.echo(to_json(finding))
    else:
        for line in finding_lines(findings, every=voice.verbose):
            click.echo(line)
    return status(findings, exit_on_finding=exit_on_finding)


def opened(data: Sequence[str], voice: Voice) -> Data:
    """Open DATA and say what of it could not be read."""
    found = open_data(data, judge)
    voice.skipped(found.skipped)
    for torn in found.torn:
        voice.say(str(torn))
    return found


def status(findings: Sequence[Finding], *, exit_on_finding: bool) -> int:
    """Return the exit status of a command that found these."""
    found = any(finding.verdict in BAD for finding in findings)
    return FINDING if exit_on_finding and found else 0
