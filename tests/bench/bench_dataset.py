"""How fast many sessions are read in, rolled up and judged. Prints rows a second and megabytes."""

import resource
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from analysis.areas import judge_areas
from analysis.dataset import Incoming, build
from analysis.evaluate import fleets
from analysis.events import find_events
from analysis.importers import Imported
from analysis.importers.twitter2021 import COLUMNS, read
from analysis.rollup import roll, sessions_table

ROWS = 20_000
SERVICES = 4


def timed(what, rows, work):
    """Run once, print the time and the rate, and return what came of it."""
    start = time.perf_counter()
    found = work()
    spent = time.perf_counter() - start
    sys.stdout.write(f"{what:34} {rows:9,} rows  {spent:6.2f} s  {rows / spent:10,.0f} rows/s\n")
    return found


def csv(path):
    """Write a day of tests of the kind the importer reads."""
    rng = np.random.default_rng(1)
    speeds = np.exp(rng.normal(8, 1, (ROWS, 3)))
    lines = [
        f"2021-03-13 00:{n % 60:02}:00 UTC,10.{n % 250}.{n // 250}.0,{n % 400},RU,Operator,"
        + ",".join(f"{speed:.2f}" for speed in speeds[n])
        for n in range(ROWS)
    ]
    path.write_text("\n".join([",".join(COLUMNS), *lines]))


def main():
    """Time the whole way once."""
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder, "day.csv"), Path(folder, "set")
        csv(source)
        imported = timed("read a CSV", ROWS, lambda: read(source))
        offer = Incoming("a", "a", "bench", lambda: imported)
        timed("write Parquet", 5 * ROWS, lambda: build(target, [offer]))
        more = Imported(path=source, source="b", trials=[], sessions=[], skipped=[])
        again = Incoming("b", "b", "bench", lambda: more)
        timed("the same again, known by content", 5 * ROWS, lambda: build(target, [offer, again]))
    tables = [fleets._busy(np.random.default_rng(n), f"s{n}")[0] for n in range(SERVICES)]
    rows = sum(map(len, tables))
    sessions = [sessions_table([], table) for table in tables]
    rolled = timed("roll up", rows, lambda: [roll(part) for part in sessions])
    areas = timed("test networks", rows, lambda: [judge_areas(part) for part in rolled])
    pairs = list(zip(rolled, areas, strict=True))
    timed("date changes", rows, lambda: [find_events(*pair) for pair in pairs])
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    sys.stdout.write(f"peak memory {peak_mb:,.0f} MB\n")


if __name__ == "__main__":
    main()
