"""Run files survive kills, full disks and readers that come too early."""

import resource
import signal
import subprocess
import sys
import textwrap
from datetime import UTC, datetime
from pathlib import Path

import pytest

from probe.ids import uuid7
from probe.measurement import Measurement, Reach, encode
from probe.store import RunFile, StoreError, read, recover, run_files


def record(number: int = 0) -> Measurement:
    return Measurement(
        id=f"id-{number}",
        run="run",
        session="session",
        round=number,
        arm="control",
        start=datetime(2026, 11, 21, tzinfo=UTC),
        service="line",
        kind="reach",
        endpoint="192.0.2.1:443",
        reach=Reach(address="192.0.2.1", port=443),
    )


def test_a_finished_run_is_in_new_with_every_record_in_order(tmp_path: Path) -> None:
    with RunFile(tmp_path, "run") as run:
        for number in range(3):
            run.append(record(number))
    assert run_files(tmp_path) == [tmp_path / "new" / "run.jsonl"]
    assert [r.id for r in read(tmp_path / "new" / "run.jsonl").records] == ["id-0", "id-1", "id-2"]


def test_a_run_without_records_leaves_no_file(tmp_path: Path) -> None:
    with RunFile(tmp_path, "run"):
        pass
    assert run_files(tmp_path) == []


def test_a_file_can_be_read_while_it_is_written(tmp_path: Path) -> None:
    with RunFile(tmp_path, "run") as run:
        run.append(record())
        contents = read(tmp_path / "tmp" / "run.jsonl")
        assert len(contents.records) == 1
        assert contents.torn_bytes == 0


def test_a_torn_last_line_is_passed_over_and_counted(tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    path.write_bytes(encode(record()) + b"\n" + b'{"half')
    contents = read(path)
    assert len(contents.records) == 1
    assert contents.torn_bytes == 6
    assert contents.bad == ()


def test_a_bad_line_is_named_and_the_others_are_kept(tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    path.write_bytes(b"nonsense\n" + encode(record()) + b"\n")
    contents = read(path)
    assert len(contents.records) == 1
    assert [(bad.line, bad.path) for bad in contents.bad] == [(1, path)]
    assert "not JSON" in contents.bad[0].reason


KILLED = """
import os, signal, sys
sys.path[:0] = [{tests!r}, {root!r}]
from pathlib import Path
from test_store import record
from probe.store import RunFile
run = RunFile(Path({data!r}), "killed")
run.append(record(0))
run.append(record(1))
run._file.write(b'{{"torn')
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_after_sigkill_the_next_probe_recovers_every_finished_trial(tmp_path: Path) -> None:
    here = Path(__file__)
    script = KILLED.format(tests=str(here.parent), root=str(here.parents[2]), data=str(tmp_path))
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(script)], check=False)
    assert done.returncode == -signal.SIGKILL
    assert recover(tmp_path) == [tmp_path / "new" / "killed.jsonl"]
    contents = read(tmp_path / "new" / "killed.jsonl")
    assert [r.id for r in contents.records] == ["id-0", "id-1"]
    assert contents.torn_bytes == 0
    assert list((tmp_path / "tmp").iterdir()) == []


def test_recovery_leaves_the_file_of_a_living_probe_alone(tmp_path: Path) -> None:
    with RunFile(tmp_path, "alive") as run:
        run.append(record())
        assert recover(tmp_path) == []
        run.append(record(1))
    assert len(read(tmp_path / "new" / "alive.jsonl").records) == 2


def test_a_full_disk_is_a_sentence_and_keeps_what_was_measured(tmp_path: Path) -> None:
    """A file size limit stands in for a full disk: both make the kernel take part of a write."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    size = len(encode(record())) + 1
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        with RunFile(tmp_path, "run") as run:
            run.append(record(0))
            resource.setrlimit(resource.RLIMIT_FSIZE, (size + size // 2, hard))
            with pytest.raises(StoreError, match="free some disk space"):
                run.append(record(1))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, before)
    contents = read(tmp_path / "new" / "run.jsonl")
    assert [r.id for r in contents.records] == ["id-0"]
    assert contents.torn_bytes == 0


def test_a_folder_that_cannot_be_written_is_a_sentence(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("not a folder")
    with pytest.raises(StoreError, match="name another one with --data"):
        RunFile(blocked, "run")


def test_an_identifier_is_a_version_7_uuid_with_whole_seconds() -> None:
    made = uuid7(1_700_000_000.987, bits=lambda n: (1 << n) - 1)
    milliseconds = int(made.replace("-", "")[:12], 16)
    assert milliseconds == 1_700_000_000_000
    assert made[14] == "7"
    assert made[19] in "89ab"


def test_identifiers_sort_by_time() -> None:
    assert uuid7(1_700_000_000) < uuid7(1_700_000_001)


def test_two_probes_do_not_share_a_run_file(tmp_path: Path) -> None:
    with RunFile(tmp_path, "run") as run:
        run.append(record())
        with pytest.raises(StoreError):
            RunFile(tmp_path, "run")
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["run.jsonl"]
