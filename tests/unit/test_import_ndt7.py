"""M-Lab's results become the speed of a line, and no address comes with them."""

import json

import pytest

from analysis.errors import DataError
from analysis.importers.ndt7 import read

RESULT = {
    "GitShortCommit": "abc",
    "ServerIP": "192.0.2.1",
    "ClientIP": "198.51.100.7",
    "StartTime": "2025-08-12T10:00:00.123456789Z",
    "Download": {
        "UUID": "ndt-1",
        "StartTime": "2025-08-12T10:00:01.123456789Z",
        "ServerMeasurements": [
            {"TCPInfo": {"BytesAcked": 1000, "ElapsedTime": 100}},
            {"TCPInfo": {"BytesAcked": 50_000_000, "ElapsedTime": 10_000_000}},
        ],
    },
    "Upload": {
        "UUID": "ndt-2",
        "ClientMeasurements": [{"AppInfo": {"NumBytes": 5_000_000, "ElapsedTime": 10_000_000}}],
    },
}


def write(path, *found, indent=None):
    path.write_text("\n".join(json.dumps(item, indent=indent) for item in found))
    return path


def test_each_direction_is_a_row_of_the_line(tmp_path):
    rows = read(write(tmp_path / "a.json", RESULT)).trials
    assert [(row.service, row.endpoint, row.goodput_bps) for row in rows] == [
        ("line", "ndt7 download", 40_000_000),
        ("line", "ndt7 upload", 4_000_000),
    ]
    assert rows[0].start_s == 1_754_992_801


def test_no_address_is_kept(tmp_path):
    rows = read(write(tmp_path / "a.json", RESULT)).trials
    assert "198.51.100" not in str(rows)


def test_country_and_network_come_from_mlabs_annotations(tmp_path):
    client = {"Geo": {"CountryCode": "RU"}, "Network": {"ASNumber": 64496, "ASName": "Operator"}}
    row = read(write(tmp_path / "a.json", {"raw": RESULT, "client": client})).trials[0]
    assert (row.country, row.asn, row.network) == ("RU", 64496, "Operator")


def test_a_result_may_be_one_object_over_many_lines(tmp_path):
    assert len(read(write(tmp_path / "a.json", RESULT, indent=1)).trials) == 2


def test_a_direction_that_never_reported_is_left_out(tmp_path):
    part = RESULT | {"Upload": {"UUID": "x", "ServerMeasurements": None}}
    assert len(read(write(tmp_path / "a.json", part)).trials) == 1


def test_results_without_a_measurement_are_told_with_their_line(tmp_path):
    empty = RESULT | {"Download": {}, "Upload": {}}
    found = read(write(tmp_path / "a.jsonl", RESULT, empty, {"x": 1}))
    assert [(line.line, line.reason.split(",")[0]) for line in found.skipped] == [
        (2, "found no measurement with bytes and time in it"),
        (3, "found neither Download nor Upload"),
    ]


def test_a_file_with_no_result_is_an_error(tmp_path):
    with pytest.raises(DataError, match="expected ndt7 results of M-Lab"):
        read(write(tmp_path / "a.json", {"x": 1}))
