"""The record of one trial: what is written is read again, and what is not a record is refused."""

import json
import types
from datetime import UTC, datetime
from typing import Any, Literal, Union, get_args, get_origin

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from probe.measurement import (
    SCHEMA_VERSION,
    Call,
    Connect,
    DnsAnswer,
    Fetch,
    Hop,
    Measurement,
    Path,
    Reach,
    RttSample,
    SchemaError,
    TcpInfo,
    Trace,
    Vantage,
    decode,
    encode,
)
from probe.unknown_fields import leftover, merge

BODIES = {"fetch": Fetch, "call": Call, "reach": Reach, "path": Path}
# The machine may be busy with other work: slow drawing says nothing about the code.
patient = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])


def values(annotation):
    """Anything a field of this type may hold, built from the schema itself."""
    plain = {
        float: st.floats(allow_nan=False, allow_infinity=False),
        int: st.integers(-(2**53), 2**63 - 1),
        str: st.text(),
        bool: st.booleans(),
        datetime: st.datetimes(timezones=st.just(UTC)),
        type(None): st.none(),
    }
    if annotation in plain:
        return plain[annotation]
    if isinstance(annotation, type) and issubclass(annotation, msgspec.Struct):
        fields = msgspec.structs.fields(annotation)
        return st.builds(annotation, **{field.name: values(field.type) for field in fields})
    arguments = get_args(annotation)
    if get_origin(annotation) is Literal:
        return st.sampled_from(arguments)
    if get_origin(annotation) in (Union, types.UnionType):
        return st.one_of([values(argument) for argument in arguments])
    if get_origin(annotation) is tuple:
        return st.lists(values(arguments[0]), max_size=2).map(tuple)
    assert get_origin(annotation) is dict
    return st.dictionaries(st.text(), values(arguments[1]), max_size=2)


@st.composite
def measurements(draw):
    """Any record the schema allows, of the present version, with nothing unknown in it."""
    fields = {field.name: field.type for field in msgspec.structs.fields(Measurement)}
    set_below = {"schema_version", "kind", "unknown", *BODIES}
    common = {name: draw(values(kind)) for name, kind in fields.items() if name not in set_below}
    kind = draw(st.sampled_from(sorted(BODIES)))
    return Measurement(**common, **{"kind": kind, kind: draw(values(BODIES[kind]))})


def a_record(**changes):
    """A small record of a reach trial."""
    common = {
        "id": "018f0000-0000-7000-8000-000000000000",
        "run": "018f0000-0000-7000-8000-000000000001",
        "session": "018f0000-0000-7000-8000-000000000002",
        "round": 0,
        "arm": "target",
        "start": datetime(2026, 11, 21, 12, 0, tzinfo=UTC),
        "service": "telegram",
        "kind": "reach",
        "endpoint": "149.154.167.51:443",
        "reach": Reach(address="149.154.167.51", port=443),
    }
    return Measurement(**(common | changes))


@patient
@given(measurements())
def test_every_record_survives_writing_and_reading(record):
    assert decode(encode(record)) == record


@patient
@given(measurements())
def test_a_record_is_one_line_and_holds_every_field(record):
    line = encode(record)
    assert b"\n" not in line
    written = json.loads(line)
    assert written.keys() == set(Measurement.__struct_fields__) - {"unknown"}
    body = BODIES[record.kind]
    assert written[record.kind].keys() == set(body.__struct_fields__)


def test_a_record_is_read_from_text_as_from_bytes():
    assert decode(encode(a_record()).decode()) == a_record()


def test_fields_an_older_minor_version_did_not_write_take_their_defaults():
    written = json.loads(encode(a_record()))
    needed = {"schema_version", "id", "run", "session", "round", "arm", "start", "service", "kind"}
    old = {key: written[key] for key in (*needed, "endpoint")}
    old["reach"] = {"address": "149.154.167.51", "port": 443}
    assert decode(json.dumps(old)) == a_record()


def everywhere(value, path=""):
    """Put an unknown field into every object of a JSON value, except where any key is known."""
    if isinstance(value, list):
        return [everywhere(item, f"{path}[{index}]") for index, item in enumerate(value)]
    if not isinstance(value, dict):
        return value
    marked = {key: everywhere(item, f"{path}.{key}") for key, item in value.items()}
    return (
        marked if path.endswith(".columns") else marked | {"novel": {"at": path, "list": [1, {}]}}
    )


@patient
@given(measurements())
def test_unknown_fields_survive_at_every_depth(record):
    line = json.dumps(everywhere(json.loads(encode(record))))
    assert json.loads(encode(decode(line))) == json.loads(line)


@pytest.mark.parametrize(
    "record",
    [
        a_record(vantage=Vantage(country="RU", asn=12389)),
        a_record(
            kind="fetch",
            reach=None,
            fetch=Fetch(
                url="https://t.co/",
                dns=(DnsAnswer(name="t.co"), DnsAnswer(name="t.co")),
                connects=(Connect(address="192.0.2.1", port=443),),
                tcp_info=(TcpInfo(t_s=0.0), TcpInfo(t_s=0.1)),
                loaded_rtt=(RttSample(t_s=0.0, rtt_s=0.1),),
            ),
        ),
        a_record(kind="call", reach=None, call=Call(trace=Trace(packets=1, columns={"fate": "x"}))),
        a_record(kind="path", reach=None, path=Path(trigger="t.co", hops=(Hop(ttl=1), Hop(ttl=2)))),
    ],
    ids=lambda record: record.kind,
)
def test_unknown_fields_survive_in_each_kind_of_record(record):
    line = json.dumps(everywhere(json.loads(encode(record))))
    again = decode(line)
    assert json.loads(encode(again)) == json.loads(line)
    assert again.unknown["novel"] == {"at": "", "list": [1, {}]}
    assert msgspec.structs.replace(again, unknown={}) == record


@pytest.mark.parametrize("value", [{"a": 1}, [], "text", None])
def test_an_unknown_field_may_be_called_unknown(value):
    line = json.dumps(json.loads(encode(a_record())) | {"unknown": value, "novel": 1})
    again = decode(line)
    assert again.unknown == {"unknown": value, "novel": 1}
    assert json.loads(encode(again)) == json.loads(line)


def test_a_known_record_keeps_nothing_aside():
    assert decode(encode(a_record())).unknown == {}


def test_a_newer_schema_is_refused_with_what_to_do():
    newer = json.loads(encode(a_record())) | {"schema_version": SCHEMA_VERSION + 1}
    with pytest.raises(SchemaError) as caught:
        decode(json.dumps(newer))
    assert str(caught.value) == (
        f"found a record of schema version {SCHEMA_VERSION + 1}, but this program reads up to "
        f"version {SCHEMA_VERSION}: install a newer throttle-probe to read it"
    )


def test_a_newer_schema_is_told_apart_from_a_broken_record():
    with pytest.raises(SchemaError, match="install a newer throttle-probe"):
        decode(json.dumps({"schema_version": 99, "kind": "a kind of the future"}))


@pytest.mark.parametrize("kind", sorted(BODIES))
def test_a_record_without_its_body_is_refused(kind):
    with pytest.raises(ValueError, match=f"a {kind} record holds no body"):
        a_record(kind=kind, reach=None)


def test_a_record_with_the_body_of_another_kind_is_refused():
    with pytest.raises(ValueError, match=r"a fetch record holds \['reach'\], not one fetch"):
        a_record(kind="fetch")


def test_a_record_with_two_bodies_is_refused():
    with pytest.raises(ValueError, match=r"holds \['fetch', 'reach'\], not one reach"):
        a_record(fetch=Fetch(url="https://t.co/"))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"kind": "fetch"}, "a fetch record holds"),
        ({"reach": None}, "a reach record holds no body"),
        ({"kind": "guess"}, "Invalid enum value 'guess'"),
        ({"arm": "both"}, "Invalid enum value 'both'"),
        ({"round": "first"}, "Expected `int`"),
        ({"start": "yesterday"}, "Invalid RFC3339 encoded datetime"),
        ({"reach": {"address": "192.0.2.1"}}, "missing required field `port`"),
        ({"reach": {"address": "192.0.2.1", "port": 443, "rtt_s": "fast"}}, "Expected `float"),
    ],
)
def test_a_record_that_breaks_the_schema_is_refused_with_what_is_wrong(changes, message):
    broken = json.loads(encode(a_record())) | changes
    with pytest.raises(SchemaError, match="found a record that breaks the schema: ") as caught:
        decode(json.dumps(broken))
    assert message in str(caught.value)


@pytest.mark.parametrize("field", ["id", "run", "session", "start", "service", "kind", "endpoint"])
def test_a_record_without_a_required_field_is_refused(field):
    broken = json.loads(encode(a_record()))
    del broken[field]
    with pytest.raises(SchemaError, match=f"missing required field `{field}`"):
        decode(json.dumps(broken))


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (b"", "not JSON"),
        (b'{"schema_version": 1', "not JSON"),
        (b"\xff\xfe", "not JSON"),
        (b'{"schema_version": 1, "id": "\xff"}', "not JSON"),
        (b"[" * 100_000, "not JSON"),
        (b"[]", "found list, expected a JSON object"),
        (b"null", "found NoneType, expected a JSON object"),
        (b"{}", "found schema_version None, expected a whole number"),
        (b'{"schema_version": "1"}', "found schema_version '1', expected a whole number"),
        (b'{"schema_version": true}', "found schema_version True, expected a whole number"),
        (b'{"schema_version": 0}', "found schema_version 0, expected a whole number"),
        (b'{"schema_version": 1.5}', "found schema_version 1.5, expected a whole number"),
    ],
    ids=range(12),
)
def test_a_line_that_is_no_record_is_refused_with_what_it_is(line, message):
    with pytest.raises(SchemaError) as caught:
        decode(line)
    assert message in str(caught.value)


@given(st.binary() | st.text())
def test_whatever_a_line_holds_the_only_error_is_a_schema_error(line):
    with pytest.raises(SchemaError):
        decode(line)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@patient
@given(st.data())
def test_a_damaged_record_is_read_or_refused_and_nothing_else(data):
    raw = json.loads(encode(a_record()))
    raw[data.draw(st.sampled_from(sorted(raw)))] = data.draw(JSON)
    try:
        record = decode(json.dumps(raw))
    except SchemaError:
        return
    assert decode(encode(record)) == record


class Inner(msgspec.Struct, frozen=True):
    a: int = 0


class Outer(msgspec.Struct, frozen=True):
    one: Inner = Inner()
    maybe: Inner | None = None
    many: tuple[Inner, ...] = ()
    free: dict[str, Any] = {}


def test_what_a_struct_would_drop_is_found_where_it_stands():
    raw = {"one": {"a": 1, "b": 2}, "maybe": {"c": 3}, "many": [{}, {"d": 4}], "e": 5}
    assert leftover(raw, Outer) == {
        "one": {"b": 2},
        "maybe": {"c": 3},
        "many": {"1": {"d": 4}},
        "e": 5,
    }


def test_free_form_fields_hold_nothing_unknown():
    assert leftover({"free": {"x": {"y": 1}}, "maybe": None, "many": []}, Outer) == {}


def test_putting_back_never_overwrites_a_known_field():
    assert merge({"a": 1, "one": {"a": 1}}, {"a": 2, "one": {"a": 2, "b": 3}}) == {
        "a": 1,
        "one": {"a": 1, "b": 3},
    }


def test_putting_back_changes_neither_of_the_two():
    plain, unknown = {"many": [{"a": 1}]}, {"many": {"0": {"b": 2}}}
    assert merge(plain, unknown) == {"many": [{"a": 1, "b": 2}]}
    assert plain == {"many": [{"a": 1}]}
    assert unknown == {"many": {"0": {"b": 2}}}


def test_unknown_fields_of_an_item_that_is_gone_are_left_out():
    assert merge({"many": [{"a": 1}]}, {"many": {"7": {"b": 2}}}) == {"many": [{"a": 1}]}
