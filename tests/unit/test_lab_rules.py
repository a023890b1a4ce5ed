"""Rules as values: what they accept, what they match."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from probe.lab import rules
from probe.lab.rules import Match, Rule, RuleError, Seen, matches, name_matches


def seen(**changes):
    first = Seen(address="198.18.11.1", port=443, transport="tcp")
    return msgspec.structs.replace(first, **changes)


@pytest.mark.parametrize(
    ("pattern", "name", "covered"),
    [
        ("twitter.com", "twitter.com", True),
        ("twitter.com", "Twitter.COM", True),
        ("twitter.com", "api.twitter.com", False),
        # A trailing dot got past the box of 2021.
        ("twitter.com", "twitter.com.", False),
        ("*.twimg.com", "abs.twimg.com", True),
        ("*.twimg.com", "a.b.twimg.com", True),
        ("*.twimg.com", "twimg.com", False),
        ("*.twimg.com", "nottwimg.com", False),
        # The rule of 10 March 2021 hit these as well.
        ("*t.co*", "reddit.com", True),
        ("*t.co*", "microsoft.com", True),
        ("*t.co*", "example.org", False),
    ],
)
def test_a_pattern_covers_the_names_it_says(pattern, name, covered):
    assert name_matches(pattern, name) is covered


def test_an_empty_match_is_about_everything():
    assert matches(Match(), seen())
    assert matches(Match(), seen(transport="udp", shapes=frozenset({"rtp"})))


@pytest.mark.parametrize(
    "match",
    [
        Match(transport="udp"),
        Match(ports=(80,)),
        Match(addresses=("198.18.12.0/24",)),
        Match(sni=("twitter.com",)),
        Match(payload=("stun",)),
        Match(ports=(443,), transport="udp"),
    ],
)
def test_every_part_that_is_given_must_hold(match):
    assert not matches(match, seen())
    assert matches(msgspec.structs.replace(match, invert=True), seen())


def test_parts_together_match_the_flow_that_has_them_all():
    match = Match(sni=("*.example",), addresses=("198.18.0.0/15",), ports=(443,), transport="tcp")
    assert matches(match, seen(sni="a.example"))


@pytest.mark.parametrize(
    ("made", "message"),
    [
        (lambda: Match(addresses=("300.1.1.1",)), "addresses: found '300.1.1.1'"),
        (lambda: Match(sni=("a*b",)), r"sni: found 'a\*b'"),
        (lambda: rules.Police(rate_bps=0, bucket_bytes=1), "rate_bps: found 0"),
        (lambda: rules.Shape(rate_bps=1, queue_bytes=0), "queue_bytes: found 0"),
        (lambda: rules.Loss(ratio=1.1), "ratio: found 1.1"),
        (lambda: rules.BurstLoss(p=-1, r=0), "p: found -1"),
        (lambda: rules.Fade(good_s=0, bad_s=1), "good_s: found 0"),
        (lambda: rules.Fade(good_s=1, bad_s=1, bad=2), "bad: found 2"),
        (lambda: rules.Degrade(after_packets=3, pass_ratio=2), "pass_ratio: found 2"),
        (lambda: rules.DropAcks(ratio=-0.1), "ratio: found -0.1"),
        (rules.Freeze, "exactly one of after_bytes, after_packets"),
        (lambda: rules.Freeze(after_bytes=1, after_packets=1), "exactly one of"),
        (lambda: rules.Cut(after_s=0.0), "exactly one of after_packets, after_s, above 0"),
        (lambda: rules.HandshakeCrawl(rate_bps=0, first_bytes=1), "rate_bps: found 0"),
        (
            lambda: rules.ConnectionPolicing(connections=1, window_s=1, block_s=1),
            "connections: found 1, expected 2 or more",
        ),
        (lambda: rules.DnsTamper(answer="address"), "at odds"),
        (lambda: rules.DnsTamper(answer="nxdomain", address="192.0.2.1"), "at odds"),
        (lambda: Rule(name="x", effect=rules.Drop(), probability=7), "probability: found 7"),
        (lambda: Rule(name="x", effect=rules.Drop(), state_timeout_s=0), "state_timeout_s"),
        (lambda: rules.CrossTraffic(mean_ratio=0.9, swing_ratio=0.2), "mean_ratio"),
        (lambda: rules.Line(rate_down_bps=0, rate_up_bps=1, rtt_s=0), "rate_down_bps: found 0"),
    ],
)
def test_a_rule_that_could_never_hold_is_refused_with_what_was_found(made, message):
    with pytest.raises(RuleError, match=message):
        made()


def test_an_effect_is_named_in_snake_case_in_a_file():
    raw = {"name": "x", "effect": {"type": "drop_acks", "ratio": 0.5}}
    assert msgspec.convert(raw, Rule).effect == rules.DropAcks(ratio=0.5)


def test_an_unknown_field_is_refused():
    raw = {"name": "x", "effect": {"type": "police", "rate_bps": 1, "bucket_bytes": 1, "rat": 1}}
    with pytest.raises(msgspec.ValidationError, match="rat"):
        msgspec.convert(raw, Rule)


@pytest.mark.parametrize(
    ("direction", "acts"), [("up", (True, False)), ("down", (False, True)), ("both", (True, True))]
)
def test_a_rule_acts_in_its_own_direction(direction, acts):
    rule = Rule(name="x", effect=rules.Drop(), direction=direction)
    assert (rule.acts_on("up"), rule.acts_on("down")) == acts


def test_what_is_expected_of_a_service_comes_before_what_is_expected_of_all():
    line = rules.Line(rate_down_bps=1, rate_up_bps=1, rtt_s=0)
    every = rules.Expected(service="*", kind="fetch", verdict="slow_line")
    one = rules.Expected(service="twitter", kind="fetch", verdict="throttled")
    preset = rules.Preset(name="x", title="", source="", line=line, expected=(every, one))
    assert preset.expects("twitter", "fetch") is one
    assert preset.expects("google", "fetch") is every
    assert preset.expects("google", "call").verdict == "normal"


@given(name=st.text(max_size=30), inner=st.text("abc.", min_size=1, max_size=5))
def test_a_substring_pattern_is_a_substring_test(name, inner):
    assert name_matches(f"*{inner}*", name) is (inner in name.lower())
