"""OONI's measurements become rows: what failed beside its control, and the speed of lines."""

import gzip
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analysis.data import open_data
from analysis.dataset import build
from analysis.detect import detect
from analysis.errors import DataError
from analysis.importers.lines import BadLineError
from analysis.importers.offer import offer
from analysis.importers.ooni import _rows, read

ENVELOPE = {
    "data_format_version": "0.2.0",
    "measurement_start_time": "2025-08-12 10:00:00",
    "probe_asn": "AS64496",
    "probe_cc": "RU",
    "probe_ip": "127.0.0.1",
    "probe_network_name": "An Operator",
    "report_id": "20250812T100000Z_webconnectivity_RU_64496_n1",
    "annotations": {"network_type": "mobile"},
}


def measurement(test, keys, **fields):
    return {**ENVELOPE, "test_name": test, "test_keys": keys, **fields}


def web(blocking=False, accessible=True, **keys):
    found = {"blocking": blocking, "accessible": accessible, **keys}
    return measurement("web_connectivity", found, input="https://www.twitter.com/")


def write(path, *found):
    path.write_text("".join(json.dumps(item) + "\n" for item in found))
    return path


def one(tmp_path, found):
    return read(write(tmp_path / "a.jsonl", found))


def test_an_accessible_site_is_a_session_without_a_hit(tmp_path):
    [row] = one(tmp_path, web()).sessions
    assert (row.service, row.kind, row.hit, row.control_kind) == ("twitter", "fetch", 0, "C")
    assert (row.country, row.asn, row.network, row.network_type) == (
        *("RU", 64496, "An Operator", "mobile"),
    )
    assert row.start_s == 1_754_992_800


@pytest.mark.parametrize(
    ("blocking", "failure", "mechanism"),
    [
        ("dns", None, "dns"),
        ("tcp_ip", "generic_timeout_error", "dropped"),
        ("http-failure", "connection_reset", "reset"),
        ("http-failure", "ssl_invalid_certificate", "tls"),
        ("http-failure", "generic_timeout_error", "dropped"),
        ("http-diff", None, "blockpage"),
        ("http-failure", None, "unclassified"),
    ],
)
def test_a_blocked_site_is_a_hit_with_how(tmp_path, blocking, failure, mechanism):
    found = web(blocking, accessible=False, http_experiment_failure=failure)
    [row] = one(tmp_path, found).sessions
    assert (row.hit, row.mechanism) == (1, mechanism)


def test_what_ooni_could_not_tell_counts_neither_way(tmp_path):
    [row] = one(tmp_path, web(None, accessible=None)).sessions
    assert row.hit is None


def test_speed_and_phases_come_from_the_events(tmp_path):
    events = [
        {"operation": "bytes_received_cumulative", "t0": 1.0, "t": 1.0, "num_bytes": 1000},
        {"operation": "bytes_received_cumulative", "t0": 9.0, "t": 9.0, "num_bytes": 101_000},
    ]
    found = web(
        network_events=events,
        tcp_connect=[{"ip": "192.0.2.1", "port": 443, "t": 0.05, "status": {"failure": None}}],
        tls_handshakes=[{"failure": None, "t0": 0.05, "t": 2.55}],
    )
    [trial] = one(tmp_path, found).trials
    assert (trial.bytes, trial.goodput_bps) == (101_000, 101_000)
    assert (trial.connect_s, trial.tls_s) == (0.05, 2.5)


def test_reads_are_summed_where_there_are_no_samples(tmp_path):
    reads = [{"operation": "read", "t": float(t), "num_bytes": 1000} for t in range(1, 6)]
    odd = [{"operation": "read", "t": 6.0, "failure": "eof_error"}, {"operation": "read", "t": 7.0}]
    [trial] = one(tmp_path, web(network_events=reads + odd)).trials
    assert trial.bytes == 5000


@pytest.mark.parametrize(
    ("test", "keys", "service", "hit"),
    [
        ("telegram", {"telegram_tcp_blocking": True, "telegram_web_status": "ok"}, "telegram", 1),
        ("telegram", {"telegram_tcp_blocking": False, "telegram_web_status": None}, "telegram", 0),
        ("whatsapp", {"registration_server_status": "blocked"}, "whatsapp", 1),
        ("whatsapp", {"whatsapp_endpoints_status": "ok"}, "whatsapp", 0),
        ("facebook_messenger", {"facebook_dns_blocking": True}, "facebook", 1),
        ("signal", {"signal_backend_status": "ok"}, "signal", 0),
        ("signal", {}, "signal", None),
    ],
)
def test_messengers_are_blocked_if_any_part_is(tmp_path, test, keys, service, hit):
    [row] = one(tmp_path, measurement(test, keys)).sessions
    assert (row.service, row.kind, row.hit) == (service, "reach", hit)


def test_a_messengers_connects_are_its_trials(tmp_path):
    connects = [
        {"ip": "149.154.175.50", "port": 443, "t0": 0.1, "t": 0.15, "status": {"success": True}},
        {"ip": "149.154.167.51", "port": 443, "status": {"failure": "connection_reset"}},
    ]
    keys = {"telegram_tcp_blocking": True, "tcp_connect": connects}
    found = one(tmp_path, measurement("telegram", keys))
    assert [trial.failure for trial in found.trials] == [None, "connection_reset"]
    assert found.trials[0].connect_s == pytest.approx(0.05)
    assert found.sessions[0].mechanism == "reset"


@pytest.mark.parametrize(
    ("test", "keys", "speed"),
    [
        ("ndt", {"summary": {"download": 41_000.0, "upload": 9_000.0}}, 41_000_000),
        ("dash", {"simple": {"median_bitrate": 3_000}}, 3_000_000),
    ],
)
def test_speed_tests_describe_the_line(tmp_path, test, keys, speed):
    found = one(tmp_path, measurement(test, keys))
    assert [(row.service, row.arm, row.goodput_bps) for row in found.trials] == [
        ("line", "control", speed)
    ]
    assert found.sessions == []


def test_a_relay_answers_or_it_does_not(tmp_path):
    keys = {"endpoint": "stun.example:3478", "failure": "generic_timeout_error"}
    [trial] = one(tmp_path, measurement("stunreachability", keys)).trials
    assert (trial.endpoint, trial.failure) == ("stun.example:3478", "generic_timeout_error")


@pytest.mark.parametrize(
    "time", ["2025-08-12 10:00:00", "2025-08-12T10:00:00Z", "2025-08-12T10:00:00"]
)
def test_times_are_read_in_every_way_they_are_written(tmp_path, time):
    [row] = one(tmp_path, web() | {"measurement_start_time": time}).sessions
    assert row.start_s == 1_754_992_800


def test_a_withheld_network_is_as_0(tmp_path):
    found = web() | {"probe_asn": "AS0", "probe_cc": "ZZ", "annotations": None}
    [row] = one(tmp_path, found).sessions
    assert (row.asn, row.country, row.network_type) == (0, "ZZ", "unknown")


def test_bad_lines_are_told_with_their_number(tmp_path):
    path = tmp_path / "a.jsonl"
    other = measurement("tor", {})
    text = "\n".join(
        [json.dumps(web()), "{", json.dumps(other), "[]", json.dumps(web() | {"test_keys": None})]
    )
    path.write_text(text)
    found = read(path)
    assert [line.line for line in found.skipped] == [2, 3, 4, 5]
    assert "found the test 'tor', expected one of web_connectivity" in found.skipped[1].reason


def test_gzip_is_unpacked(tmp_path):
    path = tmp_path / "a.jsonl.gz"
    path.write_bytes(gzip.compress(json.dumps(web()).encode()))
    assert len(read(path).sessions) == 1


def test_one_indented_object_is_one_measurement(tmp_path):
    path = tmp_path / "a.json"
    path.write_text(json.dumps(web(), indent=2))
    assert len(read(path).sessions) == 1


def test_a_file_with_nothing_readable_is_an_error(tmp_path):
    with pytest.raises(DataError, match=r"found nothing readable .* expected OONI measurements"):
        read(write(tmp_path / "a.jsonl", {"hello": 1}))


def test_a_network_where_many_lines_fail_is_blocked_there(tmp_path):
    found = [
        web("http-failure", accessible=False, http_experiment_failure="connection_reset")
        | {"report_id": f"r{n}"}
        for n in range(12)
    ]
    build(tmp_path / "set", offer("ooni", [write(tmp_path / "a.jsonl", *found)]))
    [finding] = detect(open_data([str(tmp_path / "set")], None)).findings
    assert (finding.verdict, finding.mechanism, finding.service) == ("blocked", "reset", "twitter")
    assert "failed where a control did not" in finding.why


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=8,
)
KEYS = st.sampled_from(
    ["blocking", "accessible", "tcp_connect", "network_events", "summary", "simple", "endpoint"]
)


@given(
    st.sampled_from(
        ["web_connectivity", "telegram", "whatsapp", "ndt", "dash", "stunreachability"]
    ),
    st.dictionaries(KEYS, JSON),
    JSON,
)
def test_no_shape_of_test_keys_breaks_the_reader(test, keys, asn):
    found = measurement(test, keys, input="https://x.com/", probe_asn=asn)
    try:
        trials, sessions = _rows(found, "source", "name")
    except BadLineError:
        return
    assert all(row.country == "RU" for row in [*trials, *sessions])
