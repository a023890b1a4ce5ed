"""The rows made of real lines of 2021: read, split, fitted, resampled."""

import gzip
from pathlib import Path

import numpy as np
import pytest

from analysis.evaluate.twitter_rows import MeasurementsError, evaluate, fit_scale, read, split
from analysis.sequential import DF

REAL = Path(__file__).parents[3] / "shared" / "data" / "twitter-2021" / "measurements.csv.gz"
COLUMNS = "subnet,test_result,control_result,control_taco_result\n"


def test_rows_without_three_speeds_are_left_out(tmp_path):
    path = tmp_path / "some.csv.gz"
    rows = "192.0.2.0/24,100.5,4000,3900\n192.0.2.0/24,,1,1\n192.0.2.0/24,0,1,1\nx,nan,1,1\n"
    with gzip.open(path, "wt") as file:
        file.write(COLUMNS + rows)
    (test,) = read(path)
    assert (test.target, test.control, test.second) == (100.5, 4000.0, 3900.0)


def test_a_file_without_the_columns_is_refused(tmp_path):
    path = tmp_path / "other.csv"
    path.write_text("a,b\n1,2\n")
    with pytest.raises(MeasurementsError, match="control_result"):
        evaluate(path)


def test_one_line_is_never_on_both_sides():
    assert split("192.0.2.0/24") == split("192.0.2.0/24")
    assert {split(f"192.0.{n}.0/24") for n in range(50)} == {"choose", "report"}


def test_the_scale_of_known_noise_is_found():
    noise = 0.3 * np.random.default_rng(2).standard_t(DF, 20_000)
    assert fit_scale(noise) == pytest.approx(0.3, rel=0.03)


@pytest.mark.skipif(not REAL.exists(), reason=f"no {REAL.name} of 2021 beside the repository")
def test_the_real_file_is_read_whole():
    tests = read(REAL)
    assert len(tests) > 19_000
    halves = [split(test.line) for test in tests]
    assert 0.4 < halves.count("report") / len(tests) < 0.6
