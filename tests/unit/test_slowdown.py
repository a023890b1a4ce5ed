"""The slowdown's interval holds the truth as often as it says."""

import math

import numpy as np
import pytest

from analysis.sequential import DF
from analysis.slowdown import estimate


@pytest.mark.parametrize("pairs", [3, 8])
def test_the_interval_covers_the_truth_as_often_as_it_says(pairs):
    rng = np.random.default_rng(pairs)
    draws = 0.18 * rng.standard_t(DF, (1500, pairs)) - math.log(4.0)
    found = [estimate(row, 0.18) for row in draws.tolist()]
    covered = sum(f.low <= 4.0 <= f.high for f in found)
    assert 0.93 <= covered / len(found) <= 0.97


def test_one_stray_pair_hardly_moves_the_estimate():
    clean = estimate([-1.0, -1.1, -0.9, -1.0], 0.18)
    stray = estimate([-1.0, -1.1, -0.9, -1.0, 3.0], 0.18)
    assert stray.value == pytest.approx(clean.value, rel=0.1)


def test_more_pairs_narrow_the_interval():
    few, many = estimate([-1.0] * 3, 0.18), estimate([-1.0] * 12, 0.18)
    assert many.high / many.low < few.high / few.low


def test_no_pairs_have_no_slowdown():
    assert estimate([], 0.18) is None
