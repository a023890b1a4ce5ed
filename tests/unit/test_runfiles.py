"""Run files come back whole, whatever else lies between their records."""

import pytest
from builders import START, trial

from analysis.errors import DataError
from analysis.runfiles import _contents, find, load
from probe.measurement import Reach, encode


def reach(number, session="s1", **fields):
    body = Reach(address="192.0.2.1", port=443)
    plain = {"id": f"id{number}", "session": session, "reach": body}
    return encode(trial("reach", "target", number, **{**plain, **fields}))


def write(path, *lines, end=b"\n"):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"\n".join(lines) + end)
    return path


def ids(session):
    return [record.id for record in session.trials]


def test_sessions_are_gathered_in_the_order_of_their_trials(tmp_path):
    write(tmp_path / "new" / "a.jsonl", reach(2), reach(5, "s2"), reach(1))
    loaded = load([tmp_path])
    assert [(session.id, ids(session)) for session in loaded.sessions] == [
        ("s1", ["id1", "id2"]),
        ("s2", ["id5"]),
    ]


def test_all_three_folders_are_read(tmp_path):
    for number, folder in enumerate(("tmp", "new", "sent")):
        write(tmp_path / folder / f"{number}.jsonl", reach(number, f"s{number}"))
    assert len(load([tmp_path]).sessions) == 3


def test_a_record_in_two_files_counts_once(tmp_path):
    write(tmp_path / "new" / "a.jsonl", reach(1))
    write(tmp_path / "sent" / "b.jsonl", reach(1), reach(2))
    assert [ids(session) for session in load([tmp_path]).sessions] == [["id1", "id2"]]


def test_bad_lines_are_told_with_the_number_they_have_in_the_file(tmp_path):
    path = write(
        tmp_path / "a.jsonl",
        reach(1),
        b"not json",
        b"",
        b'{"x": "\xff"}',
        b"[1, 2]",
        b'{"a": 1} {"b": 2}',
        b'{"schema_version": 99}',
        b"[" * 100_000,
        reach(2),
    )
    loaded = load([path])
    assert ids(loaded.sessions[0]) == ["id1", "id2"]
    assert [line.line for line in loaded.skipped] == [2, 4, 5, 6, 7, 8]
    assert "newer throttle-probe" in loaded.skipped[4].reason
    assert str(loaded.skipped[0]).startswith(f"{path}:2: found a line that is not JSON")


def test_a_torn_last_line_is_cut_off_and_said_so(tmp_path):
    path = write(tmp_path / "a.jsonl", reach(1), reach(2)[:40], end=b"")
    loaded = load([path])
    assert ids(loaded.sessions[0]) == ["id1"]
    assert loaded.skipped == ()
    assert [str(torn) for torn in loaded.torn] == [
        f"{path}:2: found an unfinished last line; cut it off"
    ]


def test_a_file_that_holds_only_a_torn_line_has_no_session(tmp_path):
    loaded = load([write(tmp_path / "a.jsonl", reach(1)[:40], end=b"")])
    assert loaded.sessions == ()
    assert loaded.torn[0].line == 1


def test_an_empty_file_is_no_mistake(tmp_path):
    path = tmp_path / "a.jsonl"
    path.touch()
    assert load([path]).sessions == ()


def test_more_files_than_are_read_at_once_are_all_read(tmp_path):
    for number in range(40):
        write(tmp_path / "new" / f"{number:02}.jsonl", reach(number, f"s{number:02}"))
    assert len(load([tmp_path]).sessions) == 40


def test_a_file_that_a_probe_moves_meanwhile_is_found_in_its_new_folder(tmp_path):
    old = write(tmp_path / "tmp" / "a.jsonl", reach(1))
    files = find(tmp_path)
    (tmp_path / "new").mkdir()
    old.rename(tmp_path / "new" / "a.jsonl")
    assert files == [old]
    assert [path.parent.name for path, _ in _contents(files)] == ["new"]


def test_a_path_that_is_not_there_is_named(tmp_path):
    with pytest.raises(DataError, match=r"found no .*nowhere"):
        load([tmp_path / "nowhere"])


def test_times_survive(tmp_path):
    write(tmp_path / "a.jsonl", reach(0))
    assert load([tmp_path]).sessions[0].trials[0].start == START
