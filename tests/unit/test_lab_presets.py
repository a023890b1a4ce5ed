"""The presets that come with the program, and what a wrong file gets to hear."""

from datetime import date
from typing import get_args

import pytest

from analysis.finding import Mechanism, Verdict
from probe import targets
from probe.lab import presets, world
from probe.lab.rules import Engine, Seen, matches

KNOWN = presets.load()
LINE = "[lines.fast]\nrate_down_bps = 1e6\nrate_up_bps = 1e6\nrtt_s = 0.02\n"
PRESET = '[presets.x]\ntitle = "t"\nsource = "s"\n'


def read(tmp_path, text):
    file = tmp_path / "lab.toml"
    file.write_text(text)
    return presets.load(file)


@pytest.mark.parametrize("preset", KNOWN.values(), ids=KNOWN)
def test_every_preset_says_where_its_figures_come_from(preset):
    assert preset.title
    assert len(preset.source) > 20


@pytest.mark.parametrize("preset", KNOWN.values(), ids=KNOWN)
def test_every_preset_expects_what_an_analysis_can_find(preset):
    services = {"*", *(site.key for site in world.SITES if site.role == "service")}
    for entry in preset.expected:
        assert entry.service in services
        assert {entry.verdict, *entry.accept} <= set(get_args(Verdict))
        assert set(entry.mechanisms) <= set(get_args(Mechanism))


@pytest.mark.parametrize("preset", KNOWN.values(), ids=KNOWN)
def test_every_preset_can_be_carried_by_an_engine(preset):
    assert preset.engines
    assert set(preset.engines) <= set(get_args(Engine))


@pytest.mark.parametrize("preset", KNOWN.values(), ids=KNOWN)
def test_every_address_in_a_rule_is_one_of_the_lab(preset):
    listed = [rule.match for rule in preset.rules if rule.match.addresses]
    for match in listed:
        assert any(matches(match, seen) != match.invert for seen in _somewhere(match))


def _somewhere(match):
    return [
        Seen(address=site.address, port=443, transport=match.transport or "tcp")
        for site in world.SITES
    ]


def test_the_presets_that_must_stay_normal_come_before_those_that_must_not():
    assert next(iter(KNOWN)) == "clean"
    assert not KNOWN["clean"].rules
    assert not KNOWN["clean"].expected


def test_a_name_that_is_nearly_right_is_suggested():
    with pytest.raises(presets.PresetError, match="did you mean 'twitter-2021'"):
        presets.find("twiter-2021", KNOWN)
    assert presets.find("demo", KNOWN) is KNOWN["demo"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[lines", "not valid TOML"),
        (PRESET, r"\[presets.x\] line: found None, expected one of"),
        (LINE + PRESET + 'line = "slow"', "line: found 'slow', expected one of fast"),
        (LINE + PRESET + 'line = "fast"\ntitel = "x"', "unknown field `titel`"),
        (LINE.replace("0.02", "'x'"), r"\[lines.fast\]: Expected `float`, got `str`"),
        (LINE.replace("1e6", "0", 1), r"\[lines.fast\].*rate_down_bps: found 0"),
        (
            LINE + PRESET + 'line = "fast"\n[[presets.x.rules]]\nname = "a"\n'
            'effect = { type = "polise", rate_bps = 1 }',
            "polise",
        ),
        (
            LINE
            + PRESET
            + 'line = "fast"\n'
            + 2 * '[[presets.x.rules]]\nname = "a"\neffect = { type = "drop" }\n',
            "found a name twice",
        ),
    ],
)
def test_a_wrong_file_says_where_and_what(tmp_path, text, message):
    with pytest.raises(presets.PresetError, match=message) as caught:
        read(tmp_path, text)
    assert str(tmp_path / "lab.toml") in str(caught.value)


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(presets.PresetError, match=r"none\.toml: cannot be read"):
        presets.load(tmp_path / "none.toml")


def test_a_preset_gets_the_line_it_names(tmp_path):
    made = read(tmp_path, LINE + PRESET + 'line = "fast"')
    assert made["x"].line.rtt_s == 0.02
    assert made["x"].name == "x"


def test_what_is_dumped_is_what_is_read_back(tmp_path):
    file = tmp_path / "presets.json"
    file.write_bytes(presets.dump(KNOWN.values()))
    assert presets.load(file) == KNOWN


def test_a_file_that_is_no_json_is_named(tmp_path):
    file = tmp_path / "presets.json"
    file.write_text("[lines]")
    with pytest.raises(presets.PresetError, match=r"presets\.json: not valid JSON"):
        presets.load(file)


def test_the_targets_of_the_lab_are_valid_and_cover_every_service(tmp_path):
    file = tmp_path / "targets.toml"
    file.write_text(world.targets_toml(date(2026, 11, 21)))
    made = targets.load(file)
    assert set(made.services) == {site.key for site in world.SITES if site.role == "service"}
    assert made.far_end is not None
    assert made.far_end.calls == world.site("far").calls
    assert not made.expired(date(2026, 12, 1))
    assert made.expired(date(2027, 1, 1))
    assert {control.scope for control in made.controls.values()} == {"foreign", "domestic"}


def test_no_two_sites_share_an_address_or_a_name():
    addresses = [site.address for site in world.SITES]
    names = [name for site in world.SITES for name in site.names]
    assert len(set(addresses)) == len(addresses)
    assert len(set(names)) == len(names)


def test_quic_is_named_only_where_the_engine_carries_it(tmp_path):
    for quic, spoken in ((False, {("http/1.1",)}), (True, {("http/1.1",), ("http/1.1", "h3")})):
        file = tmp_path / "targets.toml"
        file.write_text(world.targets_toml(date(2026, 11, 21), quic=quic))
        found = targets.load(file)
        assert {fetch.http for one in found.services.values() for fetch in one.fetch} == spoken
