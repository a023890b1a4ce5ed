"""What each command does: one module a command, imported only when that command runs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import click
import msgspec

from analysis.importers import Skipped

FINDING: Final = 5
_SHOWN_LINES: Final = 5


class Voice(msgspec.Struct, frozen=True):
    """How much a command says on stderr besides errors."""

    quiet: bool = False
    verbose: bool = False

    def say(self, text: str) -> None:
        """Print a message, unless told to be quiet."""
        if not self.quiet:
            click.echo(text, err=True)

    def skipped(self, lines: Sequence[Skipped]) -> None:
        """Tell which lines were passed over: the first few, or all of them with ``-v``."""
        if not lines:
            return
        shown = lines if self.verbose else lines[:_SHOWN_LINES]
        for line in shown:
            self.say(str(line))
        more = len(lines) - len(shown)
        rest = f", {more} of them not shown (-v shows all)" if more else ""
        self.say(f"passed over {len(lines)} {'line' if len(lines) == 1 else 'lines'}{rest}")
