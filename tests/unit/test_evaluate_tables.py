"""Shares with their intervals, and rows against targets."""

import numpy as np
import pytest

from analysis.evaluate.sessions import Outcome, null_rows, play, power_rows
from analysis.evaluate.tables import Report, Row, share
from analysis.intervals import wilson


@pytest.mark.parametrize(
    ("hits", "tries", "low", "high"),
    [(0, 10, 0.0, 0.2775), (10, 10, 0.7225, 1.0), (50, 100, 0.4038, 0.5962), (0, 0, 0.0, 1.0)],
)
def test_wilson_intervals_are_those_of_the_textbook(hits, tries, low, high):
    assert wilson(hits, tries) == pytest.approx((low, high), abs=5e-5)


def test_a_share_is_held_against_its_target():
    assert share("found", 99, 100, target=0.99).met
    assert not share("found", 98, 100, target=0.99).met
    assert share("false", 1, 1000, target=0.001, sense="at most").met
    assert share("found", 0, 0, target=0.5).met is False
    assert share("found", 1, 2).met is None


def test_a_figure_within_its_error_of_a_target_keeps_it():
    row = Row(what="mean", value=1.2, target=1.0, low=0.7, high=1.7)
    assert not row.met
    assert Row(what="mean", value=1.2, target=1.0, low=0.7, high=1.7, within_error=True).met
    sense = {"sense": "at least", "within_error": True}
    assert Row(what="mean", value=0.9, target=1.0, low=0.7, high=1.1, **sense).met


def test_a_report_is_a_table_with_counts_and_intervals():
    text = Report(title="T", rows=(share("found", 9, 10, target=0.99),), notes=("N",)).text()
    assert "| found | 90 % (9 of 10) | 59.6 - 98.2 | at least 99 % | **no** |" in text
    assert text.startswith("## T\n\nN\n")


def test_a_session_is_played_to_its_decision():
    slow = play([-3.0] * 25, 0.18, 25, truth=float(np.exp(3.0)))
    assert (slow.decision, slow.pairs, slow.covered) == ("slower", 3, True)
    assert play([0.0] * 25, 0.18, 25).decision == "clear"
    assert play([-0.35] * 4, 0.18, 4).decision is None


def test_sessions_are_summed_up():
    outcomes = [Outcome("clear", 3, -5.0)] * 999 + [Outcome("slower", 4, 7.0)]
    flagged, ratio, pairs = null_rows("null", outcomes, most_pairs=4.0)
    assert (flagged.hits, flagged.met) == (1, True)
    assert ratio.value == pytest.approx(np.exp(7.0) / 1000 + np.exp(-5.0), rel=0.01)
    assert pairs.met
    found, most, covered = power_rows(
        "2x", [Outcome("slower", 3, 7.0, covered=True)] * 10, most_pairs=8
    )
    assert (found.met, most.value, covered.hits) == (True, 3.0, 10)
