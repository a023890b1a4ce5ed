"""The packet censor, packet by packet, with literal times."""

import ssl
from random import Random

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from probe.lab import censor as censor_module
from probe.lab import rules
from probe.lab.actions import Packet
from probe.lab.censor import TLS_ALERT, Censor
from probe.lab.rules import Match, Rule

ANY = Match()


def packet(direction="down", size=1_500, payload=None, flow=1, **changes):
    body = bytes(size - 52) if payload is None else payload
    made = Packet(
        flow=flow,
        direction=direction,
        address="198.18.11.1",
        port=443,
        transport="tcp",
        payload=body,
        size_bytes=len(body) + 52,
    )
    return msgspec.structs.replace(made, **changes)


def rule(effect, match=ANY, name="rule", **changes):
    return Rule(name=name, effect=effect, match=match, **changes)


def censor(*policy, seed=1):
    return Censor(policy, Random(seed))


def hello(name):
    outgoing = ssl.MemoryBIO()
    context = ssl.create_default_context()
    connection = context.wrap_bio(ssl.MemoryBIO(), outgoing, server_hostname=name)
    with pytest.raises(ssl.SSLWantReadError):
        connection.do_handshake()
    return outgoing.read()


def passed(box, packets, now=0.0):
    return [box.packet(one, now).at is not None for one in packets]


def test_without_rules_everything_passes_at_once():
    assert censor().packet(packet(), 3.0).at == 3.0


def test_a_policer_drops_what_exceeds_the_bucket_and_says_which_rule_did():
    box = censor(rule(rules.Police(rate_bps=120_000, bucket_bytes=3_000), name="police"))
    assert passed(box, [packet()] * 3) == [True, True, False]
    assert box.packet(packet(), 0.0).rule == "police"
    assert box.packet(packet(), 0.1).at == 0.1


def test_the_two_directions_have_limits_of_their_own():
    box = censor(rule(rules.Police(rate_bps=8_000, bucket_bytes=1_500)))
    assert passed(box, [packet("down"), packet("up"), packet("down"), packet("up")]) == [
        True,
        True,
        False,
        False,
    ]


def test_each_flow_has_a_limit_of_its_own_unless_it_is_shared():
    effect = rules.Police(rate_bps=8_000, bucket_bytes=1_500)
    flows = [packet(flow=number) for number in range(3)]
    assert passed(censor(rule(effect)), flows) == [True, True, True]
    assert passed(censor(rule(effect, scope="shared")), flows) == [True, False, False]


def test_a_shaper_delays_by_what_waits_before():
    box = censor(rule(rules.Shape(rate_bps=12_000, queue_bytes=3_000)))
    assert [box.packet(packet(), 0.0).at for _ in range(3)] == [1.0, 2.0, None]


def test_a_delay_adds_up_with_the_shaper_before_it():
    box = censor(
        rule(rules.Shape(rate_bps=12_000, queue_bytes=3_000), name="a"),
        rule(rules.Delay(delay_s=0.5), name="b"),
    )
    assert box.packet(packet(), 0.0).at == 1.5


def test_effects_act_in_the_order_of_the_policy_not_of_the_matches():
    late = Match(sni=("*.twimg.com",))
    policy = (
        rule(rules.Drop(), match=late, name="first"),
        rule(rules.Loss(ratio=1.0), match=ANY, name="second", start_after_packets=1),
    )
    box = censor(*policy)
    assert box.packet(packet("up", payload=b"", bare_ack=True), 0.0).at == 0.0
    assert box.packet(packet("up", payload=hello("abs.twimg.com")), 0.0).rule == "first"


def test_a_held_flow_comes_out_at_one_moment_and_then_runs_free():
    box = censor(rule(rules.Hold(delay_s=2.5), direction="down"))
    times = [box.packet(packet(), now).at for now in (1.0, 2.0, 3.5, 4.0)]
    assert times == [3.5, 3.5, 3.5, 4.0]


def test_random_loss_loses_its_share():
    box = censor(rule(rules.Loss(ratio=0.3)))
    lost = passed(box, [packet()] * 10_000).count(False)
    assert lost == pytest.approx(3_000, rel=0.05)


def test_the_same_seed_gives_the_same_fates():
    policy = rule(rules.Loss(ratio=0.5))
    first, second, other = (
        passed(censor(policy, seed=seed), [packet()] * 100) for seed in (1, 1, 2)
    )
    assert first == second != other


def test_degrading_begins_with_the_packet_after_n_in_each_direction():
    box = censor(rule(rules.Degrade(after_packets=30, pass_ratio=0.0), direction="up"))
    assert passed(box, [packet("up")] * 32) == [True] * 30 + [False] * 2
    assert passed(box, [packet("down")] * 40) == [True] * 40


def test_a_rule_that_starts_late_leaves_the_first_packets_alone():
    box = censor(rule(rules.Drop(), start_after_packets=2))
    assert passed(box, [packet("down")] * 3) == [True, True, False]


def test_a_freeze_counts_whole_packets_of_payload():
    box = censor(rule(rules.Freeze(after_bytes=16_384), direction="down"))
    # Ten segments of 1448 bytes fit, the eleventh too: 15,928; the twelfth would exceed.
    assert passed(box, [packet()] * 14) == [True] * 11 + [False] * 3
    assert not box.packet(packet(payload=b"x"), 9.0).at
    assert box.packet(packet("up"), 9.0).at == 9.0


def test_a_freeze_tells_how_much_still_fits_for_an_engine_that_can_split():
    box = censor(rule(rules.Freeze(after_bytes=16_384), direction="down"))
    assert box.room_bytes(1, "down") is None
    box.packet(packet(), 0.0)
    assert box.room_bytes(1, "down") == 16_384 - 1_448
    assert box.room_bytes(1, "up") is None
    box.packet(packet(payload=bytes(16_384 - 1_448)), 0.0)
    assert box.room_bytes(1, "down") == 0
    assert box.packet(packet(payload=b""), 0.0).at is None


def test_a_freeze_of_packets_counts_both_directions_together():
    box = censor(rule(rules.Freeze(after_packets=25)))
    both = [packet("up"), packet("down")] * 13
    assert passed(box, both) == [True] * 25 + [False]


def test_a_call_is_cut_off_after_its_time_for_good():
    box = censor(rule(rules.Cut(after_s=6.0)))
    assert [box.packet(packet("up"), now).at is not None for now in (10.0, 15.9, 16.0, 99.0)] == [
        True,
        True,
        False,
        False,
    ]


def test_a_call_is_cut_off_after_its_packets():
    box = censor(rule(rules.Cut(after_packets=3)))
    assert passed(box, [packet("up"), packet("down"), packet("up"), packet("down")]) == [
        True,
        True,
        True,
        False,
    ]


def test_a_crawling_handshake_runs_free_after_its_first_bytes():
    box = censor(rule(rules.HandshakeCrawl(rate_bps=8_000, first_bytes=1_400)))
    sizes = [packet(size=1_000), packet(size=1_000), packet(size=1_000)]
    assert [box.packet(one, 0.0).at for one in sizes] == [1.0, 2.0, 2.0]
    assert box.packet(packet(size=1_000), 5.0).at == 5.0


def test_only_bare_acknowledgements_are_dropped():
    box = censor(rule(rules.DropAcks(ratio=1.0), direction="up"))
    assert passed(box, [packet("up"), packet("up", payload=b"", bare_ack=True)]) == [True, False]


def test_a_reset_loses_the_packet_that_matched_and_says_reset():
    box = censor(rule(rules.Reset(), match=Match(sni=("twitter.com",))))
    assert not box.packet(packet("up", payload=b""), 0.0).reset
    fate = box.packet(packet("up", payload=hello("twitter.com")), 0.0)
    assert (fate.at, fate.reset, fate.farewell) == (None, True, b"")


def test_a_reset_by_alert_says_what_the_sender_is_told():
    box = censor(rule(rules.Reset(alert=True)))
    assert box.packet(packet("up"), 0.0).farewell == TLS_ALERT


def test_the_fourth_handshake_in_a_second_and_those_of_a_minute_get_no_answer():
    effect = rules.ConnectionPolicing(connections=4, window_s=1.0, block_s=60.0)
    box = censor(rule(effect))
    opened = [
        box.packet(packet("up", payload=b"", flow=number), now).at is not None
        for number, now in enumerate([0.0, 0.1, 0.2, 0.3, 30.0, 60.2, 60.4])
    ]
    assert opened == [True, True, True, False, False, False, True]
    assert box.packet(packet("up", flow=0), 61.0).at == 61.0
    assert box.packet(packet("up", flow=3), 61.0).at is None


def test_slow_handshakes_and_those_to_other_addresses_are_let_in():
    effect = rules.ConnectionPolicing(connections=2, window_s=1.0, block_s=60.0)
    box = censor(rule(effect))
    assert passed(box, [packet("up", flow=1), packet("up", flow=2, address="198.18.12.1")])
    assert box.packet(packet("up", flow=3), 1.5).at == 1.5


def test_dns_tampering_leaves_packets_to_the_engine_that_can_forge():
    box = censor(rule(rules.DnsTamper(answer="nxdomain")))
    assert box.packet(packet("up"), 0.0).at == 0.0


def test_a_flow_is_held_by_its_name_and_another_name_is_not():
    police = rule(rules.Drop(), match=Match(sni=("*.twimg.com",)))
    box = censor(police)
    assert box.packet(packet("up", payload=hello("abs.twimg.com")), 0.0).at is None
    assert box.packet(packet("down"), 0.0).at is None
    assert box.packet(packet("up", payload=hello("pages.example"), flow=2), 0.0).at == 0.0
    assert box.packet(packet("down", flow=2), 0.0).at == 0.0


def test_a_name_from_the_server_does_not_count():
    box = censor(rule(rules.Drop(), match=Match(sni=("twitter.com",))))
    assert box.packet(packet("down", payload=hello("twitter.com")), 0.0).at == 0.0


def test_nothing_is_recognised_after_the_inspected_packets():
    box = censor(rule(rules.Drop(), match=Match(sni=("twitter.com",))))
    for _ in range(censor_module.INSPECTED_PACKETS):
        box.packet(packet("up"), 0.0)
    assert box.packet(packet("up", payload=hello("twitter.com")), 0.0).at == 0.0


def test_a_call_is_recognised_by_any_of_its_early_packets():
    match = Match(payload=("telegram",), transport="udp")
    box = censor(rule(rules.Drop(), match=match, direction="up"))
    media = packet("up", transport="udp")
    tagged = packet("up", payload=bytes(16) + b"\xff" * 12 + bytes(20), transport="udp")
    assert passed(box, [media, tagged, media]) == [True, False, False]


def test_an_idle_flow_is_forgotten_after_the_time_out_and_an_active_one_never():
    police = rule(rules.Drop(), match=Match(sni=("t.co",)), state_timeout_s=600.0)
    box = censor(police)
    box.packet(packet("up", payload=hello("t.co")), 0.0)
    assert box.packet(packet("down"), 599.0).at is None
    assert box.packet(packet("down"), 1_198.0).at is None
    assert box.packet(packet("down"), 1_799.0).at == 1_799.0


def test_a_shorter_time_out_lets_go_of_one_rule_only():
    box = censor(
        rule(rules.Loss(ratio=1.0), name="short", state_timeout_s=10.0, direction="up"),
        rule(rules.Loss(ratio=1.0), name="long", state_timeout_s=100.0, direction="down"),
    )
    assert passed(box, [packet("up"), packet("down")], now=0.0) == [False, False]
    assert passed(box, [packet("up"), packet("down")], now=50.0) == [True, False]


def test_the_coin_is_tossed_once_a_connection():
    box = censor(rule(rules.Drop(), probability=0.33))
    fates = [passed(box, [packet("up", flow=flow)] * 3) for flow in range(3_000)]
    assert all(len(set(flow)) == 1 for flow in fates)
    assert sum(not flow[0] for flow in fates) == pytest.approx(990, rel=0.1)


def test_one_air_for_all_is_bad_for_every_flow_and_direction_at_once():
    box = censor(rule(rules.Fade(good_s=1.0, bad_s=1.0), scope="shared"))
    ways = [(flow, way) for flow in range(3) for way in ("up", "down")]
    moments = [
        {box.packet(packet(way, flow=flow), 0.1 * step).at is None for flow, way in ways}
        for step in range(300)
    ]
    assert all(len(fates) == 1 for fates in moments)
    assert sum(fates == {True} for fates in moments) == pytest.approx(150, rel=0.3)


def test_an_inverted_match_on_addresses_acts_from_the_first_packet():
    listed = Match(addresses=("198.18.2.0/24",), invert=True)
    box = censor(rule(rules.Drop(), match=listed))
    assert box.packet(packet("up", payload=b""), 0.0).at is None
    assert box.packet(packet("up", payload=b"", flow=2, address="198.18.2.1"), 0.0).at == 0.0


def test_an_inverted_match_on_names_waits_for_the_first_payload():
    listed = Match(sni=("post.example",), invert=True)
    box = censor(rule(rules.Drop(), match=listed))
    for flow, name in ((1, "post.example"), (2, "pages.example")):
        for direction in ("up", "down", "up"):
            assert box.packet(packet(direction, payload=b"", flow=flow), 0.0).at == 0.0
        fate = box.packet(packet("up", payload=hello(name), flow=flow), 0.0)
        assert (fate.at is not None) is (name == "post.example")


def test_many_flows_do_not_pile_up(monkeypatch):
    monkeypatch.setattr(censor_module, "MANY_FLOWS", 10)
    box = censor(rule(rules.Drop(), state_timeout_s=1.0))
    for number in range(100):
        box.packet(packet("up", flow=number), number * 2.0)
    assert len(box._flows) <= 10


@given(
    st.lists(
        st.tuples(
            st.floats(0, 1),
            st.sampled_from(["up", "down"]),
            st.integers(0, 3),
            st.binary(max_size=80),
        ),
        max_size=60,
    )
)
def test_whatever_comes_a_packet_leaves_no_earlier_than_it_came(steps):
    box = censor(
        rule(rules.Police(rate_bps=80_000, bucket_bytes=3_000), name="a"),
        rule(rules.Shape(rate_bps=80_000, queue_bytes=3_000), name="b", scope="shared"),
        rule(rules.Delay(delay_s=0.1, jitter_s=0.1), name="c", probability=0.5),
        rule(rules.BurstLoss(p=0.1, r=0.5), name="d", state_timeout_s=0.5),
    )
    now = 0.0
    for wait_s, direction, flow, payload in steps:
        now += wait_s
        fate = box.packet(packet(direction, payload=payload, flow=flow), now)
        assert (fate.at is None) is (fate.rule is not None)
        assert fate.at is None or fate.at >= now
