"""What the line as a whole says against what one session seems to show."""

import msgspec
import pytest
from builders import failed_fetch, fetch, policed, session

from analysis.verdict import advise, judge
from probe import failure
from probe.measurement import NeutralHosts

WALLED = NeutralHosts(domestic="ok", foreign=failure.TIMEOUT)
OPEN = NeutralHosts(domestic="ok", foreign="ok")


def on(neutral, trials, **fields):
    return [msgspec.structs.replace(trial, neutral=neutral, **fields) for trial in trials]


def both_fail():
    targets = [failed_fetch(failure.TIMEOUT, number) for number in range(3)]
    return [*targets, *(msgspec.structs.replace(t, arm="control", id=t.id + "c") for t in targets)]


@pytest.mark.parametrize(
    "trials",
    [both_fail(), session([failed_fetch(failure.TIMEOUT, n) for n in range(3)])],
    ids=["the control fails too", "only the target fails"],
)
def test_where_only_listed_sites_pass_nothing_that_fails_is_blamed_on_a_service(trials):
    finding = judge(on(WALLED, trials))
    assert (finding.verdict, finding.mechanism) == ("inconclusive", None)
    assert "only listed sites pass" in finding.why
    assert "generic_timeout_error" in finding.why
    assert advise(on(WALLED, trials)).stop


def test_the_same_failures_on_an_open_line_are_a_block():
    trials = session([failed_fetch(failure.TIMEOUT, n) for n in range(3)])
    assert judge(on(OPEN, trials)).verdict == "blocked"


def test_what_comes_through_is_judged_all_the_same():
    usual = session([fetch(number=n) for n in range(3)])
    assert judge(on(WALLED, usual)).verdict == "normal"
    slow = session([policed(number=n) for n in range(3)])
    assert judge(on(WALLED, slow)).verdict == "throttled"


def test_a_session_that_the_budget_ended_says_so():
    trials = session([fetch(number=0)])
    assert judge(on(OPEN, trials, out_of_budget=True)).why.endswith("budget ended the session.")
    assert "budget" not in judge(trials).why
