"""Hand-made reach sessions and the one finding each must give."""

import pytest
from builders import reach

from analysis.verdict import advise, judge
from probe import failure


def session(target_failures, control_failures=None):
    trials = []
    for number, reason in enumerate(target_failures):
        trials.append(reach(number=number, failure=reason))
        other = control_failures[number] if control_failures else None
        trials.append(reach("control", number, failure=other))
    return trials


@pytest.mark.parametrize(
    ("reason", "mechanism"),
    [(failure.TIMEOUT, "dropped"), (failure.RESET, "reset"), (failure.REFUSED, "reset")],
)
def test_addresses_that_never_answer_are_blocked(reason, mechanism):
    finding = judge(session([reason] * 3))
    assert (finding.verdict, finding.mechanism) == ("blocked", mechanism)
    assert "3 of 3" in finding.why


def test_addresses_that_answer_are_normal():
    finding = judge(session([None, None]))
    assert finding.verdict == "normal"
    assert advise(session([None, None])).stop


@pytest.mark.parametrize("reason", sorted(failure.LOCAL))
def test_no_way_out_is_never_a_block(reason):
    finding = judge(session([reason] * 5))
    assert finding.verdict == "inconclusive"
    assert "no way out" in finding.why


def test_a_dead_control_leaves_it_open():
    finding = judge(session([failure.TIMEOUT] * 4, [failure.TIMEOUT] * 4))
    assert finding.verdict == "inconclusive"
    assert failure.TIMEOUT in finding.why


def test_mixed_answers_leave_it_open():
    assert judge(session([failure.TIMEOUT, None])).verdict == "inconclusive"
