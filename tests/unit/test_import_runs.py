"""A probe's runs go into a dataset while it is still measuring, and are in it once."""

import pytest
from builders import fetch, session

from analysis.dataset import build, manifest
from analysis.errors import DataError
from analysis.importers.offer import offer
from analysis.rollup import cells, sessions_table
from probe.measurement import encode


def lines(*names):
    return b"".join(
        encode(record) + b"\n"
        for name in names
        for record in session([fetch(number=n, session=name) for n in range(3)], session=name)
    )


def write(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def imported(data, folder):
    return build(folder / "set", offer("runs", [data]))


def test_each_session_is_judged_once_and_kept_with_its_trials(tmp_path):
    write(tmp_path / "data" / "new" / "run.jsonl", lines("s1", "s2"))
    built = imported(tmp_path / "data", tmp_path)
    assert built.sessions == 2
    rows = {part.table: part.rows for part in manifest(tmp_path / "set").parts}
    assert rows == {"sessions": 2, "trials": 12}


def test_a_run_that_grows_and_moves_on_is_still_one_run(tmp_path):
    data = tmp_path / "data"
    first = write(data / "tmp" / "run.jsonl", lines("s1"))
    assert imported(data, tmp_path).sessions == 1
    first.write_bytes(lines("s1", "s2"))
    assert imported(data, tmp_path).sessions == 2
    (data / "new").mkdir()
    first.rename(data / "new" / "run.jsonl")
    built = imported(data, tmp_path)
    assert (built.sessions, built.unchanged) == (2, 1)
    (data / "new" / "run.jsonl").write_bytes(lines("s1", "s2", "s3"))
    assert imported(data, tmp_path).sessions == 3


def test_a_run_that_has_only_begun_is_no_mistake(tmp_path):
    write(tmp_path / "data" / "tmp" / "run.jsonl", lines("s1")[:50])
    assert imported(tmp_path / "data", tmp_path).sessions == 0


def test_what_else_lies_in_a_data_folder_is_left_alone(tmp_path):
    write(tmp_path / "data" / "new" / "run.jsonl", lines("s1"))
    write(tmp_path / "data" / "report" / "findings.jsonl", b"{}\n")
    assert imported(tmp_path / "data", tmp_path).sessions == 1


def test_a_file_of_something_else_is_refused(tmp_path):
    other = write(tmp_path / "other.jsonl", b'{"a": 1}\n')
    with pytest.raises(DataError, match="found no record"):
        imported(other, tmp_path)


def test_two_probes_are_two_lines(tmp_path):
    for name in ("a", "b"):
        write(tmp_path / name / "new" / f"{name}.jsonl", lines(name))
    build(tmp_path / "set", offer("runs", [tmp_path / "a", tmp_path / "b"]))
    assert cells(sessions_table([tmp_path / "set"]))["probes"].tolist() == [2]
