"""Thresholds chosen on all rates but one, and tried on that one."""

import msgspec
import pytest
from builders import policed, session

from analysis import mechanism
from analysis.evaluate.lab_compare import outcome
from analysis.evaluate.lab_folds import GRID, answer, case, report
from analysis.evaluate.lab_matrix import Cell, Expected

CELL = Cell(
    preset="policed@128k.1.1", engine="netns", seed=1, services=("twitter",), kinds=("fetch",)
)
POLICED = Expected(
    service="twitter", kind="fetch", verdict="throttled", mechanisms=("policed",), rate_bps=130e3
)
ANYTHING_IS_A_QUEUE = msgspec.structs.replace(mechanism.THRESHOLDS, queue_ratio=0.5)


def one(fold, expected=POLICED):
    sessions = [session([policed(number=number) for number in range(3)])]
    return case(fold, outcome(CELL, expected, "twitter", "fetch", sessions), sessions)


def test_a_case_is_answered_by_the_thresholds_it_is_given():
    right = ("throttled policed", "throttled policed")
    assert answer(one("128 kbit/s"), mechanism.THRESHOLDS) == right
    assert answer(one("128 kbit/s"), ANYTHING_IS_A_QUEUE) != right


def test_with_the_shipped_thresholds_the_answer_is_what_the_program_says():
    seen = one("128 kbit/s")
    assert answer(seen, mechanism.THRESHOLDS) == seen.outcome.mechanisms


def test_an_honest_answer_in_the_place_of_a_verdict_names_no_mechanism():
    free = Expected(service="twitter", kind="fetch", verdict="blocked", accept=("throttled",))
    free = msgspec.structs.replace(free, mechanisms=("dns",))
    assert answer(one("128 kbit/s", free), mechanism.THRESHOLDS) is None


def test_a_service_without_a_record_is_a_miss():
    missing = case("64 kbit/s", outcome(CELL, POLICED, "twitter", "fetch", []), [])
    assert answer(missing, mechanism.THRESHOLDS) == ("throttled policed", "none")


def test_every_fold_is_left_out_once_and_the_shipped_thresholds_stand_beside():
    rows = report([one("64 kbit/s"), one("128 kbit/s")], "x").rows
    assert [row.what for row in rows[1:3]] == [
        "... left out: 64 kbit/s",
        "... left out: 128 kbit/s",
    ]
    assert rows[0].value == pytest.approx(1.0)
    assert rows[0].target == 0.90
    assert rows[-1].value == pytest.approx(1.0)


def test_a_mistake_is_counted_and_named():
    shaped = msgspec.structs.replace(POLICED, mechanisms=("shaped",))
    rows = report([one("64 kbit/s"), one("128 kbit/s", shaped)], "x").rows
    assert rows[-1].value < 0.9
    assert "throttled shaped taken for throttled policed 1" in rows[-1].note


def test_the_grid_is_of_thresholds_that_the_rules_have():
    assert set(GRID) <= set(mechanism.Thresholds.__struct_fields__)
