"""The tests of networks and dates, held against the real event where its data are."""

import re
from pathlib import Path

import pytest
from test_import_twitter2021 import GOOD, HEADER

from analysis.cli import run
from analysis.evaluate.areas import LIFT_TESTS, analyse, evaluate, evaluated_report

DATA = Path(__file__).parents[2].parent / "shared" / "data" / "twitter-2021" / "measurements.csv.gz"
needs_data = pytest.mark.skipif(
    not DATA.exists(), reason="the measurements of 2021 are not beside the repository"
)


@pytest.fixture(scope="module")
def real():
    return analyse(DATA)


@pytest.fixture(scope="module")
def rows(real):
    return {row.what: row for row in evaluated_report(real).rows}


@needs_data
def test_throttled_networks_above_the_floor_are_found(rows):
    assert rows["the same, above the evidence floor, all networks"].value >= 85.0
    found = rows["throttled networks found, the half not chosen on"]
    assert found.value >= 85.0
    assert "fewer than 3 lines" in found.note


@needs_data
def test_no_network_of_controls_is_flagged(rows):
    assert rows["control against control, networks flagged"].met


@needs_data
def test_few_clean_networks_are_flagged_and_each_is_explained(rows):
    row = rows["networks without the mode that are flagged, all networks"]
    assert row.met
    assert len(row.note.split("; ")) == row.hits


@needs_data
def test_the_landline_lift_is_found_soon_and_mobile_networks_do_not_change(rows):
    assert rows[f"landline lift of 17 May 2021 found within {LIFT_TESTS} tests"].met
    assert rows["slowed mobile networks with a change reported"].met


@needs_data
def test_the_rate_is_the_one_the_limiter_had(real):
    rate = real.modes["twitter", "fetch"]
    assert 105e3 <= rate.low_bps <= rate.rate_bps <= rate.high_bps <= 115e3


@pytest.fixture
def small(tmp_path):
    """Two daily files of one network that is slowed until the last day, and one elsewhere."""
    for day in (13, 14, 15, 16):
        lines = [
            GOOD.replace("192.0.2.0", f"198.51.{line}.0")
            .replace("03-13 00:05", f"03-{day} {line % 24:02}:05")
            .replace("64496,RU", "64496,RU" if line < 20 else f"{64000 + line % 7},DE")
            .replace("108.24", "108.24" if line < 20 and day < 16 else "2600.0")
            for line in range(60)
        ]
        folder = tmp_path / "2021-03"
        folder.mkdir(exist_ok=True)
        (folder / f"{day}.csv").write_text("\n".join([HEADER, *lines]) + "\n")
    return tmp_path


def test_daily_files_are_evaluated_like_one(small):
    rows = {row.what: row for row in evaluate(small).rows}
    found = rows["throttled networks found, all networks"]
    assert (found.hits, found.tries) == (1, 1)


def test_the_case_study_is_written_by_one_command(small, tmp_path, capsys):
    page = tmp_path / "docs" / "study.md"
    page.parent.mkdir()
    assert run(["evaluate", "twitter2021", str(small), "--write", str(page), "--debug"]) == 0
    assert "Networks and dates" in capsys.readouterr().out
    text = page.read_text()
    assert "CC BY 4.0" in text
    for name in re.findall(r"\]\((study/\w+\.svg)\)", text):
        assert (page.parent / name).read_text().startswith("<?xml")


def test_the_case_study_holds_no_line_prefix(small, tmp_path):
    page = tmp_path / "study.md"
    run(["evaluate", "twitter2021", str(small), "--write", str(page), "-q"])
    assert "198.51" not in page.read_text()
