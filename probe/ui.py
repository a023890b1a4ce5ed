"""What a run shows: one small emitter per kind of output.

Results go to standard output, everything else to standard error. The words and figures of a row
come from the analysis; here they are only laid out.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Final, Protocol

import msgspec
from rich.console import Console
from rich.status import Status as Spinner
from rich.text import Text

from probe.bench import Conclusion, Progress
from probe.exits import Status
from probe.measurement import Vantage
from probe.plan import Plan

_STYLES: Final = {
    "THROTTLED": "bold red",
    "BLOCKED": "bold red",
    "DEGRADED": "bold red",
    "normal": "green",
    "slow line": "yellow",
    "not sure": "yellow",
}
_PROGRESS_EVERY_S: Final = 0.2


class Ended(msgspec.Struct, frozen=True, kw_only=True):
    """How a run ended: its exit status, what it moved, how long it took, what it found."""

    status: Status
    used_bytes: int
    seconds: float
    found: int
    file: Path | None


class Emitter(Protocol):
    """Where a run says what it does."""

    def begin(self, vantage: Vantage, plan: Plan, left_bytes: int) -> None:
        """The run starts: where, how much, how long."""

    def progress(self, progress: Progress) -> None:
        """A trial is under way."""

    def conclusion(self, conclusion: Conclusion) -> None:
        """The sessions of one service and kind have been judged."""

    def not_measured(self, service: str, kind: str, why: str) -> None:
        """A service and kind that was planned and gave no record."""

    def say(self, sentence: str) -> None:
        """A message for the person."""

    def end(self, ended: Ended, data: Path) -> None:
        """The run is over; its file is in this data folder."""


class Human:
    """A table that grows, and a spinner where there is a terminal.

    Args:
        verbose: also show what a trial is doing where there is no terminal.
        quiet: show the table's rows only.
    """

    def __init__(self, *, verbose: bool = False, quiet: bool = False) -> None:
        self._out = Console(highlight=False, markup=False, soft_wrap=True)
        self._err = Console(stderr=True, highlight=False, markup=False, soft_wrap=True)
        self._spinner: Spinner | None = None
        self._verbose = verbose
        self._quiet = quiet
        self._shown_at = 0.0
        self._last: tuple[str, str, str, int] | None = None

    def begin(self, vantage: Vantage, plan: Plan, left_bytes: int) -> None:
        """Say where the probe sits and what the run will cost."""
        if self._quiet:
            return
        self._out.print(f"{place(vantage)}. {cost(plan, left_bytes)}. Ctrl-C keeps what is done.\n")
        if self._err.is_terminal:
            self._spinner = self._err.status("starting")
            self._spinner.start()

    def progress(self, progress: Progress) -> None:
        """Show the trial under way, a few times a second at most."""
        now = time.monotonic()
        if self._spinner and now - self._shown_at >= _PROGRESS_EVERY_S:
            self._shown_at = now
            self._spinner.update(doing(progress))
        step = (progress.service, progress.kind, progress.arm, progress.round)
        if self._verbose and not self._spinner and step != self._last:
            self._last = step
            self._err.print(doing(progress))

    def conclusion(self, conclusion: Conclusion) -> None:
        """Add a row to the table."""
        c = conclusion
        line = Text(f"  {c.service:<11}{c.kind:<8}{c.figures:<26} ")
        line.append(f"{c.word:<12}", style=_STYLES.get(c.word, ""))
        line.append(c.detail)
        self._row(line)

    def not_measured(self, service: str, kind: str, why: str) -> None:
        """Add a row without a result."""
        self._row(Text(f"  {service:<11}{kind:<8}{'':<26} not measured  {why}"))

    def say(self, sentence: str) -> None:
        """Print a message."""
        self._err.print(Text(sentence))

    def _row(self, line: Text) -> None:
        """Print a row; the spinner, which may share the terminal, steps aside meanwhile."""
        if self._spinner:
            self._spinner.stop()
        self._out.print(line)
        if self._spinner:
            self._spinner.start()

    def end(self, ended: Ended, data: Path) -> None:
        """Take the spinner away and say what was moved, and where the results are."""
        if self._spinner:
            self._spinner.stop()
            self._spinner = None
        if _has_results(ended) and not self._quiet:
            self._out.print(f"\n{closing(ended, data)}")


class Json:
    """One JSON object per finding on standard output, sentences on standard error."""

    def __init__(self, say: Callable[[str], None], write: Callable[[str], None]) -> None:
        self._say = say
        self._write = write

    def begin(self, vantage: Vantage, plan: Plan, left_bytes: int) -> None:
        """Say nothing."""

    def progress(self, progress: Progress) -> None:
        """Say nothing."""

    def conclusion(self, conclusion: Conclusion) -> None:
        """Write the finding."""
        self._write(conclusion.json_line)

    def not_measured(self, service: str, kind: str, why: str) -> None:
        """Name the gap on standard error: there is no finding to write."""
        self._say(f"{service} {kind}: not measured, {why}")

    def say(self, sentence: str) -> None:
        """Print a message."""
        self._say(sentence)

    def end(self, ended: Ended, data: Path) -> None:
        """Say where the results are, beside them."""
        if _has_results(ended):
            self._say(closing(ended, data))


def _has_results(ended: Ended) -> bool:
    """A line that was down has left a record, and nothing to report on."""
    return ended.file is not None and ended.status is not Status.LINE_DOWN


def closing(ended: Ended, data: Path) -> str:
    """Say what a run moved and where its results are."""
    minutes, seconds = divmod(round(ended.seconds), 60)
    return (
        f"{ended.used_bytes / 1e6:.0f} MB in {minutes} min {seconds} s. Kept in {data}; "
        f"see it with: analysis report {data} -o report"
    )


def place(vantage: Vantage) -> str:
    """Name the vantage: ``AS12389 Rostelecom, RU, fixed line``."""
    if not vantage.asn:
        network = "Unknown network"
    else:
        name = vantage.network or ""
        network = name if name == f"AS{vantage.asn}" else f"AS{vantage.asn} {name}".rstrip()
    country = "country unknown" if vantage.country == "ZZ" else vantage.country
    line = {"fixed": ", fixed line", "mobile": ", mobile", "hosting": ", hosting"}
    return f"{network}, {country}{line.get(vantage.network_type, '')}"


def cost(plan: Plan, left_bytes: int) -> str:
    """Say what a plan will move and how long it will take.

    Args:
        plan: the sessions.
        left_bytes: what the budget leaves; a plan that usually needs more ends there.
    """
    share = min(1.0, left_bytes / max(plan.bytes, 1))
    services = len(plan.services)
    minutes = max(1, round(share * plan.seconds / 60))
    size = _size(plan.bytes)
    if share < 1.0:
        size = f"{_size(max(left_bytes, 0))} (the budget; usually {size})"
    return (
        f"{services} service{'s' if services != 1 else ''}, about {size} "
        f"and {minutes} minute{'s' if minutes != 1 else ''}"
    )


def _size(size_bytes: float) -> str:
    return f"{size_bytes / 1e6:.0f} MB" if size_bytes >= 1e6 else f"{size_bytes / 1e3:.0f} kB"  # noqa: PLR2004 - a megabyte


def doing(progress: Progress) -> str:
    """Name the trial under way."""
    rate = f" at {progress.rate_bps / 1e6:.2f} Mbit/s" if progress.rate_bps else ""
    return f"{progress.service} {progress.kind}, pair {progress.round + 1}, {progress.arm}{rate}"
