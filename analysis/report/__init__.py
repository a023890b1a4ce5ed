"""The report: one HTML file that holds everything it shows and fetches nothing."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Sequence
from datetime import UTC, datetime
from hashlib import sha256
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

import jinja2
import msgspec
from markupsafe import Markup

from analysis.data import Data
from analysis.detect import Detection
from analysis.errors import AnalysisError
from analysis.events import Event, Revision, revisions
from analysis.finding import Finding, to_json
from analysis.plots.style import bit_rate
from analysis.report.figures import Section, sections

PAGE: Final = "index.html"
FINDINGS: Final = "findings.jsonl"
EVENTS: Final = "events.json"

_BADGES: Final = {
    "throttled": "throttled",
    "blocked": "blocked",
    "call_degraded": "calls degraded",
    "normal": "normal",
    "slow_line": "slow line",
    "inconclusive": "not sure",
}
_ORDER: Final = tuple(_BADGES)
_MOST_ROWS: Final = 20
_GRADES: Final = {
    "A": "same server, neutral name",
    "B": "our own server on both sides",
    "C": "another network's server",
    "D": "only the past",
}


def write(directory: Path, data: Data, detection: Detection, made: datetime) -> Path:
    """Write a report.

    Args:
        directory: where to; made if missing.
        data: what was opened.
        detection: what was found in it.
        made: when the report is made, UTC.

    Returns:
        The page's path. ``findings.jsonl`` lies beside it, and ``events.json``, by which the next
        report in this folder knows what was told before and says what late data have moved.

    Raises:
        AnalysisError: the folder cannot be written.
    """
    events = detection.timeline.events
    moved = revisions(_told(directory / EVENTS), events)
    page = render(detection, sections(data, detection), made, data, moved)
    lines = b"".join(to_json(finding) + b"\n" for finding in detection.findings)
    try:
        directory.mkdir(parents=True, exist_ok=True)
        (directory / FINDINGS).write_bytes(lines)
        (directory / EVENTS).write_bytes(msgspec.json.encode(events))
        (directory / PAGE).write_text(page, encoding="utf-8")
    except OSError as error:
        raise AnalysisError(
            f"found that {directory} cannot be written ({error.strerror}), expected a folder for "
            "the report: name another one with -o"
        ) from error
    return directory / PAGE


def render(
    detection: Detection,
    shown: Sequence[Section],
    made: datetime,
    data: Data,
    moved: Sequence[Revision] = (),
) -> str:
    """Make the page.

    Args:
        detection: what was found.
        shown: the services' plots and tables.
        made: when, UTC.
        data: what was opened, for the counts at the foot.
        moved: events told earlier that stand elsewhere now.

    Returns:
        HTML.
    """
    style = _resource("page.css")
    digest = b64encode(sha256(style.encode()).digest()).decode()
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters.update(rate=bit_rate, when=_when, rate_span=_rate_span, times=_times)
    ordered = sorted(detection.findings, key=_weight)
    open_ones = [item for item in ordered if item.verdict in ("inconclusive", "slow_line")]
    telling = [item for item in ordered if item.verdict not in ("inconclusive", "slow_line")]
    return environment.from_string(_resource("page.html")).render(
        style=Markup(style),  # noqa: S704  # our own file, hashed in the policy
        style_hash=digest,
        made=made,
        badges=_BADGES,
        grades=_GRADES,
        counts=_counts(ordered),
        telling=telling,
        most=_MOST_ROWS,
        open=open_ones,
        sections=shown,
        window=_window(ordered),
        skipped=len(data.skipped),
        torn=len(data.torn),
        moved=[str(item) for item in moved],
    )


def _told(path: Path) -> tuple[Event, ...]:
    """Read the events of the report that was here before; a file that is none told nothing."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=tuple[Event, ...])
    except (FileNotFoundError, msgspec.DecodeError, UnicodeDecodeError):
        return ()


def _weight(finding: Finding) -> tuple[Any, ...]:
    return (_ORDER.index(finding.verdict), -finding.log_odds, finding.service, finding.asn)


def _counts(findings: Sequence[Finding]) -> list[tuple[str, str, int]]:
    counted = dict.fromkeys(_ORDER, 0)
    for finding in findings:
        counted[finding.verdict] += 1
    return [(key, _BADGES[key], n) for key, n in counted.items() if n]


def _window(findings: Sequence[Finding]) -> tuple[datetime, datetime] | None:
    if not findings:
        return None
    return (
        min(finding.window.start for finding in findings),
        max(finding.window.end for finding in findings),
    )


def _when(value: datetime) -> str:
    return value.astimezone(UTC).strftime("%Y-%m-%d %H:%M")


def _rate_span(finding: Finding) -> str:
    rate = finding.rate_bps
    if rate is None:
        return ""
    prefix = "at least " if rate.lower_bound else ""
    if rate.low is None or rate.high is None:
        return prefix + bit_rate(rate.value)
    return f"{prefix}{bit_rate(rate.value)} ({bit_rate(rate.low)} to {bit_rate(rate.high)})"


def _times(finding: Finding) -> str:
    slow = finding.slowdown
    if slow is None:
        return ""
    if slow.low is None or slow.high is None:
        return f"{slow.value:.3g} times"
    return f"{slow.value:.3g} times ({slow.low:.3g} to {slow.high:.3g})"


def _resource(name: str) -> str:
    return files("analysis.report").joinpath(name).read_text(encoding="utf-8")
