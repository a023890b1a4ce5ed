"""A plan names every session with its control, and what the run will cost."""

import random
from datetime import date

import msgspec
import pytest

from probe.plan import (
    CallSession,
    FetchSession,
    ReachSession,
    RelaySession,
    confirmations,
    line_checks,
    make_plan,
    origin,
    pair_bytes,
    subject,
    usual_pairs,
)
from probe.targets import CallTarget, Control, FarEnd, FetchTarget, ReachTarget, Service, Targets

KINDS = ("fetch", "call", "reach")


def targets(far_end: FarEnd | None = None) -> Targets:
    return Targets(
        version=1,
        reviewed=date(2026, 11, 21),
        expires=date(2027, 2, 21),
        far_end=far_end,
        controls={
            "pages": Control(
                name="Pages", url="https://pages.example/a", scope="foreign", source="s"
            ),
            "post": Control(
                name="Post", url="https://post.example/a", scope="domestic", source="s"
            ),
            "stun": Control(
                name="S", relay="stun://stun.example:3478", scope="foreign", source="s"
            ),
            "stun2": Control(
                name="S", relay="stun://stun2.example:3478", scope="foreign", source="s"
            ),
        },
        services={
            "twitter": Service(
                name="Twitter",
                group="social",
                controls=("pages",),
                trigger_names=("abs.twimg.com",),
                fetch=(FetchTarget(url="https://abs.twimg.com/x", min_bytes=450_000, source="s"),),
            ),
            "telegram": Service(
                name="Telegram",
                group="messenger",
                controls=("pages",),
                reach=(ReachTarget(address="149.154.167.51:443"),),
                call=(
                    CallTarget(
                        profile="voip-60",
                        shapes=("telegram", "stun-rtp"),
                        relays=("stun://91.108.9.35:1400", "stun://91.108.13.23:1400"),
                        source="s",
                    ),
                ),
            ),
        },
    )


def plan_of(given: Targets, **changes: object):
    options = {"only": (), "kinds": KINDS, **changes}
    return make_plan(given, random.Random(1), **options)


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


def test_a_finding_is_confirmed_on_the_same_server_and_at_the_far_end() -> None:
    far_end = FarEnd(url="https://far.example:443", calls=(3478,))
    given = targets(far_end)
    (session,) = plan_of(given, only=("twitter",)).sessions
    grade_a, grade_b, _ = confirmations(session, given)
    assert isinstance(session, FetchSession)
    assert (grade_a.target, grade_a.control.url) == (session.target, session.target.url)
    assert grade_a.control.sni == "pages.example"
    assert (grade_b.target.sni, grade_b.control.sni) == ("abs.twimg.com", "pages.example")
    assert grade_b.target.url == grade_b.control.url == "https://far.example:443/bytes/100000"


def test_without_a_far_end_only_the_service_itself_confirms() -> None:
    (session,) = plan_of(targets(), only=("twitter",)).sessions
    assert [s.control_kind for s in confirmations(session, targets())] == ["A"]


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
    assert plan.bytes == sum(pair_bytes(s) * usual_pairs(s) for s in plan.sessions)
    assert plan.seconds > 20


def test_the_dry_run_names_every_host() -> None:
    hosts = plan_of(targets()).hosts
    assert "abs.twimg.com:443" in hosts
    assert "91.108.9.35:1400/udp" in hosts


def test_the_line_is_checked_at_home_and_abroad() -> None:
    assert [scope for scope, _ in line_checks(targets())] == ["domestic", "foreign"]


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://a.example/x", "a.example:443"),
        ("http://a.example/x", "a.example:80"),
        ("https://a.example:8443/x", "a.example:8443"),
    ],
)
def test_an_origin_has_the_port_its_scheme_implies(url: str, expected: str) -> None:
    assert origin(url) == expected


def test_uploads_go_to_the_far_end_under_both_names_and_only_where_asked_for() -> None:
    given = targets(FarEnd(url="https://far.example:443/", calls=(3478,)))
    (session,) = plan_of(given, kinds=("upload",)).sessions
    assert isinstance(session, FetchSession)
    assert (session.direction, session.control_kind) == ("up", "B")
    assert session.target.url == session.control.url == "https://far.example:443/sink"
    assert (session.target.sni, session.control.sni) == ("abs.twimg.com", "pages.example")
    assert "upload" not in {subject(s) for s in plan_of(given).sessions}
    assert confirmations(session, given) == ()


def test_without_a_far_end_there_is_nobody_to_send_to() -> None:
    assert plan_of(targets(), kinds=("upload",)).sessions == ()


def test_what_only_confirms_is_smaller_and_sooner_over() -> None:
    (session,) = plan_of(targets(), only=("twitter",)).sessions
    (further,) = confirmations(session, targets())
    assert isinstance(session, FetchSession)
    assert further.limit_bytes < session.limit_bytes
    assert further.limit_s < session.limit_s


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


def test_last_a_recording_is_played_with_the_far_end_beside_its_inverted_copy() -> None:
    given = targets(FarEnd(url="https://far.example:443", calls=(3478,), replay=8444))
    (session,) = plan_of(given, only=("twitter",)).sessions
    *_, played = confirmations(session, given)
    assert (played.control_kind, played.target.play, played.control.play) == (
        "B",
        "replay",
        "inverted",
    )
    assert played.target.url == played.control.url == "http://far.example:8444/"
    assert played.target.sni == "abs.twimg.com"
