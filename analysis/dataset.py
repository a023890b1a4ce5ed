"""A dataset: the two tables of :mod:`analysis.rows` as zstd Parquet by month and country.

    DIR/dataset.json                                  what is in it; the only file readers trust
    DIR/sessions/month=2021-03/country=RU/<hash>.parquet
    DIR/trials/month=2021-03/country=RU/<hash>.parquet

A build adds what is new and leaves the rest alone: sources are known by the hash of their content,
and only the partitions they touch are written again, under new names. ``dataset.json`` is replaced
at the very end, in one step, so a build that is killed leaves the old dataset as it was.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import msgspec
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from analysis.errors import AnalysisError, DataError
from analysis.importers import Imported
from analysis.rows import ROW_VERSION, Row, SessionRow, TrialRow, schema, table
from analysis.votes import mark_votes

MANIFEST: Final = "dataset.json"
TABLES: Final[dict[str, type[Row]]] = {"trials": TrialRow, "sessions": SessionRow}
#: Row versions, each with the step that makes its tables those of the next version.
UPGRADES: Final[dict[int, Callable[[str, pa.Table], pa.Table]]] = {}

_PARTITION: Final = ("month", "country")
_LOCK: Final = ".lock"
_ROWS_PER_GROUP: Final = 250_000


class Source(msgspec.Struct, frozen=True):
    """A file that was read in. ``origin`` is what it replaces when its content has changed."""

    origin: str
    format: str
    sessions: int
    skipped: int
    partitions: tuple[tuple[str, str], ...]


class Part(msgspec.Struct, frozen=True):
    """One Parquet file: ``path`` is relative to the dataset."""

    table: str
    month: str
    country: str
    path: str
    rows: int


class Manifest(msgspec.Struct, frozen=True):
    """The content of ``dataset.json``."""

    row_version: int = ROW_VERSION
    sources: dict[str, Source] = {}
    parts: tuple[Part, ...] = ()


class Incoming(msgspec.Struct, frozen=True):
    """A file offered to a build: read only when its content is not yet there."""

    source: str
    origin: str
    format: str
    read: Callable[[], Imported]


class Built(msgspec.Struct, frozen=True):
    """What a build did."""

    added: int
    replaced: int
    unchanged: int
    skipped: tuple[Any, ...]
    sessions: int
    parts_written: int


def is_dataset(path: Path) -> bool:
    """Tell whether a folder holds a dataset."""
    return (path / MANIFEST).is_file()


def manifest(directory: Path) -> Manifest:
    """Read what a dataset holds.

    Args:
        directory: the dataset's folder.

    Raises:
        DataError: there is no dataset, it is damaged, or a newer program wrote it.
    """
    path = directory / MANIFEST
    try:
        found = msgspec.json.decode(path.read_bytes(), type=Manifest)
    except FileNotFoundError as error:
        raise DataError(
            f"found no {MANIFEST} in {directory}, expected a dataset: make one with analysis import"
        ) from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise DataError(
            f"found that {path} is damaged ({error}): import into a new folder"
        ) from error
    if found.row_version > ROW_VERSION:
        raise DataError(
            f"found a dataset of row version {found.row_version} in {directory}, but this program "
            f"reads up to version {ROW_VERSION}: install a newer throttle-probe to read it"
        )
    return found


def paths(directory: Path, name: str) -> list[str]:
    """List the Parquet files of a table.

    Args:
        directory: the dataset's folder.
        name: ``trials`` or ``sessions``.

    Returns:
        Their paths; columns ``month`` and ``country`` are in the paths (Hive style).
    """
    return [str(directory / part.path) for part in manifest(directory).parts if part.table == name]


def build(directory: Path, incoming: Iterable[Incoming]) -> Built:
    """Add files to a dataset, or make it.

    Args:
        directory: the dataset's folder; made if missing.
        incoming: the files; those whose content is there already are not read again.

    Returns:
        What was done.

    Raises:
        DataError: the folder holds another kind of data, or a file cannot be read.
        AnalysisError: another build is writing the dataset.
    """
    directory.mkdir(parents=True, exist_ok=True)
    with _locked(directory):
        old = _opened(directory)
        old = _upgraded(directory, old)
        fresh, unchanged, gone = _sort_out(old, incoming)
        touched = {place for item in gone for place in old.sources[item].partitions}
        sources = {key: value for key, value in old.sources.items() if key not in gone}
        rows: dict[str, list[Any]] = {name: [] for name in TABLES}
        skipped: list[Any] = []
        for offered, item in fresh:
            rows["trials"] += item.trials
            rows["sessions"] += item.sessions
            skipped += item.skipped
            sources[item.source] = _source(offered, item)
            touched |= set(sources[item.source].partitions)
        parts = _write(directory, old, rows, gone, touched)
        new = Manifest(sources=sources, parts=parts)
        _replace(directory / MANIFEST, msgspec.json.format(msgspec.json.encode(new)))
        _sweep(directory, new)
    return Built(
        added=len(fresh) - len(gone),
        replaced=len(gone),
        unchanged=unchanged,
        skipped=tuple(skipped),
        sessions=sum(part.rows for part in parts if part.table == "sessions"),
        parts_written=len(touched) * len(TABLES),
    )


def _opened(directory: Path) -> Manifest:
    """Return what is there; make an empty dataset of an empty folder."""
    if not is_dataset(directory):
        if any(path.name != _LOCK for path in directory.iterdir()):
            raise DataError(
                f"found other files in {directory}, expected a dataset or an empty folder: "
                "name a folder of its own"
            )
        _replace(directory / MANIFEST, msgspec.json.encode(Manifest()))
    return manifest(directory)


def _sort_out(
    old: Manifest, incoming: Iterable[Incoming]
) -> tuple[list[tuple[Incoming, Imported]], int, set[str]]:
    """Read what is new; also tell how much is known and which sources it replaces."""
    origins = {source.origin: key for key, source in old.sources.items()}
    fresh: dict[str, tuple[Incoming, Imported]] = {}
    unchanged = 0
    gone: set[str] = set()
    for offered in incoming:
        if offered.source in old.sources or offered.source in fresh:
            unchanged += 1
            continue
        item = offered.read()
        # A run may have grown between the two looks at it: what was read is what is known.
        if item.source in old.sources or item.source in fresh:
            unchanged += 1
            continue
        fresh[item.source] = (offered, item)
        if offered.origin in origins:
            gone.add(origins[offered.origin])
    return list(fresh.values()), unchanged, gone


def _source(offered: Incoming, item: Imported) -> Source:
    months = table(item.sessions, SessionRow)
    places = zip(months["month"].to_pylist(), months["country"].to_pylist(), strict=True)
    return Source(
        offered.origin,
        offered.format,
        len(item.sessions),
        len(item.skipped),
        tuple(sorted(set(places))),
    )


def _write(
    directory: Path,
    old: Manifest,
    rows: dict[str, list[Any]],
    gone: set[str],
    touched: set[tuple[str, str]],
) -> tuple[Part, ...]:
    kept = [part for part in old.parts if (part.month, part.country) not in touched]
    for name, row in TABLES.items():
        new = table(rows[name], row)
        before = [p for p in old.parts if p.table == name and (p.month, p.country) in touched]
        for place in sorted(touched):
            here = pc.and_(pc.equal(new["month"], place[0]), pc.equal(new["country"], place[1]))
            pieces = [new.filter(here)]
            pieces += [
                _without(_read(directory, part), gone)
                for part in before
                if (part.month, part.country) == place
            ]
            joined = pa.concat_tables(pieces)
            if len(joined):
                kept.append(_write_part(directory, name, place, joined))
    return tuple(sorted(kept, key=lambda part: part.path))


def _write_part(directory: Path, name: str, place: tuple[str, str], rows: pa.Table) -> Part:
    ordered = mark_votes(rows) if name == "sessions" else rows.sort_by("start_s")
    sink = pa.BufferOutputStream()
    pq.write_table(
        ordered.drop_columns(list(_PARTITION)),
        sink,
        compression="zstd",
        row_group_size=_ROWS_PER_GROUP,
    )
    content = sink.getvalue().to_pybytes()
    digest = hashlib.sha256(content).hexdigest()[:16]
    relative = Path(name, f"month={place[0]}", f"country={place[1]}", f"{digest}.parquet")
    (directory / relative).parent.mkdir(parents=True, exist_ok=True)
    _replace(directory / relative, content)
    return Part(name, *place, str(relative), len(ordered))


def _read(directory: Path, part: Part) -> pa.Table:
    rows = pq.read_table(directory / part.path, partitioning=None)
    count = len(rows)
    for name, value in zip(_PARTITION, (part.month, part.country), strict=True):
        rows = rows.append_column(name, pa.array([value] * count, pa.string()))
    wanted = schema(TABLES[part.table])
    return rows.select(wanted.names).cast(wanted)


def _without(rows: pa.Table, gone: set[str]) -> pa.Table:
    return rows.filter(pc.invert(pc.is_in(rows["source"], pa.array(sorted(gone), pa.string()))))


def _upgraded(directory: Path, old: Manifest) -> Manifest:
    """Bring an older dataset's tables to this row version, step by step."""
    version, parts = old.row_version, old.parts
    while version < ROW_VERSION:
        step = UPGRADES[version]
        parts = tuple(_step(directory, part, step) for part in parts)
        version += 1
    return Manifest(sources=old.sources, parts=parts)


def _step(directory: Path, part: Part, step: Callable[[str, pa.Table], pa.Table]) -> Part:
    rows = step(part.table, _read(directory, part))
    return _write_part(directory, part.table, (part.month, part.country), rows)


def _sweep(directory: Path, current: Manifest) -> None:
    """Remove Parquet files that no build has kept, a killed one's among them."""
    wanted = {directory / part.path for part in current.parts}
    for name in TABLES:
        for path in (directory / name).rglob("*.parquet*"):
            if path not in wanted:
                path.unlink()


def _replace(path: Path, content: bytes) -> None:
    partial = path.with_name(path.name + ".partial")
    with partial.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)


@contextmanager
def _locked(directory: Path) -> Iterator[None]:
    with (directory / _LOCK).open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise AnalysisError(
                f"found that another program is writing {directory}: try again when it is done"
            ) from error
        yield
