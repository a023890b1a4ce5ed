"""A plan names every session with its control, and what the run will cost."""

import random

import msgspec
from plans import KINDS, plan_of, targets

from analysis.sequential import CAP_PAIRS
from probe.confirm import confirmations
from probe.plan import all_hosts, brief_plan, make_plan
from probe.services import FarEnd
from probe.session_kinds import (
    MAX_FETCH_PAIRS,
    CallSession,
    FetchSession,
    ReachSession,
    RelaySession,
)


def test_both_arms_of_a_fetch_move_the_same_number_of_bytes() -> None:
    (session,) = plan_of(targets(), only=("twitter",)).sessions
    assert isinstance(session, FetchSession)
    assert session.control.url == "https://pages.example/a"
    assert session.limit_bytes == 400_000
    assert session.control_kind == "C"


def test_without_a_far_end_calls_go_to_relays_beside_neutral_ones() -> None:
    plan = plan_of(targets(), only=("telegram",), kinds=("call",))
    assert plan.sessions == (
        RelaySession(
            "telegram",
            (
                ("91.108.9.35:1400", "stun.example:3478"),
                ("91.108.13.23:1400", "stun2.example:3478"),
            ),
        ),
    )


def test_relays_that_have_no_second_pair_are_left_alone() -> None:
    given = targets()
    del given.controls["stun2"]
    assert plan_of(given, only=("telegram",), kinds=("call",)).sessions == ()


def test_with_a_far_end_every_shape_is_a_session_of_its_own() -> None:
    far_end = FarEnd(url="https://far.example:443", calls=(3478, 1400))
    plan = plan_of(targets(far_end), only=("telegram",), kinds=("call",))
    shapes = [s.shape for s in plan.sessions if isinstance(s, CallSession)]
    assert shapes == ["telegram", "stun-rtp"]
    assert {s.control_kind for s in plan.sessions if isinstance(s, CallSession)} == {"B"}


def test_reach_compares_each_address_with_the_neutral_host() -> None:
    (session,) = plan_of(targets(), kinds=("reach",)).sessions
    assert isinstance(session, ReachSession)
    assert session.control == "pages.example:443"


def test_only_the_wanted_kinds_and_services_are_planned() -> None:
    assert plan_of(targets(), kinds=("fetch",)).services == ("twitter",)
    assert plan_of(targets(), only=("telegram",)).services == ("telegram",)


def test_fetches_come_first_and_services_in_an_order_that_differs_from_run_to_run() -> None:
    given = targets()
    for name in ("facebook", "tiktok", "youtube"):
        given.services[name] = given.services["twitter"]
    plans = [make_plan(given, random.Random(i), only=(), kinds=KINDS) for i in range(20)]
    kinds = [session.kind for session in plans[0].sessions]
    assert kinds == ["fetch"] * 4 + ["reach", "call"]
    assert len({tuple(s.service for s in plan.sessions) for plan in plans}) > 1


def test_the_cost_counts_the_usual_pairs_of_every_session() -> None:
    plan = plan_of(targets())
    assert plan.bytes == sum(s.pair_bytes * s.usual_pairs for s in plan.sessions)
    assert plan.seconds > 20


def test_the_dry_run_names_every_host_also_of_the_line_check_and_the_vantage() -> None:
    given = targets()
    hosts = all_hosts(plan_of(given), given)
    assert {"abs.twimg.com:443", "91.108.9.35:1400/udp"} <= set(hosts)
    assert {"post.example:443", "stun.example:3478/udp"} <= set(hosts)


def test_uploads_go_to_the_far_end_under_both_names_and_only_where_asked_for() -> None:
    given = targets(FarEnd(url="https://far.example:443/", calls=(3478,)))
    (session,) = plan_of(given, kinds=("upload",)).sessions
    assert isinstance(session, FetchSession)
    assert (session.direction, session.control_kind) == ("up", "B")
    assert session.target.url == session.control.url == "https://far.example:443/sink"
    assert (session.target.sni, session.control.sni) == ("abs.twimg.com", "pages.example")
    assert "upload" not in {s.subject for s in plan_of(given).sessions}
    assert confirmations(session, given) == ()


def test_without_a_far_end_there_is_nobody_to_send_to() -> None:
    assert plan_of(targets(), kinds=("upload",)).sessions == ()


def test_every_version_of_http_is_a_session_and_quic_has_quic_for_a_control() -> None:
    given = targets()
    every = ("http/1.1", "h2", "h3")
    (target,) = given.services["twitter"].fetch
    spoken = msgspec.structs.replace(target, http=every)
    given.services["twitter"] = msgspec.structs.replace(given.services["twitter"], fetch=(spoken,))

    def versions() -> list[tuple[str, str]]:
        sessions = plan_of(given, only=("twitter",)).sessions
        return [(s.target.http, s.control.http) for s in sessions if isinstance(s, FetchSession)]

    assert versions() == [("http/1.1", "http/1.1"), ("h2", "http/1.1")]
    given.controls["pages"] = msgspec.structs.replace(given.controls["pages"], http=every)
    assert versions() == [(version, version) for version in every]


def test_a_session_ends_undecided_where_the_evaluation_counts_on_it() -> None:
    assert {**CAP_PAIRS, "D": CAP_PAIRS["C"]} == MAX_FETCH_PAIRS


def test_where_nothing_abroad_answers_what_is_there_gets_one_short_look() -> None:
    given = targets(FarEnd(url="https://far.example:443", calls=(3478,)))
    given.services["vk"] = msgspec.structs.replace(
        given.services["twitter"], controls=("post",), trigger_names=()
    )
    whole = plan_of(given)
    cut = brief_plan(whole, given)
    assert [s.service for s in cut.sessions] == [s.service for s in whole.sessions]
    assert [s.service for s in cut.sessions if not s.brief] == ["vk"]
    assert all(s.most_pairs == s.usual_pairs == s.least_pairs == 1 for s in cut.sessions if s.brief)
    assert {s.limit_s for s in cut.sessions if s.brief and s.subject != "call"} == {3.5}
    (vk,) = (s for s in cut.sessions if not s.brief)
    assert (cut.bytes, cut.seconds) == (5 * vk.pair_bytes, 5 * vk.pair_s)
