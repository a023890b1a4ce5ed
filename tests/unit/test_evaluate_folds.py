"""How well the mechanism is told at each rate of a sweep."""

import msgspec
import pytest
from builders import policed, session

from analysis.evaluate.lab_compare import outcome
from analysis.evaluate.lab_folds import report
from analysis.evaluate.lab_matrix import Cell, Expected, Preset

POLICED = Expected(service="twitter", kind="fetch", verdict="throttled", mechanisms=("policed",))
SHAPED = msgspec.structs.replace(POLICED, mechanisms=("shaped",))


def preset(name, fold):
    return Preset(
        name=name,
        title=name,
        engines=("netns",),
        probability=1.0,
        services={"twitter": ("fetch",)},
        fold=fold,
    )


def one(name, expected):
    """A run in which a policer was found, where this was to be found."""
    cell = Cell(preset=name, engine="netns", seed=1, services=("twitter",), kinds=("fetch",))
    trials = session([policed(number=number) for number in range(3)])
    return outcome(cell, expected, "twitter", "fetch", [trials])


KNOWN = {"a": preset("a", "64 kbit/s"), "b": preset("b", "128 kbit/s"), "c": preset("c", "")}


def test_each_rate_has_a_score_of_its_own_beside_that_of_all():
    found = report([one("a", POLICED), one("b", SHAPED), one("c", SHAPED)], KNOWN, "x")
    assert found is not None
    whole, low, high = found.rows
    assert whole.value == pytest.approx(1 / 3)  # policed found twice of once, shaped never
    assert (low.what, low.value, high.value) == ("... at 64 kbit/s, or as gravely", 1.0, 0.0)


def test_a_mistake_is_counted_and_named():
    found = report([one("a", SHAPED)], KNOWN, "x")
    assert found is not None
    assert found.rows[0].note == "1 answers; throttled shaped taken for throttled policed 1"


def test_presets_that_are_no_sweep_have_no_such_report():
    assert report([one("c", POLICED)], {"c": KNOWN["c"]}, "x") is None
