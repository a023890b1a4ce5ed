"""The speed tests of spring 2021 become rows, and bad lines are told with their number."""

import gzip

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analysis.errors import DataError
from analysis.importers import files
from analysis.importers.twitter2021 import COLUMNS, parse, read

HEADER = (
    "datetime_rounded,anonymized_ip,subnet,asn,as_country,as_organization,"
    "as_organization_iden,version,test_result,control_result,control_taco_result"
)
GOOD = (
    "2021-03-13 00:05:00 UTC,192.0.2.0,192.0.2.0/24,64496,RU,An Operator,ORG-1,4,"
    "108.24,2577.32,2581.76"
)


def write(path, *lines, header=HEADER):
    path.write_text("\n".join([header, *lines]) + "\n")
    return path


def test_a_row_becomes_three_trials_and_two_sessions(tmp_path):
    found = read(write(tmp_path / "a.csv", GOOD))
    assert [(trial.arm, trial.goodput_bps) for trial in found.trials] == [
        ("target", 108_240),
        ("control", 2_577_320),
        ("control", 2_581_760),
    ]
    assert [(row.service, row.hits, row.control_kind) for row in found.sessions] == [
        ("twitter", 1, "C"),
        ("control", 0, "C"),
    ]


def test_speeds_are_kbit_and_times_are_utc(tmp_path):
    row = read(write(tmp_path / "a.csv", GOOD)).sessions[0]
    assert row.target_bps == 108_240
    assert row.start_s == 1_615_593_900


def test_the_lines_prefix_is_not_kept(tmp_path):
    found = read(write(tmp_path / "a.csv", GOOD))
    assert all("192.0.2" not in str(row) for row in [*found.trials, *found.sessions])


def test_one_line_is_one_probe_on_every_day(tmp_path):
    later = GOOD.replace("2021-03-13", "2021-04-13")
    rows = read(write(tmp_path / "a.csv", GOOD, later)).sessions
    assert len({row.probe for row in rows}) == 1


def test_gzip_is_read_whatever_the_file_is_called(tmp_path):
    path = tmp_path / "a.csv"
    path.write_bytes(gzip.compress(f"{HEADER}\n{GOOD}\n".encode()))
    assert len(read(path).sessions) == 2


def test_columns_may_stand_in_another_order_with_others_between(tmp_path):
    header = ",".join(["extra", *reversed(COLUMNS)])
    line = "x,2581.76,2577.32,108.24,An Operator,RU,64496,192.0.2.0,2021-03-13 00:05:00 UTC"
    assert read(write(tmp_path / "a.csv", line, header=header)).sessions[0].asn == 64496


@pytest.mark.parametrize(
    ("found", "instead", "reason"),
    [
        (
            "2577.32",
            "-16304.35",
            "found control_result -16304.4, expected a speed in kbit/s above 0",
        ),
        ("108.24", "0", "found test_result 0, expected a speed in kbit/s above 0"),
        ("108.24", "inf", "found test_result inf, expected a speed in kbit/s above 0"),
        ("108.24", "", "found a field that is no number"),
        ("00:05:00 UTC", "00:05", "found the time '2021-03-13 00:05', expected"),
        ("192.0.2.0,", ",", "found no anonymized_ip"),
        (",4,", ",", "found 10 fields, expected 11"),
    ],
)
def test_a_bad_line_is_told_with_its_number_and_passed_over(tmp_path, found, instead, reason):
    read_back = read(write(tmp_path / "a.csv", GOOD, GOOD.replace(found, instead, 1), GOOD))
    assert len(read_back.sessions) == 4
    [skipped] = read_back.skipped
    assert skipped.line == 3
    assert reason in skipped.reason


def test_a_byte_that_is_not_utf8_spoils_no_other_line(tmp_path):
    path = tmp_path / "a.csv"
    spoiled = GOOD.encode().replace(b"An Operator", b"\xff\xfe")
    path.write_bytes(b"\n".join([HEADER.encode(), spoiled, GOOD.encode()]))
    assert len(read(path).sessions) == 4


def test_a_file_with_no_readable_row_is_an_error_that_says_why(tmp_path):
    path = write(tmp_path / "a.csv", GOOD.replace("108.24", "none"))
    with pytest.raises(DataError, match=r"no readable row .* the first because: found a field"):
        read(path)


def test_another_table_is_refused_by_its_header(tmp_path):
    path = write(tmp_path / "a.csv", "1,2", header="a,b")
    with pytest.raises(DataError, match="found no column datetime_rounded"):
        read(path)


def test_half_a_gzip_file_is_refused_with_a_sentence(tmp_path):
    path = tmp_path / "a.csv.gz"
    path.write_bytes(gzip.compress(f"{HEADER}\n{GOOD}\n".encode())[:-12])
    with pytest.raises(DataError, match=r"cannot be unpacked .* fetch it again"):
        read(path)


def test_a_folder_of_daily_files_is_searched_at_any_depth(tmp_path):
    for name in ("2021-03/13.csv", "2021-03/14.csv.gz", "2021-03/readme.md"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("")
    names = [path.name for path in files("twitter2021", [tmp_path])]
    assert names == ["13.csv", "14.csv.gz"]


def test_a_folder_without_such_files_says_what_was_looked_for(tmp_path):
    with pytest.raises(DataError, match=r"found no .csv or .csv.gz file under"):
        files("twitter2021", [tmp_path])


@given(st.lists(st.text(st.characters(codec="utf-8"), max_size=80), max_size=8))
def test_no_line_is_bad_enough_to_stop_the_reading(lines):
    for _, test in parse([HEADER, *(line.replace("\n", " ") for line in lines), GOOD], None):
        assert isinstance(test, str) or test.speeds_bps[0] > 0
