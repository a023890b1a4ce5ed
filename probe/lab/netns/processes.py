"""Starts the servers of a lab's world and waits until they listen."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import IO, Literal

from probe.lab.netns.commands import LabError
from probe.lab.netns.plumbing import inside

#: A server on a busy small machine has to read its libraries first.
START_S = 20.0
_LISTENING = "0A"


def start(
    name: str,
    place: str,
    command: Sequence[str],
    log: Path,
    *,
    stdin: int | None = subprocess.DEVNULL,
    stdout: int | IO[bytes] | None = None,
) -> subprocess.Popen[bytes]:
    """Start a process inside one place of a lab.

    Args:
        name: the lab.
        place: ``home``, ``isp`` or ``world``.
        command: program and arguments.
        log: file for what it writes to standard error, and to standard output unless given.
        stdin: as for ``subprocess.Popen``.
        stdout: as for ``subprocess.Popen``.

    Returns:
        The running process; its id is the program's own.
    """
    with log.open("ab") as errors:
        return subprocess.Popen(  # noqa: S603 - the lab's own commands
            inside(name, place, command),
            stdin=stdin,
            stdout=errors if stdout is None else stdout,
            stderr=errors,
            start_new_session=True,
        )


def await_listening(
    process: subprocess.Popen[bytes],
    transport: Literal["tcp", "udp"],
    ports: Iterable[int],
    log: Path,
) -> None:
    """Wait until something in a process's namespace listens on ports.

    Args:
        process: any process in that namespace, which is to do the listening.
        transport: which kind of port.
        ports: the ports, on whatever address.
        log: what it wrote, for the message.

    Raises:
        LabError: it ended, or does not listen after ``START_S``.
    """
    wanted = set(ports)
    deadline = time.monotonic() + START_S
    while not wanted <= _bound(process.pid, transport):
        if process.poll() is not None or time.monotonic() > deadline:
            found = f"status {process.returncode}" if process.returncode is not None else "silence"
            raise LabError(
                f"found {found} from {_program(process)}, expected it to listen on {transport} "
                f"ports {sorted(wanted)}; it wrote: {last_words(log)}"
            )
        time.sleep(0.02)


def last_words(log: Path) -> str:
    """Read the end of a log, on one line."""
    return " / ".join(log.read_text(errors="replace").split("\n")[-4:]).strip(" /") or "nothing"


def _program(process: subprocess.Popen[bytes]) -> str:
    words = process.args
    assert isinstance(words, list)
    return str(words[4])


def _bound(pid: int, transport: str) -> set[int]:
    """Read the ports that are bound in a process's namespace (proc(5), net/tcp and net/udp)."""
    try:
        rows = Path(f"/proc/{pid}/net/{transport}").read_text().splitlines()[1:]
    except OSError:
        return set()
    fields = (row.split() for row in rows)
    return {
        int(row[1].rpartition(":")[2], 16)
        for row in fields
        if transport == "udp" or row[3] == _LISTENING
    }
