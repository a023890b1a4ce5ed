"""Several sessions make one finding, and those that disagree are counted."""

import subprocess
import sys
from datetime import UTC, datetime, timedelta

import pytest

from analysis.finding import Finding, Rate, Slowdown, Window
from analysis.merge import merge, merge_cell
from analysis.shares import excess

START = datetime(2026, 11, 21, tzinfo=UTC)


def finding(verdict, day=0, **fields):
    start = START + timedelta(days=day)
    plain = {
        "service": "twitter",
        "kind": "fetch",
        "country": "RU",
        "asn": 64496,
        "network": None,
        "window": Window(start=start, end=start + timedelta(minutes=5)),
        "sessions": 1,
        "pairs": 3,
        "grade": "C",
        "verdict": verdict,
        "mechanism": None,
        "rate_bps": None,
        "slowdown": None,
        "since": None,
        "until": None,
        "log_odds": 8.0 if verdict == "throttled" else -5.0,
        "why": f"It is {verdict}.",
    }
    return Finding(**{**plain, **fields})


def days(*verdicts):
    return [finding(verdict, day) for day, verdict in enumerate(verdicts)]


def test_one_session_is_what_it_was():
    [merged] = merge([finding("normal")])
    assert (merged.verdict, merged.sessions, merged.why) == ("normal", 1, "It is normal.")


def test_services_kinds_and_networks_are_kept_apart():
    found = merge([finding("normal"), finding("normal", kind="call"), finding("normal", asn=7)])
    assert [(item.kind, item.asn) for item in found] == [
        ("call", 64496),
        ("fetch", 7),
        ("fetch", 64496),
    ]


def test_sessions_pairs_and_windows_add_up():
    merged = merge_cell(days("throttled", "throttled", "inconclusive"))
    assert (merged.sessions, merged.pairs) == (3, 9)
    assert merged.window.start == START
    assert merged.window.end == START + timedelta(days=2, minutes=5)


def test_interference_that_half_the_sessions_see_is_reported_with_its_count():
    merged = merge_cell(days("throttled", "normal", "throttled", "normal"))
    assert merged.verdict == "throttled"
    assert merged.why == "It is throttled. The same in 2 of 4 sessions (others: 2 normal)."


def test_one_false_call_among_many_is_mentioned_and_not_believed():
    merged = merge_cell(days("throttled", *["normal"] * 9))
    assert merged.verdict == "normal"
    assert "others: 1 throttled" in merged.why


def test_more_false_calls_than_chance_explains_are_believed():
    assert merge_cell(days(*["throttled"] * 4, *["normal"] * 30)).verdict == "throttled"


def test_open_sessions_do_not_outvote_decided_ones():
    assert merge_cell(days("inconclusive", "inconclusive", "normal")).verdict == "normal"


def test_only_open_sessions_give_the_commonest_answer():
    assert merge_cell(days("slow_line", "inconclusive", "slow_line")).verdict == "slow_line"


def test_since_and_until_frame_the_last_stretch():
    verdicts = ("throttled", "normal", "throttled", "inconclusive", "throttled", "normal")
    merged = merge_cell(days(*verdicts))
    assert merged.since == START + timedelta(days=2)
    assert merged.until == START + timedelta(days=5)


def test_a_service_that_is_still_slow_has_no_until():
    assert merge_cell(days("normal", "throttled", "throttled")).until is None


def test_the_slowdown_is_that_of_the_sentence_or_is_named_beside_it():
    far = finding("throttled", slowdown=Slowdown(value=67.0, low=40.0, high=115.0))
    near = finding("throttled", grade="A", slowdown=Slowdown(value=37.0), log_odds=12.0)
    one = merge_cell([far, near])
    assert one.slowdown == near.slowdown
    assert "in the middle" not in one.why
    more = finding("throttled", slowdown=Slowdown(value=87.0, low=60.0, high=125.0), day=1)
    several = merge_cell([far, more])
    assert several.slowdown == Slowdown(value=77.0, low=40.0, high=125.0)
    assert several.why.endswith("2 of 2 sessions, 77 times (40-125) slower in the middle.")


def test_a_confirmation_that_sees_nothing_is_no_end():
    sessions = [finding("throttled"), finding("normal", day=1, grade="A")]
    assert merge_cell(sessions).until is None


def test_rates_of_agreeing_sessions_join_to_their_median_and_widest_interval():
    rates = [
        finding("throttled", day, rate_bps=Rate(value=value, low=value - 5, high=value + 5))
        for day, value in enumerate((120.0, 130.0, 150.0))
    ]
    merged = merge_cell([*rates, finding("normal", 4, rate_bps=Rate(value=1.0))])
    assert merged.rate_bps == Rate(value=130.0, low=115.0, high=155.0)


def test_an_interval_that_one_session_lacks_is_not_invented():
    sessions = [
        finding("throttled", 0, slowdown=Slowdown(value=4.0, low=3.0, high=5.0)),
        finding("throttled", 1, slowdown=Slowdown(value=6.0)),
    ]
    assert merge_cell(sessions).slowdown == Slowdown(value=5.0)


def test_the_best_grade_of_agreeing_sessions_counts():
    assert merge_cell([finding("throttled"), finding("throttled", 1, grade="A")]).grade == "A"


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 2, 0)])
def test_the_order_of_reading_does_not_matter(order):
    found = days("normal", "throttled", "throttled")
    assert merge([found[at] for at in order]) == merge(found)


def test_a_live_run_need_not_wait_for_scipy():
    words = "import sys, analysis.merge, analysis.verdict, analysis.wording; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", words], capture_output=True, check=True)
    assert "scipy" not in loaded.stdout.decode().split()


def test_the_chance_of_so_many_hits_is_that_of_the_binomial():
    assert excess(0, 5, 0.01) == 1.0
    assert excess(1, 2, 0.25) == pytest.approx(1 - 0.75**2)
    assert excess(3, 3, 0.01) == pytest.approx(1e-6)


def over(http, value, **fields):
    return finding("throttled", http=http, rate_bps=Rate(value=value), why="It is.", **fields)


def test_versions_of_http_keep_rates_of_their_own():
    merged = merge_cell([over("h3", 512e3, day=0), over("http/1.1", 128e3), over("h3", 513e3)])
    assert (merged.http, merged.rate_bps.value) == ("http/1.1", 128e3)
    assert merged.why.endswith("Over QUIC: 512 kbit/s.")
    assert merged.sessions == 3


def test_what_only_quic_suffers_is_said_of_quic():
    merged = merge_cell([finding("normal", http="http/1.1"), over("h3", 512e3)])
    assert (merged.verdict, merged.http, merged.rate_bps.value) == ("throttled", "h3", 512e3)
    assert "Over" not in merged.why


def test_our_own_server_running_well_does_not_clear_a_service_slowed_by_its_address():
    cleared = [finding("normal", grade="B") for _ in range(2)]
    merged = merge_cell([finding("throttled"), *cleared])
    assert merged.verdict == "throttled"
    assert "others: 2 normal" in merged.why


def test_a_server_slow_under_either_name_is_throttled_by_its_address():
    slow = finding("throttled", mechanism="policed", log_odds=8.0)
    either = finding("slow_line", grade="A", log_odds=-9.0)
    merged = merge_cell([slow, either])
    assert (merged.verdict, merged.mechanism, merged.grade) == ("throttled", "policed", "C")
    assert "the address that is slowed and not the name" in merged.why


def test_a_name_that_is_slowed_on_one_server_is_not_said_to_be_an_address():
    sessions = [finding("throttled"), finding("throttled", grade="A")]
    assert "address" not in merge_cell(sessions).why
    assert "address" not in merge_cell([finding("throttled"), finding("normal", grade="A")]).why


def test_where_there_is_nothing_else_our_own_server_is_what_counts():
    assert merge_cell([finding("normal", grade="B")]).verdict == "normal"
    assert merge_cell([finding("normal", grade="B", kind="upload")]).verdict == "normal"


@pytest.mark.parametrize(
    ("first", "confirming", "merged"),
    [
        ("policed", "random_loss", "policed"),
        ("policed", "unclassified", "policed"),
        ("shaped", "policed", "policed"),
        ("random_loss", "unclassified", "unclassified"),
    ],
)
def test_a_vague_mechanism_gives_way_to_a_sure_one_and_then_to_the_better_grade(
    first, confirming, merged
):
    sessions = [
        finding("throttled", mechanism=first, why=f"It is {first}."),
        finding("throttled", mechanism=confirming, grade="A", why=f"It is {confirming}."),
    ]
    found = merge_cell(sessions)
    assert found.mechanism == merged
    assert found.why.startswith(f"It is {merged}.")
