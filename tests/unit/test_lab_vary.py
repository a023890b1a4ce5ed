"""Presets drawn at random: the same for the same seed, and true about themselves."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from probe.lab import presets
from probe.lab.rules import (
    Degrade,
    Delay,
    Expected,
    Freeze,
    Hold,
    Line,
    Match,
    Police,
    Preset,
    Rule,
    Shape,
)
from probe.lab.sweep import RATES, sweep
from probe.lab.truth import expectations, free_s, slowdown
from probe.lab.vary import varied, vary

KNOWN = presets.load()
LINE = Line(rate_down_bps=40e6, rate_up_bps=40e6, rtt_s=0.02)
THROTTLED = Expected(
    service="twitter", kind="fetch", verdict="throttled", mechanisms=("policed",), rate_bps=1.0
)


def held(effect, line=LINE, entry=THROTTLED, **match):
    """What is to be found of one service behind one rule."""
    rule = Rule(name="rule", match=Match(**match), effect=effect)
    preset = Preset(name="x", title="x", source="x", line=line, rules=(rule,), expected=(entry,))
    return expectations(preset)[0]


# --- The truth ------------------------------------------------------------------------------------


def test_an_idle_line_takes_its_round_trips_and_its_bytes():
    assert free_s(LINE) == pytest.approx(0.02 * 7.1 + 0.1, rel=0.01)


def test_loss_on_the_line_bounds_what_it_can_carry():
    lossy = msgspec.structs.replace(LINE, loss_ratio=0.01, rtt_s=0.1)
    assert free_s(lossy) == pytest.approx(0.71 + 2.84, rel=0.02)


def test_a_policer_must_be_found_where_it_holds_a_fetch_to_a_third():
    found = held(Police(rate_bps=140e3, bucket_bytes=16_000))
    assert (found.verdict, found.accept, found.rate_bps) == ("throttled", (), 140e3)


def test_a_policer_whose_bucket_holds_the_whole_object_is_not_felt():
    found = held(Police(rate_bps=140e3, bucket_bytes=1_000_000))
    assert (found.verdict, found.mechanisms, found.rate_bps) == ("normal", (), None)


def test_a_policer_that_may_or_may_not_be_felt_leaves_every_honest_answer():
    found = held(Police(rate_bps=6e6, bucket_bytes=50_000))
    assert found.verdict == "throttled"
    assert set(found.accept) == {"normal", "slow_line", "inconclusive"}


def test_a_queue_faster_than_the_line_is_not_felt():
    slow = msgspec.structs.replace(LINE, rate_down_bps=3e6)
    assert held(Shape(rate_bps=4e6, queue_bytes=50_000), slow).verdict == "normal"
    assert held(Shape(rate_bps=1e5, queue_bytes=50_000), slow).accept == ()


def test_on_a_slow_line_a_slow_line_is_an_honest_answer_too():
    slow = msgspec.structs.replace(LINE, rate_down_bps=400e3)
    assert "slow_line" in held(Police(rate_bps=50e3, bucket_bytes=3_000), slow).accept


def test_a_delay_is_felt_on_every_round_trip_and_a_hold_once():
    rule = Rule(name="delay", effect=Delay(delay_s=0.1))
    assert slowdown(LINE, [rule])[0] == pytest.approx(1.0 + 0.61 / free_s(LINE), rel=0.01)
    assert held(Hold(delay_s=2.5)).accept == ()
    assert held(Hold(delay_s=0.01)).verdict == "normal"


def test_what_is_frozen_never_ends():
    assert slowdown(LINE, [Rule(name="f", effect=Freeze(after_bytes=16_000))])[0] == float("inf")


def test_the_rule_of_another_transport_does_not_slow_a_fetch_over_tcp():
    found = held(Police(rate_bps=140e3, bucket_bytes=16_000), transport="udp")
    assert set(found.accept) == {"normal", "slow_line", "inconclusive"}


@pytest.mark.parametrize(
    ("passed", "must", "onset"), [(0.5, True, 11), (0.9, True, None), (0.97, False, None)]
)
def test_call_loss_must_be_found_from_five_percent_on(passed, must, onset):
    entry = Expected(service="whatsapp", kind="call", verdict="call_degraded", onset_packet=31)
    found = held(Degrade(after_packets=10, pass_ratio=passed), entry=entry)
    assert (not found.accept, found.onset_packet) == (must, onset)


def test_whoever_is_not_named_may_be_blamed_by_nobody():
    preset = Preset(name="x", title="x", source="x", line=LINE)
    others = expectations(preset)
    assert {entry.kind for entry in others} == {"fetch", "reach", "call"}
    assert {entry.verdict for entry in others} == {"normal"}


# --- The draws ------------------------------------------------------------------------------------


@given(seed=st.integers(0, 10_000), name=st.sampled_from(sorted(KNOWN)))
def test_every_draw_keeps_the_rules_and_what_is_blamed(seed, name):
    base = KNOWN[name]
    drawn = vary(base, f"{name}@{seed}.1")
    assert [type(rule.effect) for rule in drawn.rules] == [type(r.effect) for r in base.rules]
    assert [rule.match for rule in drawn.rules] == [rule.match for rule in base.rules]
    assert 0.01 <= drawn.line.rtt_s <= 0.2
    assert drawn.line.loss_ratio <= 0.03
    for entry in drawn.expected:
        assert entry.verdict in ("normal", base.expects(entry.service, entry.kind).verdict)


def test_one_more_preset_leaves_the_other_draws_as_they_are():
    some = [KNOWN["clean"], KNOWN["demo"]]
    assert varied(some[1:], 5, 1)[0] == varied(some, 5, 1)[1]


def test_the_same_seed_draws_the_same():
    assert varied(KNOWN.values(), 5, 2) == varied(KNOWN.values(), 5, 2)
    assert varied(KNOWN.values(), 5, 1) != varied(KNOWN.values(), 6, 1)


def test_drawn_presets_have_names_of_their_own(tmp_path):
    drawn = [*varied(KNOWN.values(), 5, 2), *sweep(5)]
    file = tmp_path / "drawn.json"
    file.write_bytes(presets.dump(drawn))
    assert list(presets.load(file).values()) == drawn


def test_a_sweep_has_every_mechanism_in_every_fold_and_each_must_be_found():
    drawn = sweep(1)
    throttling = {"policed", "shaped", "random_loss", "delayed", "frozen"}
    blocking = {"reset", "tls", "dropped", "dns"}
    folds = {preset.fold for preset in drawn}
    assert len(folds) == len(RATES)
    for fold in folds:
        names = {preset.name.partition("@")[0] for preset in drawn if preset.fold == fold}
        assert names == throttling | blocking
    named = [preset.expected[0] for preset in drawn]
    assert {entry.verdict for entry in named} == {"throttled", "blocked"}
    assert sum(not entry.accept for entry in named) > 0.9 * len(named)
