"""The targets file: what is accepted, and what each mistake is answered with."""

import contextlib
import shutil
import tomllib
from datetime import date, timedelta
from pathlib import Path

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from probe import targets

SHIPPED = Path(__file__).parents[2] / "configs" / "targets.toml"
BAD = sorted((Path(__file__).parent / "bad_targets").glob("*.toml"))


@pytest.mark.parametrize("path", BAD, ids=lambda path: path.stem)
def test_each_rule_refuses_its_file_with_the_messages_in_the_files_head(path):
    head = path.read_text(encoding="utf-8").partition("\n\n")[0]
    expected = [line.removeprefix("# ") for line in head.splitlines()]
    with pytest.raises(targets.TargetsError) as caught:
        targets.load(path)
    assert list(caught.value.problems) == [f"{path}: {line}" for line in expected]
    assert str(caught.value) == "\n".join(caught.value.problems)


def test_the_file_name_stands_in_the_message_as_the_user_gave_it(tmp_path, monkeypatch):
    shutil.copy(BAD[0].parent / "control_unknown.toml", tmp_path / "mine.toml")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(targets.TargetsError, match=r"^mine\.toml: \[services\.twitter\] controls"):
        targets.load("mine.toml")


def test_a_file_that_is_not_there_says_so(tmp_path):
    with pytest.raises(targets.TargetsError, match=r"none\.toml: cannot be read: No such file"):
        targets.load(tmp_path / "none.toml")


def test_a_folder_in_place_of_a_file_says_so(tmp_path):
    with pytest.raises(targets.TargetsError, match="cannot be read: Is a directory"):
        targets.load(tmp_path)


def test_bytes_that_are_not_utf8_are_refused(tmp_path):
    (tmp_path / "t.toml").write_bytes(b"version = 1 # \xff")
    with pytest.raises(targets.TargetsError, match="not UTF-8"):
        targets.load(tmp_path / "t.toml")


def test_the_shipped_file_holds_every_service_that_was_promised():
    shipped = targets.load(SHIPPED)
    assert set(shipped.services) >= {
        "twitter",
        "telegram",
        "whatsapp",
        "facebook",
        "instagram",
        "youtube",
        "google",
        "tiktok",
        "linkedin",
        "signal",
    }
    assert sum(s.group == "comparison" for s in shipped.services.values()) >= 2
    foreign = [c for c in shipped.controls.values() if c.url and c.scope == "foreign"]
    assert len(foreign) >= 2
    assert any(c.scope == "domestic" for c in shipped.controls.values())


def test_every_endpoint_of_the_shipped_file_names_its_source():
    shipped = targets.load(SHIPPED)
    endpoints = [e for s in shipped.services.values() for e in (*s.fetch, *s.reach, *s.call)]
    assert all(len(e.source) > 10 for e in [*endpoints, *shipped.controls.values()])


def test_the_shipped_file_is_good_for_three_months():
    shipped = targets.load(SHIPPED)
    assert timedelta(days=80) < shipped.expires - shipped.reviewed < timedelta(days=100)


def test_a_file_expires_on_the_day_after_its_last():
    shipped = targets.load(SHIPPED)
    assert not shipped.expired(shipped.expires)
    assert shipped.expired(shipped.expires + timedelta(days=1))


def test_web_controls_leave_relays_out_and_keep_the_order():
    assert targets.load(SHIPPED).web_controls("telegram") == ("github", "wikimedia")


def test_relay_controls_are_those_the_service_asks_for():
    assert targets.load(SHIPPED).relay_controls("telegram") == ("google_stun", "voipgate_stun")


def test_relay_controls_are_all_of_them_where_the_service_asks_for_none():
    shipped = targets.load(SHIPPED)
    every = tuple(name for name, control in shipped.controls.items() if control.relay)
    assert shipped.relay_controls("twitter") == every


def test_keys_left_out_take_the_defaults_of_the_contract():
    text = """
        version = 1
        reviewed = 2026-11-21
        expires = 2027-02-21
        far_end = { url = "https://far.example:443", calls = [3478, 1400, 599] }
        [controls.a]
        name = "A"
        url = "https://a.example/"
        scope = "foreign"
        source = "made up"
        [services.b]
        name = "B"
        group = "social"
        controls = ["a"]
        [[services.b.reach]]
        address = "[2001:db8::1]:443"
        """
    read = targets.from_raw(tomllib.loads(text), "t.toml")
    assert read.reviewed == date(2026, 11, 21)
    assert read.far_end == targets.FarEnd(url="https://far.example:443", calls=(3478, 1400, 599))
    assert read.controls["a"].http == ("http/1.1",)
    assert read.controls["a"].min_bytes == 400_000
    assert read.services["b"] == targets.Service(
        name="B",
        group="social",
        controls=("a",),
        reach=(targets.ReachTarget(address="[2001:db8::1]:443"),),
    )


SCALARS = st.one_of(
    st.booleans(), st.integers(), st.floats(), st.text(), st.dates(), st.datetimes(), st.times()
)
# The machine may be busy with other work: slow drawing says nothing about the code.
patient = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])

KNOWN_KEYS = st.sampled_from(
    sorted(
        field.name
        for struct in (
            targets.Targets,
            targets.FarEnd,
            targets.Control,
            targets.Service,
            targets.FetchTarget,
            targets.ReachTarget,
            targets.CallTarget,
        )
        for field in msgspec.structs.fields(struct)
    )
)
VALUES = st.recursive(
    SCALARS | st.sampled_from(["stun://a:1", "https://a/", "1.2.3.4:5", "rtp"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KNOWN_KEYS | st.text(), inner),
    max_leaves=20,
)


@patient
@given(st.dictionaries(KNOWN_KEYS, VALUES))
def test_whatever_a_toml_document_holds_the_only_error_is_a_targets_error(raw):
    with pytest.raises(targets.TargetsError) as caught:
        targets.from_raw(raw, "t.toml")
    assert all(line.startswith("t.toml: ") and line.isprintable() for line in caught.value.problems)


@st.composite
def damaged(draw):
    """The shipped file with one value, somewhere, replaced by another."""
    raw = tomllib.loads(SHIPPED.read_text(encoding="utf-8"))
    here = raw
    while True:
        key = draw(st.sampled_from(range(len(here)) if isinstance(here, list) else sorted(here)))
        if not isinstance(here[key], dict | list) or not here[key] or draw(st.integers(0, 4)) == 0:
            here[key] = draw(VALUES)
            return raw
        here = here[key]


@patient
@given(damaged())
def test_a_damaged_copy_of_the_shipped_file_is_read_or_refused(raw):
    with contextlib.suppress(targets.TargetsError):
        assert targets.from_raw(raw, "t.toml").services


@patient
@given(st.text())
def test_whatever_text_a_file_holds_the_only_error_is_a_targets_error(tmp_path_factory, text):
    path = tmp_path_factory.getbasetemp() / "any.toml"
    path.write_text(text, encoding="utf-8", errors="replace")
    with pytest.raises(targets.TargetsError):
        targets.load(path)


@pytest.mark.parametrize(
    "text",
    [
        "a = " + "[" * 5000,
        "x" + ".x" * 5000 + " = 1",
        "version = 0x" + "f" * 9999,
        "a=" + "9" * 9999,
    ],
    ids=["deep list", "deep key", "huge hexadecimal", "huge decimal"],
)
def test_documents_made_to_exhaust_the_parser_are_refused(tmp_path, text):
    (tmp_path / "t.toml").write_text(text)
    with pytest.raises(targets.TargetsError):
        targets.load(tmp_path / "t.toml")
