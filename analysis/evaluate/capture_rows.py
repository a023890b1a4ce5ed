"""How well policers are found, and their rates, in labelled captures of real TCP.

A folder holds captures taken at the sender and ``labels.csv`` (file, kind, rate_bps, bucket_bytes,
flows ...). Thresholds of ``analysis.policing`` and ``analysis.rate`` were chosen on the files that
:func:`split` puts under ``choose``; what is printed for ``report`` had no part in that.
"""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Iterable, Sequence
from pathlib import Path
from statistics import median
from typing import Final, Literal

import msgspec
import numpy as np

from analysis import policing, rate
from analysis.evaluate.captures_read import CaptureError, transfers
from analysis.evaluate.tables import Report, Row, share
from analysis.finding import Rate
from analysis.policing import Marks

Split = Literal["choose", "report"]

#: The limiter of these captures counts Ethernet frames.
_FRAME_HEADER_BYTES: Final = 66
_VOTES: Final = 2
_SEED: Final = 20160822
_RATE_MOST_BPS: Final = 1_500_000
_BUCKET_LEAST_BYTES: Final = 100_000
#: A label that names a rate but no bucket says nothing of what limits; counted on its own.
_UNCLEAR: Final = "unlimited"


class Label(msgspec.Struct, frozen=True):
    """One line of ``labels.csv``."""

    file: str
    kind: str
    rate_bps: int
    bucket_bytes: int
    flows: int
    rtt_ms: float


class Seen(msgspec.Struct, frozen=True):
    """What one capture came to: the marks of its transfers, and the rate of all its flows."""

    label: Label
    marks: tuple[Marks, ...]
    rate: Rate | None

    @property
    def alone(self) -> tuple[bool, ...]:
        """Of each transfer, whether it alone bears the marks of a policer."""
        return tuple(mark.policed for mark in self.marks)

    @property
    def dropped(self) -> tuple[bool, ...]:
        """Of each, whether packets were lost: one that the bucket holds whole shows nothing."""
        return tuple((mark.drops or 0.0) >= policing.DROP_RATIO for mark in self.marks)

    @property
    def found(self) -> bool:
        """Whether the trace is called policed."""
        return sum(self.alone) >= _VOTES

    @property
    def policed(self) -> tuple[bool, ...]:
        """Of each, whether it is called policed, as the judge does with a session's transfers.

        Where several bear the marks, drops without a queue in the others are the same policer's.
        """
        return tuple(
            mark.policed or (self.found and bool(mark.flat) and dropped)
            for mark, dropped in zip(self.marks, self.dropped, strict=True)
        )

    @property
    def rate_error(self) -> float | None:
        """Relative error of the rate, signed."""
        return None if self.rate is None else self.rate.value / self.label.rate_bps - 1.0


def split(file: str) -> Split:
    """Say which half a capture belongs to.

    Args:
        file: its name.

    Returns:
        By the parity of the name's SHA-256.
    """
    return "report" if hashlib.sha256(file.encode()).digest()[-1] % 2 else "choose"


def labels(folder: Path) -> list[Label]:
    """Read the labels of a folder.

    Args:
        folder: with ``labels.csv``.

    Returns:
        One per capture.

    Raises:
        CaptureError: the file is missing or lacks a column.
    """
    try:
        with (folder / "labels.csv").open(newline="", encoding="utf-8") as file:
            return [
                Label(
                    row["file"],
                    row["kind"],
                    int(row["rate_bps"]),
                    int(row["bucket_bytes"] or 0),
                    int(row["flows"]),
                    float(row["rtt_ms"]),
                )
                for row in csv.DictReader(file)
            ]
    except (OSError, KeyError, ValueError) as error:
        raise CaptureError(
            f"{folder / 'labels.csv'}: found {error}, expected the columns file, kind, rate_bps, "
            "bucket_bytes, flows, rtt_ms"
        ) from error


def look(folder: Path, label: Label) -> Seen:
    """Judge one capture from what its receiver saw.

    Args:
        folder: where it lies.
        label: its label, of which only the file name and the round trip are used.

    Returns:
        Votes and rate.

    Raises:
        CaptureError: the capture cannot be read.
    """
    flows = transfers(folder / label.file)
    marks = [policing.marks(fetch) for flow in flows for fetch in flow]
    arrivals = [[rate.series(fetch, _FRAME_HEADER_BYTES) for fetch in flow] for flow in flows]
    if len(arrivals) == 1:
        parts = arrivals[0]
    else:
        parts = rate.pieces(rate.summed([rate.joined(flow) for flow in arrivals]))
        together = [fetch for flow in flows for fetch in flow]
        marks += [policing.marks_of_sum(part, together) for part in parts]
    return Seen(
        label=label,
        marks=tuple(marks),
        rate=rate.estimate(
            parts,
            np.random.default_rng(_SEED),
            rtt_s=label.rtt_ms / 1000.0,
            flows=len(flows),
        ),
    )


def evaluate(folder: Path) -> Report:
    """Measure detection and rate on every capture of a folder.

    Args:
        folder: captures and ``labels.csv``.

    Returns:
        The rows for the half that chose no threshold, then for all.

    Raises:
        CaptureError: a file cannot be read.
    """
    seen = [look(folder, label) for label in labels(folder)]
    reported = [s for s in seen if split(s.label.file) == "report"]
    note = (
        f"{len(reported)} of {len(seen)} captures are reported; the thresholds were chosen on the "
        "others (split by a hash of the file name). Only what the receiver saw is used. A chunk "
        "is one transfer of a trace."
    )
    return Report(
        title="Captures of policers, shapers and lossy lines",
        notes=(note,),
        rows=(*_rows(reported, ""), *_rows(seen, "all captures, those of the choice included: ")),
    )


def _rows(seen: Sequence[Seen], prefix: str) -> tuple[Row, ...]:
    one = [s for s in seen if s.label.flows == 1]
    two = [s for s in seen if s.label.flows > 1 and s.label.kind == "policed"]
    policed = [s for s in one if s.label.kind == "policed"]
    rest = [s for s in one if s.label.kind not in ("policed", _UNCLEAR)]
    unclear = [s for s in seen if s.label.kind == _UNCLEAR]
    return (
        _chunks(f"{prefix}policed chunks found, one flow", policed, target=0.80, sense="at least"),
        _dropping(f"{prefix}of these, chunks found in which packets were dropped", policed),
        _alone(f"{prefix}of these, chunks found without help of others in the trace", policed),
        _chunks(f"{prefix}other chunks called policed", rest, target=0.01, sense="at most"),
        _traces(f"{prefix}policed traces found, one flow", policed, target=0.90, sense="at least"),
        _traces(f"{prefix}other traces called policed", rest, target=0.01, sense="at most"),
        _traces(f"{prefix}two flows behind one policer found", two, target=0.60, sense="at least"),
        _error(f"{prefix}two flows, median error of the rate", two),
        *_near(prefix, policed),
        _covered(f"{prefix}rate interval covers the truth, where not a lower bound", policed + two),
        _traces(
            f"{prefix}label '{_UNCLEAR}' (a rate but no bucket) called policed",
            unclear,
            target=None,
            sense="at least",
        ),
    )


def _chunks(
    what: str, seen: Iterable[Seen], *, target: float, sense: Literal["at least", "at most"]
) -> Row:
    votes = [vote for s in seen for vote in s.policed]
    return share(what, sum(votes), len(votes), target=target, sense=sense)


def _dropping(what: str, seen: Iterable[Seen]) -> Row:
    votes = [v for s in seen for v, d in zip(s.policed, s.dropped, strict=True) if d]
    return share(what, sum(votes), len(votes))


def _alone(what: str, seen: Iterable[Seen]) -> Row:
    votes = [vote for s in seen for vote in s.alone]
    return share(what, sum(votes), len(votes))


def _traces(
    what: str, seen: Sequence[Seen], *, target: float | None, sense: Literal["at least", "at most"]
) -> Row:
    return share(what, sum(s.found for s in seen), len(seen), target=target, sense=sense)


def _error(what: str, seen: Sequence[Seen]) -> Row:
    errors = [abs(s.rate_error) for s in seen if s.rate_error is not None]
    return Row(
        what=what,
        value=100.0 * median(errors) if errors else None,
        unit="%",
        target=5.0,
        note=f"{len(errors)} of {len(seen)} traces gave a rate",
    )


def _near(prefix: str, policed: Sequence[Seen]) -> tuple[Row, Row]:
    slow = [
        s
        for s in policed
        if s.label.rate_bps <= _RATE_MOST_BPS and s.label.bucket_bytes >= _BUCKET_LEAST_BYTES
    ]
    errors = [abs(s.rate_error) if s.rate_error is not None else 1.0 for s in slow]
    what = f"{prefix}rate at 1.5 Mbit/s or less, bucket 100 kB or more, within"
    return (
        share(f"{what} 5 %", sum(e <= 0.05 for e in errors), len(errors), target=0.95),  # noqa: PLR2004
        share(f"{what} 10 %", sum(e <= 0.10 for e in errors), len(errors), target=1.0),  # noqa: PLR2004
    )


def _covered(what: str, seen: Sequence[Seen]) -> Row:
    known = [
        (s.rate.low <= s.label.rate_bps <= s.rate.high)
        for s in seen
        if s.rate is not None
        and not s.rate.lower_bound
        and s.rate.low is not None
        and s.rate.high is not None
    ]
    return share(what, sum(known), len(known), target=0.93)
