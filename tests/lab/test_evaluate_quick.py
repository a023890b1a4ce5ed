"""The whole program behind every preset once: what a volunteer would be told, and is it true."""

import os
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest
from netns_tools import needs_namespaces

from analysis.evaluate.lab_runs import kept

pytestmark = [
    *needs_namespaces,
    pytest.mark.slow,
    pytest.mark.timeout(1_200),
    pytest.mark.skipif(
        not os.environ.get("PROBE_CI"),
        reason="takes ten minutes of an idle machine; in CI, or: analysis evaluate lab --quick",
    ),
]

#: At once, on two processors: labs mostly wait.
JOBS = 8
#: Honest findings that come out otherwise now and then (a partial censor, a rate at a limit).
LEAST_RIGHT = 0.9


def analysis(*words):
    command = [Path(sys.executable).with_name("analysis"), "evaluate", "lab", *words]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_what_is_found_is_what_there_was(tmp_path, capsys):
    made = analysis("--quick", "--jobs", str(JOBS), "-o", str(tmp_path))
    with capsys.disabled():
        sys.stdout.write(made.stdout)
    assert made.returncode == 0, made.stderr
    judged = analysis("--json", "--from", str(tmp_path))
    outcomes = [msgspec.json.decode(line) for line in judged.stdout.splitlines()]
    assert {item["engine"] for item in outcomes} == {"loopback", "netns"}
    # Most runs must count: a machine too busy to time anything proves nothing.
    assert len({(i["engine"], i["preset"]) for i in outcomes}) > 0.7 * len(kept(tmp_path))
    blamed = ("throttled", "blocked", "call_degraded")
    false = [
        i for i in outcomes if i["verdict"] in blamed and i["expected"]["verdict"] not in blamed
    ]
    assert not false
    assert sum(item["right"] for item in outcomes) >= LEAST_RIGHT * len(outcomes)
