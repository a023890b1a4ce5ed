"""False alarms and power of the sequential test on simulated sessions."""

from __future__ import annotations

from typing import Final

import numpy as np

from analysis.evaluate.sessions import Outcome, null_rows, play, power_rows, simulated
from analysis.evaluate.tables import Report, Row
from analysis.sequential import CAP_PAIRS, SCALE

#: The clip of the test and its alternatives were chosen with seed 1; this one reports.
SEED: Final = 20250811
#: Slowdown, and the 95th percentile of pairs it may take, by grade.
_POWER: Final = {"A": ((2.0, 8.0), (3.0, 6.0), (10.0, 4.0)), "C": ((2.0, 25.0),)}


def evaluate(seed: int = SEED) -> Report:
    """Simulate sessions of Student-t pairs, 10,000 for each row.

    Args:
        seed: of the simulation.

    Returns:
        False alarms, likelihood ratio and power for controls on the same and another network.
    """
    rng = np.random.default_rng(seed)
    rows: list[Row] = []
    for grade, powers in _POWER.items():
        rows += null_rows(f"simulated null, grade {grade}", _sessions(grade, 1.0, rng))
        for slower, most in powers:
            what = f"simulated {slower:g}x slower, grade {grade}"
            rows += power_rows(what, _sessions(grade, slower, rng), most_pairs=most)
    note = (
        f"Seed {seed}. The mean likelihood ratio is 1 by construction, and carried by the few "
        "sessions in a thousand that go astray: what counts is whether its interval lies above 1."
    )
    return Report(title="Simulated sessions", rows=tuple(rows), notes=(note,))


def _sessions(grade: str, slower: float, rng: np.random.Generator) -> list[Outcome]:
    scale, cap = SCALE[grade], CAP_PAIRS[grade]
    drawn = simulated(slower, scale, rng, cap)
    return [play(row, scale, cap, truth=slower) for row in drawn.tolist()]
