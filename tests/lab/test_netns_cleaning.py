"""A lab leaves nothing behind: ended, failed half-way or killed; and says what it lacks."""

import contextlib
import os
import subprocess
import sys
import time
from pathlib import Path

import msgspec
import pytest
from netns_tools import curl, lab_with, median, needs_namespaces, ping_s, preset

from probe.lab.netns import LabError, missing, registry, servers
from probe.lab.netns.commands import run
from probe.lab.rules import Drop, Rule

pytestmark = needs_namespaces

#: How the names of this process's labs begin.
OURS = f"thp-{os.getpid():x}-"
OWNER = """
import signal, sys
import msgspec
from probe.lab.netns import NetnsLab
from probe.lab.rules import Preset
with NetnsLab(msgspec.json.decode(sys.argv[1], type=Preset)) as lab:
    print(lab.folder.name, flush=True)
    signal.pause()
"""


def traces(name):
    """Every file and namespace on this machine that bears a lab's name."""
    folders = (registry.RUN_FOLDER, registry.ETC_FOLDER, Path("/run/netns"))
    return [path for folder in folders for path in folder.glob(f"{name}*")]


def pids(name, *places):
    """Every process in a lab's namespaces, or in some of them."""
    words = (["ip", "netns", "pids", f"{name}-{place}"] for place in places or registry.PLACES)
    return [
        int(pid)
        for one in words
        for pid in subprocess.run(one, check=True, capture_output=True, text=True).stdout.split()
    ]


def alive(pids):
    """Those of some processes that still run; a zombie does not."""
    return [pid for pid in pids if registry._start_ticks(pid) is not None]


def devices():
    words = ["ip", "-o", "link"]
    return subprocess.run(words, check=True, capture_output=True, text=True).stdout


@contextlib.contextmanager
def owner_of_a_lab():
    """A process of its own that holds a lab open; gives the process and the lab's name."""
    words = [sys.executable, "-c", OWNER, msgspec.json.encode(preset()).decode()]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process, process.stdout.readline().strip()
        finally:
            process.kill()


def test_an_ended_lab_leaves_nothing():
    before = devices()
    with lab_with() as lab:
        name = lab.folder.name
        running = pids(name)
        assert len(traces(name)) == 6  # the note, the folder, one /etc folder, three namespaces
        assert len(running) >= 5  # middlebox, nginx, two coturns, far end
    assert traces(name) == []
    assert alive(running) == []
    assert devices() == before


def test_a_killed_lab_is_removed_at_the_next_start():
    with owner_of_a_lab() as (owner, name):
        running = pids(name)
        owner.kill()
        owner.wait()
        assert traces(name) != []
        with lab_with() as lab:
            assert traces(name) == []
            assert alive(running) == []
            assert curl(lab, "abs.twimg.com")[0] == 0


def test_the_middlebox_of_a_killed_lab_ends_by_itself():
    with owner_of_a_lab() as (owner, name):
        middlebox = pids(name, "isp")
        assert len(alive(middlebox)) == 1
        owner.kill()
        deadline = time.monotonic() + 10
        while alive(middlebox):
            assert time.monotonic() < deadline
            time.sleep(0.01)
    assert name in registry.remove_dead()


def test_a_living_lab_is_left_alone_by_the_start_of_another():
    with owner_of_a_lab() as (owner, name):
        assert name not in registry.remove_dead()
        assert owner.poll() is None
        assert len(traces(name)) == 6
    assert name in registry.remove_dead()


def test_a_note_whose_process_id_was_given_to_another_is_a_dead_labs():
    name = registry.register()
    path = registry.RUN_FOLDER / f"{name}.json"
    note = msgspec.json.decode(path.read_bytes(), type=registry.Note)
    older = msgspec.structs.replace(note, start_ticks=note.start_ticks - 1)
    path.write_bytes(msgspec.json.encode(older))
    assert name in registry.remove_dead()
    assert traces(name) == []


def test_a_note_cut_off_in_the_writing_is_swept_away():
    name = registry.register()
    registry._note(name).write_bytes(b'{"pid"')
    assert name in registry.remove_dead()
    assert traces(name) == []


def test_two_labs_at_once_do_not_touch_each_other():
    with (
        lab_with(rtt_s=0.01) as near,
        lab_with(Rule(name="drop", effect=Drop()), rtt_s=0.05) as far,
    ):
        assert median(ping_s(near, "-c", "20", "-i", "0.01")) == pytest.approx(0.01, abs=0.001)
        assert median(ping_s(far, "-c", "20", "-i", "0.01")) == pytest.approx(0.05, abs=0.001)
        assert curl(near, "abs.twimg.com")[0] == 0
        assert curl(far, "abs.twimg.com", "--max-time", "1")[0] == 28
        assert near.counters().up.dropped == {}
        assert far.counters().up.dropped["drop"].packets >= 1


def test_a_server_that_does_not_start_takes_the_whole_lab_down(monkeypatch):
    monkeypatch.setattr(servers, "_NGINX", "no such directive;")
    with pytest.raises(LabError, match=r"found exit status 1 from nginx, .* unknown directive"):
        lab_with().__enter__()
    assert traces(OURS) == []


def test_a_failed_step_of_the_wiring_leaves_nothing(monkeypatch):
    monkeypatch.setattr(servers, "addresses", lambda: ("198.18.1.1", "not an address"))
    with pytest.raises(LabError, match=r"`ip -n thp-.* -batch -` failed: .*prefix"):
        lab_with().__enter__()
    assert traces(OURS) == []


def test_an_error_in_the_body_takes_the_lab_down_too():
    lab = lab_with()
    with pytest.raises(ZeroDivisionError), lab:
        1 / 0  # noqa: B018 - the error is the point
    assert traces(lab.folder.name) == []


def test_a_middlebox_that_died_is_named():
    with lab_with() as lab:
        lab._middlebox.kill()
        lab._middlebox.wait()
        with pytest.raises(LabError, match="the middlebox has ended"):
            lab.counters()


def test_a_missing_tool_is_one_sentence_with_its_package(monkeypatch, tmp_path):
    (tmp_path / "ip").symlink_to("/bin/true")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert missing() == (
        "the netns lab needs nginx, turnserver, not found on PATH: "
        "install them with: apt-get install nginx-light coturn"
    )
    with pytest.raises(LabError, match="apt-get install nginx-light coturn"):
        lab_with().__enter__()


def test_without_root_the_sentence_says_what_to_do(monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert missing() == (
        "the netns lab makes network namespaces, for which it needs root: run it with sudo, "
        "or choose --engine loopback"
    )


@pytest.mark.parametrize(
    ("script", "advice"),
    [
        ("echo RTNETLINK answers: Operation not permitted >&2; exit 2", "run it as root"),
        ("echo Error: no such thing >&2; exit 1", "choose --engine loopback"),
        ("exit 1", "failed: no message"),
    ],
)
def test_a_failed_tool_is_named_with_its_complaint_and_what_to_do(script, advice):
    with pytest.raises(LabError, match=advice) as failed:
        run(["sh", "-c", script])
    assert str(failed.value).startswith("`sh -c ")


def test_without_the_tun_device_the_sentence_says_what_to_do(monkeypatch):
    monkeypatch.setattr("probe.lab.netns.commands.TUN_DEVICE", Path("/dev/net/nothing"))
    assert missing().startswith(
        "the netns lab needs /dev/net/nothing, which could not be opened (No such file or "
        "directory): load it with: modprobe tun"
    )
