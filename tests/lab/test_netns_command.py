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


def labs_of(owner):
    """Whatever the lab of one process has left; other labs of this machine do not count."""
    return list(registry.RUN_FOLDER.glob(f"thp-{owner.pid:x}-*"))


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
    words = [*LAB, "clean", "--", "sh", "-c", "echo up; exec sleep 60"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, start_new_session=True) as running:
        assert running.stdout.readline() == b"up\n"
        os.killpg(running.pid, number)
        start = time.monotonic()
        running.wait(timeout=20)
    assert time.monotonic() - start < 20
    assert labs_of(running) == []


@pytest.mark.parametrize("after_s", [0.3, 0.6, 0.9])
def test_ctrl_c_while_the_lab_is_set_up_ends_it_before_the_command(after_s):
    words = [*LAB, "clean", "--", "sh", "-c", "sleep 2; echo ran to its end"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, start_new_session=True) as running:
        time.sleep(after_s)
        os.killpg(running.pid, signal.SIGINT)
        assert b"ran to its end" not in running.stdout.read()
        running.wait(timeout=20)
    assert labs_of(running) == []
