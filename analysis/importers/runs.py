"""A probe's run files: each session judged once, here, and its finding kept in its row."""

from __future__ import annotations

from pathlib import Path

from analysis import runfiles
from analysis.data import judged, probe_of
from analysis.errors import DataError
from analysis.importers import Imported, content_hash
from analysis.ingest import session_row, trial_row
from analysis.verdict import judge


def read(path: Path) -> Imported:
    """Read one run file.

    Args:
        path: the file.

    Returns:
        A row a trial and a row a session, and the lines that were no records. A run that has only
        begun has none.

    Raises:
        DataError: it has lines, and none of them is a record.
    """
    source = content_hash(path.read_bytes())
    loaded = runfiles.load([path])
    if loaded.skipped and not loaded.sessions:
        raise DataError(
            f"found no record in {path} ({len(loaded.skipped)} lines were passed over), "
            "expected trials that a probe stored"
        )
    probe = probe_of(path)
    return Imported(
        path=path,
        source=source,
        trials=[
            trial_row(trial, source, probe)
            for session in loaded.sessions
            for trial in session.trials
        ],
        sessions=[
            session_row(session.trials, judged(session, judge), source, probe)
            for session in loaded.sessions
        ],
        skipped=[*loaded.skipped, *loaded.torn],
    )
