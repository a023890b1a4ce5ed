"""Freeze tests tell what is counted, and never enter a pair."""

import msgspec
import pytest
from builders import bucket_arrivals, fetch, session, silent_fetch, trial

from analysis import freezes
from analysis.pairs import pair_up
from analysis.verdict import advise, judge
from analysis.wording import describe
from probe import failure
from probe.measurement import Fetch

STOPS = bucket_arrivals(40e6, 1e9, 14_480)


def pushed(test, arm="target", why=None, number=3):
    body = Fetch(url="https://abs.twimg.com/file", method="HEAD", direction="up", test=test)
    return trial("fetch", arm, number, fetch=body, failure=why, id=f"{test}-{arm}-{why}")


def pushes(*, packets=None, lengths=None, control=None):
    """Two repetitions of both tests in both arms, with the failures given."""
    once = [
        pushed("freeze_packets", why=packets),
        pushed("freeze_bytes", why=lengths),
        pushed("freeze_packets", "control", control),
        pushed("freeze_bytes", "control", control),
    ]
    return [*once, *once]


def frozen(count=3):
    stopped = [fetch(number=n, arrivals=STOPS, cut_s=15.0) for n in range(count)]
    return session([*stopped, *(fetch(number=n, bps=1e5) for n in range(count, 3))])


@pytest.mark.parametrize(
    ("ends", "counted"),
    [
        ({"packets": failure.TIMEOUT, "lengths": failure.TIMEOUT}, "packets"),
        ({"lengths": failure.TIMEOUT}, "bytes"),
        ({}, "sends"),
        ({"lengths": failure.EOF}, "unclear"),
        ({"packets": failure.TIMEOUT, "control": failure.TIMEOUT}, "unclear"),
    ],
)
def test_what_is_counted_shows_in_which_test_falls_silent(ends, counted):
    assert freezes.read(pushes(**ends)) == counted


def test_tests_that_disagree_say_nothing():
    mixed = [*pushes(lengths=failure.TIMEOUT), *pushes()]
    assert freezes.read(mixed) == "unclear"


def test_without_tests_there_is_nothing_to_say():
    assert freezes.read(frozen()) is None


def test_the_judge_wants_freeze_tests_once_transfers_stop_and_no_more_after():
    assert advise(frozen()).want == "freeze"
    assert advise([*frozen(), *pushes()]).want is None


def test_the_judge_wants_them_on_suspicion_too():
    assert advise(frozen(2)).want == "freeze"


def test_the_finding_says_what_is_counted():
    finding = judge([*frozen(), *pushes(packets=failure.TIMEOUT, lengths=failure.TIMEOUT)])
    assert finding.mechanism == "frozen"
    assert "packets are counted" in finding.why


def test_tests_that_fall_silent_settle_a_suspicion():
    finding = judge([*frozen(2), *pushes(lengths=failure.TIMEOUT)])
    assert finding.mechanism == "frozen"
    assert "2 of 3 transfers stop dead" in finding.why


def test_a_transfer_cut_by_a_reset_is_looked_into_too():
    targets = [fetch(number=n, arrivals=STOPS, failure=failure.RESET) for n in range(3)]
    assert advise(session(targets)).want == "freeze"
    finding = judge([*session(targets), *pushes(lengths=failure.TIMEOUT)])
    assert "bytes are counted" in finding.why


def stopped_at(*counts, **fields):
    """Transfers that end after so many bytes."""
    return [
        fetch(number=n, arrivals=bucket_arrivals(40e6, 1e9, size), **fields)
        for n, size in enumerate(counts)
    ]


def test_the_stop_point_is_named_to_within_a_segment():
    targets = stopped_at(14_480, 15_928, 14_480, cut_s=15.0)
    assert "after 14.5 kB every time" in judge(session(targets)).why


def test_a_server_that_stalls_now_here_now_there_is_not_frozen():
    finding = judge(session(stopped_at(14_480, 90_000, 200_000, cut_s=15.0)))
    assert (finding.verdict, finding.mechanism) == ("throttled", "unclassified")


def test_a_slow_server_that_never_falls_silent_is_not_frozen():
    crawling = bucket_arrivals(8e3, 14_480, line_bps=40e6)
    targets = [fetch(number=n, arrivals=crawling, cut_s=25.0) for n in range(3)]
    assert judge(session(targets)).mechanism != "frozen"


def test_resets_now_here_now_there_are_no_freeze():
    finding = judge(session(stopped_at(14_480, 90_000, 200_000, failure=failure.RESET)))
    assert finding.verdict == "inconclusive"


def test_a_server_that_hangs_up_at_a_point_may_cap_what_it_gives():
    targets = stopped_at(64_000, 64_000, 64_000, failure=failure.EOF, control_kind="C")
    finding = judge(session(targets, control_kind="C"))
    assert finding.verdict == "inconclusive"
    assert "a limit of its own" in finding.why


def test_a_server_that_caps_bytes_caps_them_under_a_neutral_name_too():
    capped = stopped_at(64_000, 64_000, 64_000, failure=failure.EOF)
    controls = [msgspec.structs.replace(t, arm="control", id=t.id + "c") for t in capped]
    assert judge([*capped, *controls]).verdict == "inconclusive"
    assert judge(session(capped)).mechanism == "frozen"


def test_a_black_hole_is_a_block_and_no_freeze():
    finding = judge(session([silent_fetch(n) for n in range(3)]))
    assert (finding.verdict, finding.mechanism) == ("blocked", "dropped")


def test_freeze_tests_change_neither_pairs_nor_figures():
    plain, more = frozen(), [*frozen(), *pushes(lengths=failure.TIMEOUT)]
    assert pair_up(more) == pair_up(plain)
    assert judge(more).log_odds == judge(plain).log_odds
    finding = judge(more)
    assert describe(finding, more) == describe(finding, plain)


def test_a_record_without_the_field_is_a_plain_transfer():
    old = msgspec.json.encode({"url": "https://a.example/"})
    assert msgspec.json.decode(old, type=Fetch).test == "plain"
