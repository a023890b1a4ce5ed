"""Remembers which labs stand, so that one that was killed is found and removed at the next start.

Before a lab makes anything it writes a note with its name and its owner (process id and start
time). Everything a lab makes carries that name, so the note is all that removal needs: a note
whose owner is gone stands for a lab that was killed.
"""

from __future__ import annotations

import fcntl
import os
import secrets
import shutil
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from probe.lab.netns.commands import LabError, run

#: Not kept over a reboot, and neither are namespaces.
RUN_FOLDER = Path("/run/throttle-probe-lab")
#: What the isolated parts of a lab are called; see ``probe.lab.netns.plumbing``.
PLACES = ("home", "isp", "world")
#: Where ``ip netns exec`` looks for files to put over those in /etc.
ETC_FOLDER = Path("/etc/netns")
_NAMESPACES = Path("/run/netns")
#: How long processes may take to go after SIGKILL.
_GRACE_S = 5.0


class Note(msgspec.Struct, frozen=True, kw_only=True):
    """Which process owns a lab; ``start_ticks`` tells a process from a later one of its number."""

    pid: int
    start_ticks: int


def namespace(name: str, place: str) -> str:
    """Name the namespace of one place of a lab: ``thp-1a2b-77c1-home``."""
    return f"{name}-{place}"


def folder(name: str) -> Path:
    """Name the folder that holds all files of a lab."""
    return RUN_FOLDER / name


def register() -> str:
    """Take a name that no other lab has and note it down, with this process as its owner.

    Returns:
        The lab's name. Its folder exists, readable by its owner alone.
    """
    name = f"thp-{os.getpid():x}-{secrets.token_hex(2)}"
    ticks = _start_ticks(os.getpid())
    if ticks is None:
        raise LabError("found no /proc/self/stat, expected a mounted /proc: mount it and try again")
    with _locked():
        _note(name).write_bytes(msgspec.json.encode(Note(pid=os.getpid(), start_ticks=ticks)))
        folder(name).mkdir(mode=0o700)
    return name


def remove_dead() -> tuple[str, ...]:
    """Remove what labs whose owner is gone have left behind.

    Returns:
        The names of the labs that were removed.
    """
    removed = []
    with _locked():
        for path in sorted(RUN_FOLDER.glob("thp-*.json")):
            if not _owned(path):
                remove(path.stem)
                removed.append(path.stem)
    return tuple(removed)


def remove(name: str) -> None:
    """Remove a lab, whatever of it stands: processes, devices, namespaces, files, then the note.

    Args:
        name: what ``register`` gave. Removing twice is harmless.
    """
    for place in PLACES:
        here = namespace(name, place)
        if (_NAMESPACES / here).exists():
            _kill_inside(here)
            run(["ip", "netns", "del", here])
        shutil.rmtree(ETC_FOLDER / here, ignore_errors=True)
    shutil.rmtree(folder(name), ignore_errors=True)
    _note(name).unlink(missing_ok=True)


def _note(name: str) -> Path:
    return RUN_FOLDER / f"{name}.json"


def _owned(note: Path) -> bool:
    try:
        owner = msgspec.json.decode(note.read_bytes(), type=Note)
    except msgspec.DecodeError:
        return False  # its writer was killed over it, before there was anything else
    return _start_ticks(owner.pid) == owner.start_ticks


def _kill_inside(here: str) -> None:
    """Kill every process in a namespace; its unique name makes them this lab's own."""
    deadline = time.monotonic() + _GRACE_S
    while pids := [int(pid) for pid in run(["ip", "netns", "pids", here]).split()]:
        for pid in pids:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        if time.monotonic() > deadline:
            raise LabError(f"processes {pids} in namespace {here} survive SIGKILL: see `ps`")
        time.sleep(0.01)


@contextmanager
def _locked() -> Iterator[None]:
    """Keep two labs that start at once from removing or naming the same thing."""
    RUN_FOLDER.mkdir(mode=0o700, exist_ok=True)
    with (RUN_FOLDER / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _start_ticks(pid: int) -> int | None:
    """Read when a process started, in clock ticks since boot (proc(5), field 22)."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    state, *fields = stat.rpartition(")")[2].split()
    return None if state in "ZX" else int(fields[18])
