"""The sequential test on real lines: the Russia Twitter Throttle measurements of 2021.

Each row is one browser's speeds of abs.twimg.com, of a neutral control, and of a second control
whose name contains ``t.co``, within seconds of each other. The two controls, neither throttled, are
what real noise looks like. Rows are split by a hash of the subnet, so that one line is never on
both sides: scale and offset are fitted on one half, sessions drawn from the other.
"""

from __future__ import annotations

import csv
import gzip
import hashlib
import math
from collections import defaultdict
from pathlib import Path
from typing import Final, Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from analysis.errors import DataError
from analysis.evaluate.sessions import (
    SESSIONS,
    Outcome,
    null_rows,
    play,
    power_rows,
)
from analysis.evaluate.tables import Report, Row, share
from analysis.sequential import CAP_PAIRS, DF, SCALE

Array = NDArray[np.float64]

SEED: Final = 20210517
_COLUMNS: Final = ("test_result", "control_result", "control_taco_result", "subnet")
#: Speeds at which throttled tests lie, kbit/s (5th to 95th percentile 81-124).
_THROTTLED_KBPS: Final = (60.0, 200.0)
#: A control this much faster than the throttled band was not held back itself.
_FREE_KBPS: Final = 4 * 200.0
_TESTS: Final = 3
#: Slowdown, and the 95th percentile of pairs it may take.
_POWER: Final = ((2.0, 8.0), (3.0, 6.0), (10.0, 4.0))


class MeasurementsError(DataError):
    """A file that is not such measurements; the text says what was found."""


class Test(msgspec.Struct, frozen=True):
    """One row: speeds in kbit/s, and the line it came from."""

    line: str
    target: float
    control: float
    second: float


def split(line: str) -> Literal["choose", "report"]:
    """Say which half a line belongs to.

    Args:
        line: its subnet.

    Returns:
        By the parity of the subnet's SHA-256.
    """
    return "report" if hashlib.sha256(line.encode()).digest()[-1] % 2 else "choose"


def read(path: Path) -> list[Test]:
    """Read the measurements.

    Args:
        path: a CSV file, gzipped if its name ends so.

    Returns:
        Rows in which all three speeds are positive.

    Raises:
        MeasurementsError: a column is missing.
    """
    opener = gzip.open if path.suffix == ".gz" else open
    with opener(path, "rt", newline="", encoding="utf-8") as file:
        rows = csv.DictReader(file)
        missing = sorted(set(_COLUMNS) - set(rows.fieldnames or ()))
        if missing:
            raise MeasurementsError(f"{path.name}: found no column {', '.join(missing)}")
        tests = [Test(row["subnet"], *(_speed(row[name]) for name in _COLUMNS[:3])) for row in rows]
    return [test for test in tests if min(test.target, test.control, test.second) > 0.0]


def evaluate(path: Path, seed: int = SEED) -> Report:
    """Measure false alarms and power of the sequential test on real noise.

    Args:
        path: the measurements.
        seed: of the resampling.

    Returns:
        The rows.

    Raises:
        MeasurementsError: the file is not such measurements.
    """
    tests = read(path)
    halves: dict[str, list[Test]] = {"choose": [], "report": []}
    for test in tests:
        halves[split(test.line)].append(test)
    chosen, reported = (_between_controls(halves[half]) for half in ("choose", "report"))
    offset = float(np.median(chosen))
    noise, rng = reported - offset, np.random.default_rng(seed)
    null = _sessions(noise, 1.0, rng)
    rows = null_rows("two real controls, resampled into sessions", null, most_pairs=4.0)
    for slower, most in _POWER:
        what = f"real noise, {slower:g}x slower"
        rows += power_rows(what, _sessions(noise, slower, rng), most_pairs=most)
    note = (
        f"{len(reported)} of {len(tests)} tests are reported, those of other subnets fitted: "
        f"offset {offset:.3f}, scale {fit_scale(chosen - offset):.3f} at {DF} degrees of freedom "
        f"(the test uses {SCALE['A']}). Seed {seed}."
    )
    return Report(
        title="Real lines of 2021",
        notes=(note,),
        rows=(*rows, *_throttled_lines(halves["report"])),
    )


def fit_scale(noise: Array) -> float:
    """Fit the scale of Student-t noise of known degrees of freedom, location 0.

    Args:
        noise: log ratios of two controls, without their offset.

    Returns:
        The scale of greatest likelihood.
    """
    from scipy.optimize import minimize_scalar  # noqa: PLC0415 - half a second to import

    def cost(log_scale: float) -> float:
        scaled = noise / math.exp(log_scale)
        return float(((DF + 1.0) / 2.0 * np.log1p(scaled**2 / DF) + log_scale).sum())

    return math.exp(float(minimize_scalar(cost, bounds=(-6.0, 2.0), method="bounded").x))


def _between_controls(tests: list[Test]) -> Array:
    return np.array([math.log(test.second / test.control) for test in tests])


def _sessions(noise: Array, slower: float, rng: np.random.Generator) -> list[Outcome]:
    drawn = rng.choice(noise, (SESSIONS, CAP_PAIRS["A"])) - math.log(slower)
    return [play(row, SCALE["A"], CAP_PAIRS["A"], truth=slower) for row in drawn.tolist()]


def _throttled_lines(tests: list[Test]) -> tuple[Row, Row]:
    """Sessions made of the real tests of one subnet, throttled or free by their speeds."""
    low, high = _THROTTLED_KBPS
    lines: dict[str, list[Test]] = defaultdict(list)
    for test in tests:
        if test.control >= _FREE_KBPS:
            lines[test.line].append(test)
    throttled: list[Outcome] = []
    free: list[Outcome] = []
    for group in lines.values():
        inside = sum(low <= test.target <= high for test in group)
        if len(group) < _TESTS or 0 < inside < len(group):
            continue
        # Target and control came from different networks: the scale of grade C.
        ratios = [math.log(test.target / test.control) for test in group]
        outcome = play(ratios, SCALE["C"], CAP_PAIRS["C"])
        (throttled if inside else free).append(outcome)
    return (
        share(
            f"subnets whose {_TESTS} or more tests all ran at 60-200 kbit/s, called throttled",
            sum(o.decision == "slower" for o in throttled),
            len(throttled),
        ),
        share(
            f"subnets whose {_TESTS} or more tests all ran at other speeds, called throttled",
            sum(o.decision == "slower" for o in free),
            len(free),
            note="no label says that these were free of other slowdowns",
        ),
    )


def _speed(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        return 0.0
    return value if math.isfinite(value) else 0.0
