"""What a call says was lost, against nftables' own counters."""

import pytest
from two_namespaces import FAR, NEAR, needs_namespaces, two_namespaces

from probe.call import CallOrder

pytestmark = needs_namespaces
#: 172 bytes of G.711 and the UDP header: media only, neither opening nor report.
MEDIA = "udp length 180"


@pytest.fixture
def wire():
    with two_namespaces() as made:
        yield made


def order(shape="random", port=3478, **changes):
    settings = {"profile": "voip-20", "duration_s": 6.0, "seed": 1} | changes
    return CallOrder(host=FAR, port=port, shape=shape, **settings)


def pair(wire, shape="rtp", **changes):
    with wire.far_end(3478, 1400):
        made = wire.call(order(shape, **changes), order(port=1400, **changes))
    return [flow["call"] for flow in made["flows"]]


def count(calls, fate):
    return sum(call["trace"]["fate"].count(fate) for call in calls)


@pytest.mark.parametrize(
    "rule",
    ["numgen random mod 100 < 30", "limit rate over 70/second burst 20 packets"],
    ids=["random", "policed"],
)
@pytest.mark.parametrize("direction", ["up", "down"])
def test_losses_in_one_direction_equal_the_counter_and_the_other_has_none(wire, rule, direction):
    end = wire.far if direction == "up" else wire.near
    wire.rules(end, f"{MEDIA} {rule} counter drop")
    calls = pair(wire)
    other = "down" if direction == "up" else "up"
    assert count(calls, f"lost_{direction}") == wire.dropped(end)[0] > 30
    assert count(calls, f"lost_{other}") == count(calls, "lost") == 0


def test_losses_in_both_directions_at_once_equal_both_counters(wire):
    wire.rules(wire.far, f"{MEDIA} numgen random mod 100 < 30 counter drop")
    wire.rules(wire.near, f"{MEDIA} numgen random mod 100 < 10 counter drop")
    calls = pair(wire)
    assert count(calls, "lost_up") == wire.dropped(wire.far)[0] > 100
    assert count(calls, "lost_down") == wire.dropped(wire.near)[0] > 20
    assert count(calls, "lost") == 0


def test_only_the_flow_that_is_hit_loses(wire):
    wire.rules(wire.far, f"udp dport 3478 {MEDIA} numgen random mod 100 < 30 counter drop")
    shaped, control = pair(wire)
    assert shaped["lost_up"] == wire.dropped(wire.far)[0] > 50
    assert (control["lost_up"], control["lost_down"], control["lost"]) == (0, 0, 0)


def test_a_filter_on_rtp_bytes_hits_the_shape_and_spares_the_random_bytes(wire):
    # First byte 0x80 and payload type 111, with or without marker: what an RTP dissector needs.
    rtp = "@th,64,8 0x80 @th,73,7 111"
    wire.rules(wire.far, f"{MEDIA} {rtp} numgen random mod 100 < 30 counter drop")
    shaped, control = pair(wire)
    assert shaped["lost_up"] == wire.dropped(wire.far)[0] > 50
    assert control["lost_up"] <= 1


def test_a_cut_after_thirty_packets_shows_at_the_very_packet(wire):
    # Two packets of the opening come before the first media packet, so 28 pass.
    wire.rules(wire.far, f"ct original packets > 30 {MEDIA} counter drop")
    calls = pair(wire, shape="random")
    for call in calls:
        assert call["trace"]["fate"] == ["ok"] * 28 + ["lost_up"] * 272
        assert call["setup"] == "ok"
    assert count(calls, "lost_up") == wire.dropped(wire.far)[0]


def test_small_packets_whose_replies_have_little_room_are_told_apart_as_exactly(wire):
    # Without the lengths of ACCEPT (56), the cookie (72) and an answer to the shape's set-up (76).
    sizes = "udp length { 51-55, 57-71, 73-75, 77-80 }"
    wire.rules(wire.far, f"{sizes} numgen random mod 100 < 30 counter drop")
    wire.rules(wire.near, f"{sizes} numgen random mod 100 < 20 counter drop")
    calls = pair(wire, shape="whatsapp", profile="voip-60", duration_s=12.0)
    assert count(calls, "lost_up") == wire.dropped(wire.far)[0] > 50
    assert count(calls, "lost_down") == wire.dropped(wire.near)[0] > 30


def test_when_everything_of_a_flow_is_cut_a_fresh_socket_brings_the_report(wire):
    # The old flow's ports are dead in both directions; the far end still answers new ones.
    wire.rules(wire.near, "ct original packets > 100 counter drop")
    calls = pair(wire, shape="random")
    for call in calls:
        fates = call["trace"]["fate"]
        assert fates.count("ok") > 80
        assert fates[-150:] == ["lost_down"] * 150
        assert call["far_received"] == 300


def test_no_answer_from_a_filtered_port_is_a_timeout_and_a_rejected_one_refused(wire):
    wire.rules(wire.far, "udp dport 3478 counter drop", "udp dport 1400 counter reject")
    with wire.far_end(3478, 1400):
        silent, refused = wire.call(order(), order(port=1400))["flows"]
    assert (silent["failure"], silent["call"]["setup"]) == ("generic_timeout_error", "no_answer")
    assert (refused["failure"], refused["call"]["setup"]) == ("connection_refused", "refused")
    assert NEAR not in str([silent, refused])
