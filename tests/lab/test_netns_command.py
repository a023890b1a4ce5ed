"""``probe lab run --engine netns``: what a user starts, and what is left when it ends."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from netns_tools import needs_namespaces

from probe.lab.netns import registry

pytestmark = needs_namespaces
LAB = [sys.executable, "-m", "probe.cli", "lab", "run", "--engine", "netns"]


def labs():
    return set(registry.RUN_FOLDER.glob("thp-*.json"))


def test_a_command_runs_in_the_home_and_its_status_is_passed_on():
    script = "getent hosts abs.twimg.com; printenv SSL_CERT_FILE PROBE_TARGETS; exit 7"
    words = [*LAB, "clean", "--", "sh", "-c", script]
    done = subprocess.run(words, check=False, capture_output=True, text=True)
    address, authority, targets = done.stdout.splitlines()
    assert done.returncode == 7, done.stderr
    assert address.split() == ["198.18.11.1", "abs.twimg.com"]
    assert Path(authority).parent == Path(targets).parent
    assert not Path(targets).exists()


def test_a_program_that_is_not_there_is_named():
    words = [*LAB, "clean", "--", "no-such-program"]
    done = subprocess.run(words, check=False, capture_output=True, text=True)
    assert done.returncode == 2
    assert "'no-such-program' cannot be run" in done.stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_command_and_the_lab(number):
    before = labs()
    words = [*LAB, "clean", "--", "sh", "-c", "echo up; exec sleep 60"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, start_new_session=True) as running:
        assert running.stdout.readline() == b"up\n"
        os.killpg(running.pid, number)
        start = time.monotonic()
        running.wait(timeout=20)
    assert time.monotonic() - start < 20
    left = labs() - before
    # A terminated owner cannot clean up: its lab goes at the next start, like a killed one's.
    assert left == set() or {path.stem for path in left} <= set(registry.remove_dead())
