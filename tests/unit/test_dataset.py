"""A dataset grows by what is new, and is never half of one."""

import subprocess
import sys
import textwrap

import duckdb
import pyarrow as pa
import pytest
from rows import DAY_S, START_S, crowd

from analysis import dataset
from analysis.dataset import Incoming, build, manifest, paths
from analysis.errors import AnalysisError, DataError
from analysis.importers import Imported
from analysis.rows import SessionRow, schema


def offer(source, rows, origin=None, reads=None):
    def read():
        if reads is not None:
            reads.append(source)
        named = [crowd(0.9, **{"source": source, **row}) for row in rows]
        return Imported(path=None, source=source, trials=[], sessions=named, skipped=[])

    return Incoming(source, origin or source, "test", read)


def stored(folder):
    query = "SELECT * FROM read_parquet($files, hive_partitioning = true) ORDER BY start_s, session"
    return duckdb.sql(query, params={"files": paths(folder, "sessions")}).to_arrow_table()


def names(folder):
    return sorted(path.name for path in folder.rglob("*.parquet"))


def test_rows_lie_by_month_and_country(tmp_path):
    later = START_S + 40 * DAY_S
    build(tmp_path, [offer("a", [{}, {"country": "KZ"}, {"start_s": later}])])
    folders = {path.parent.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*.parquet")}
    assert folders == {
        "sessions/month=2021-01/country=RU",
        "sessions/month=2021-01/country=KZ",
        "sessions/month=2021-02/country=RU",
    }


def test_what_was_stored_comes_back(tmp_path):
    build(tmp_path, [offer("a", [{"asn": 7, "network": "Ufanet", "country": "NO"}])])
    row = stored(tmp_path).to_pylist()[0]
    assert (row["asn"], row["network"], row["country"], row["month"]) == (
        7,
        "Ufanet",
        "NO",
        "2021-01",
    )


def test_files_are_compressed_with_zstd(tmp_path):
    build(tmp_path, [offer("a", [{}])])
    [path] = tmp_path.rglob("*.parquet")
    column = pa.parquet.read_metadata(path).row_group(0).column(0)
    assert column.compression == "ZSTD"


def test_a_known_content_is_not_read_again(tmp_path):
    reads = []
    build(tmp_path, [offer("a", [{}], reads=reads)])
    built = build(
        tmp_path, [offer("a", [{}], reads=reads), offer("b", [{"number": 1}], reads=reads)]
    )
    assert reads == ["a", "b"]
    assert (built.added, built.unchanged, built.sessions) == (1, 1, 2)


def test_a_changed_file_takes_the_place_of_its_older_self(tmp_path):
    build(tmp_path, [offer("a", [{}, {"number": 1}], origin="file")])
    built = build(tmp_path, [offer("b", [{"number": 2}], origin="file")])
    assert (built.added, built.replaced, built.sessions) == (0, 1, 1)
    assert stored(tmp_path)["source"].to_pylist() == ["b"]


def test_a_partition_that_nothing_touches_keeps_its_file(tmp_path):
    build(tmp_path, [offer("a", [{}])])
    before = names(tmp_path)
    build(tmp_path, [offer("b", [{"country": "KZ"}])])
    assert set(before) < set(names(tmp_path))


def test_only_the_files_of_the_manifest_are_left(tmp_path):
    build(tmp_path, [offer("a", [{}])])
    build(tmp_path, [offer("b", [{"number": 1}])])
    assert names(tmp_path) == sorted(part.path.split("/")[-1] for part in manifest(tmp_path).parts)


def test_a_build_killed_before_its_end_leaves_the_old_dataset(tmp_path):
    build(tmp_path, [offer("a", [{}])])
    script = textwrap.dedent(f"""
        import os, signal, sys
        sys.path.insert(0, {str(tmp_path.parent)!r})
        from pathlib import Path
        from analysis import dataset
        from test_dataset import offer
        whole = dataset._replace
        def killed(path, content):
            if path.name == dataset.MANIFEST:
                os.kill(os.getpid(), signal.SIGKILL)
            whole(path, content)
        dataset._replace = killed
        dataset.build(Path({str(tmp_path)!r}), [offer("b", [{{"number": 1}}])])
    """)
    here = str(__import__("pathlib").Path(__file__).parent)
    done = subprocess.run([sys.executable, "-c", script], check=False, env={"PYTHONPATH": here})
    assert done.returncode == -9
    assert stored(tmp_path)["source"].to_pylist() == ["a"]
    assert build(tmp_path, [offer("b", [{"number": 1}])]).sessions == 2
    assert len(names(tmp_path)) == 1


def test_two_builds_at_once_are_one_too_many(tmp_path):
    with (
        dataset._locked(tmp_path),
        pytest.raises(AnalysisError, match="another program is writing"),
    ):
        build(tmp_path, [])


def test_a_folder_with_other_things_in_it_is_refused(tmp_path):
    (tmp_path / "thesis.doc").write_text("")
    with pytest.raises(DataError, match="found other files"):
        build(tmp_path, [])


def test_a_newer_dataset_is_refused_with_a_sentence(tmp_path):
    (tmp_path / "dataset.json").write_text('{"row_version": 99}')
    with pytest.raises(DataError, match=r"row version 99 .* reads up to version 1"):
        manifest(tmp_path)


def test_a_damaged_manifest_is_refused_with_a_sentence(tmp_path):
    (tmp_path / "dataset.json").write_text("{")
    with pytest.raises(DataError, match="is damaged"):
        manifest(tmp_path)


def test_an_older_dataset_is_brought_up_by_the_table_of_steps(tmp_path, monkeypatch):
    build(tmp_path, [offer("a", [{}])])
    monkeypatch.setattr(dataset, "ROW_VERSION", 2)

    def renamed(table, rows):
        at = rows.schema.get_field_index("network")
        names = [f"{name}" for name in rows.column_names]
        assert table == "sessions"
        assert names[at] == "network"
        return rows.set_column(at, "network", pa.array(["Renamed"] * len(rows)))

    monkeypatch.setitem(dataset.UPGRADES, 1, renamed)
    build(tmp_path, [])
    assert stored(tmp_path)["network"].to_pylist() == ["Renamed"]


def test_each_probe_has_one_vote_a_day_and_it_is_the_first(tmp_path):
    build(
        tmp_path,
        [
            offer("a", [{"start_s": START_S + 600, "number": 1}]),
            offer("b", [{"start_s": START_S + 60}, {"start_s": START_S + DAY_S}]),
            offer("c", [{"probe": "other", "start_s": START_S + 5}]),
        ],
    )
    votes = {
        (row["probe"], row["start_s"] - START_S): row["vote"]
        for row in stored(tmp_path).to_pylist()
    }
    assert votes == {
        ("line", 60): True,
        ("line", 600): False,
        ("line", DAY_S): True,
        ("other", 5): True,
    }


def test_a_session_that_was_left_open_does_not_vote(tmp_path):
    rows = [{"verdict": "inconclusive", "hit": None}, {"number": 1, "start_s": START_S + 9}]
    build(tmp_path, [offer("a", rows)])
    assert [row["vote"] for row in stored(tmp_path).to_pylist()] == [False, True]


def test_every_field_of_a_row_has_a_column():
    assert schema(SessionRow).names == ["month", *SessionRow.__struct_fields__]
