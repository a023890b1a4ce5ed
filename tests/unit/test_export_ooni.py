"""Fetches in OONI's format: the same facts, bytes on a memoryless clock."""

import json
import random
from itertools import pairwise
from pathlib import Path

import pytest
from builders import failed_fetch, policed, reach
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from analysis.cli import cli
from analysis.export_ooni import GAP_BOUNDS_S, sample, to_ooni
from probe import failure
from probe.measurement import Timeline
from probe.store import RunFile


def test_the_envelope_names_the_vantage_and_withholds_the_address():
    made = to_ooni(policed(), random.Random(1))
    assert made["data_format_version"] == "0.2.0"
    assert made["probe_ip"] == "127.0.0.1"
    assert made["probe_asn"].startswith("AS")
    assert made["test_keys"]["failure"] is None


def test_the_last_sample_holds_every_byte():
    record = policed()
    events = to_ooni(record, random.Random(1))["test_keys"]["network_events"]
    assert {event["operation"] for event in events} == {"bytes_received_cumulative"}
    assert events[-1]["num_bytes"] == record.fetch.timeline.bytes[-1]
    assert events[-1]["t"] == events[-1]["t0"] == record.fetch.timeline.t_s[-1]


@given(st.lists(st.floats(0.01, 2.0), min_size=1, max_size=60), st.integers(0, 99))
def test_samples_rise_keep_their_bounds_and_never_invent_bytes(gaps, seed):
    t_s, total = [], 0.0
    for gap in gaps:
        total += gap
        t_s.append(total)
    timeline = Timeline(t_s=tuple(t_s), bytes=tuple(1000 * i for i in range(len(t_s))))
    samples = sample(timeline, random.Random(seed))
    times = [at for at, _ in samples]
    assert times == sorted(times)
    assert all(count in timeline.bytes for _, count in samples)
    between = [b - a for a, b in pairwise(times[:-1])]
    assert all(GAP_BOUNDS_S[0] - 1e-9 <= gap <= GAP_BOUNDS_S[1] + 1e-9 for gap in between)


def test_a_transfer_without_a_timeline_has_no_samples():
    assert sample(Timeline(), random.Random(1)) == []


def test_a_failure_keeps_its_word():
    made = to_ooni(failed_fetch(failure.RESET), random.Random(1))
    assert made["test_keys"]["failure"] == "connection_reset"


def test_only_fetches_can_be_written():
    with pytest.raises(ValueError, match="expected a fetch"):
        to_ooni(reach(), random.Random(1))


def test_the_command_writes_a_line_a_fetch_and_the_same_each_time(tmp_path: Path):
    with RunFile(tmp_path / "data", "run") as run:
        run.append(policed())
        run.append(reach())
    written = []
    for name in ("a.jsonl", "b.jsonl"):
        words = ["export", "ooni", str(tmp_path / "data"), "-o", str(tmp_path / name)]
        result = CliRunner().invoke(cli, words)
        assert result.exit_code == 0, result.output
        written.append((tmp_path / name).read_text())
    assert written[0] == written[1]
    (line,) = written[0].splitlines()
    assert json.loads(line)["test_name"] == "throttle_fetch"
