"""Builds dataset rows for tests of what is made of many sessions."""

import pyarrow as pa

from analysis.bins import RATE_BINS_PER_OCTAVE, log_bin
from analysis.rollup import roll, sessions_table
from analysis.rows import SessionRow, table
from analysis.votes import mark_votes

HOUR_S = 3600
DAY_S = 86_400
START_S = 1_609_459_200  # 2021-01-01 00:00 UTC


def crowd(ratio, number=0, *, probe="line", start_s=START_S, control_bps=5e6, **fields):
    """A single pair nobody has judged, its target ``ratio`` times as fast as its control."""
    target = ratio * control_bps
    hit = ratio < 0.25
    plain = {
        "source": "test",
        "session": f"{probe}-{start_s}-{number}",
        "probe": probe,
        "start_s": start_s,
        "country": "RU",
        "asn": 64496,
        "network": "An Operator",
        "network_type": "fixed",
        "service": "twitter",
        "kind": "fetch",
        "control_kind": "C",
        "pairs": 1,
        "hits": int(hit),
        "target_bps": round(target),
        "target_bin": log_bin(target),
        "control_bps": round(control_bps),
        "control_bin": log_bin(control_bps),
        "ratio_bin": log_bin(ratio),
        "rate_bps": round(target) if hit else None,
        "rate_bin": log_bin(target, RATE_BINS_PER_OCTAVE) if hit else None,
    }
    return SessionRow(**{**plain, **fields})


def judged(verdict, number=0, **fields):
    """A session a judge has decided, or left open."""
    hit = {"throttled": 1, "normal": 0}.get(verdict)
    return crowd(1.0, number, **{"verdict": verdict, "hit": hit, "ratio_bin": None, **fields})


def lines(count, ratio, days=1, **fields):
    """One pair a day from each of several lines."""
    return [
        crowd(ratio, probe=f"line{line}", start_s=START_S + day * DAY_S + line * 60, **fields)
        for line in range(count)
        for day in range(days)
    ]


def as_table(rows) -> pa.Table:
    return mark_votes(table(list(rows), SessionRow))


def rolled(rows):
    return roll(sessions_table([], as_table(rows)))
