"""What a fetch session found is looked at again with better controls."""

import pytest
from builders import fetch
from msgspec.structs import replace
from plans import plan_of, targets

from probe.confirm import confirmations
from probe.services import FarEnd
from probe.session_kinds import FetchSession


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


def test_what_only_confirms_is_smaller_and_sooner_over() -> None:
    (session,) = plan_of(targets(), only=("twitter",)).sessions
    (further,) = confirmations(session, targets())
    assert isinstance(session, FetchSession)
    assert further.limit_bytes < session.limit_bytes
    assert further.limit_s < session.limit_s


@pytest.mark.parametrize(
    ("bps", "limit_bytes"), [(64e3, 100_000), (300e3, 225_000), (1e6, 400_000), (0.0, 100_000)]
)
def test_a_faster_target_is_confirmed_by_more_bytes(bps: float, limit_bytes: int) -> None:
    (session,) = plan_of(targets(), only=("twitter",)).sessions
    slow, fast = fetch(bps=bps or 64e3, cut_s=10.0), fetch("control", bps=9e6)
    assert slow.fetch is not None
    took = replace(slow.fetch, body_bytes=int(bps / 8 * 10), duration_s=10.0)
    (further,) = confirmations(session, targets(), (replace(slow, fetch=took), fast))
    assert further.limit_bytes == pytest.approx(limit_bytes, abs=10)


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


def test_better_controls_need_no_more_pairs_than_their_noise_asks_for() -> None:
    far_end = FarEnd(url="https://far.example:443", calls=(3478,))
    given = targets(far_end)
    (session,) = plan_of(given, only=("twitter",)).sessions
    assert session.most_pairs == 50
    assert {further.most_pairs for further in confirmations(session, given)} == {25}
