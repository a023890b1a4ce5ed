"""Starts the servers of a lab's world and waits until they listen."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from ipaddress import IPv4Address
from pathlib import Path
from typing import get_args

import msgspec

from probe.lab.netns.commands import LabError
from probe.lab.netns.plumbing import inside
from probe.lab.rules import Transport

#: A server on a busy small machine has to read its libraries first.
START_S = 20.0
_LISTENING = "0A"


class Listen(msgspec.Struct, frozen=True):
    """Where a server is reached: dotted IPv4 address and port."""

    transport: Transport
    address: str
    port: int


class Server(msgspec.Struct, frozen=True, kw_only=True):
    """A program that listens in the world: its name, its words, and where it will listen."""

    name: str
    words: tuple[str, ...]
    listens: frozenset[Listen]


def start(
    lab: str,
    place: str,
    words: Sequence[str],
    log: Path,
    *,
    stdin: int = subprocess.DEVNULL,
    stdout: int | None = None,
) -> subprocess.Popen[bytes]:
    """Start a process inside one place of a lab.

    Args:
        lab: the lab's name.
        place: ``home``, ``isp`` or ``world``.
        words: program and arguments.
        log: file for what it writes to standard error, and to standard output unless given.
        stdin: as for ``subprocess.Popen``.
        stdout: as for ``subprocess.Popen``.

    Returns:
        The running process; its id is the program's own.
    """
    with log.open("ab") as errors:
        return subprocess.Popen(  # noqa: S603 - the lab's own commands
            inside(lab, place, words),
            stdin=stdin,
            stdout=errors if stdout is None else stdout,
            stderr=errors,
            bufsize=0,
            # Ctrl-C is for the command in the home; the lab goes when that has ended.
            start_new_session=True,
        )


def serve(lab: str, folder: Path, servers: Iterable[Server], undo: ExitStack) -> None:
    """Start servers in the world, all at once, and wait until every one listens.

    Args:
        lab: the lab's name.
        folder: where their logs go.
        servers: what to start.
        undo: gets the end of each.

    Raises:
        LabError: one ended, or does not listen after ``START_S``.
    """
    running = []
    for server in servers:
        process = start(lab, "world", server.words, _log(folder, server))
        undo.callback(end, process)
        running.append((server, process))
    deadline = time.monotonic() + START_S
    for server, process in running:
        while not server.listens <= _listening(process.pid):
            if process.poll() is not None or time.monotonic() > deadline:
                raise LabError(_silence(server, process, _log(folder, server)))
            time.sleep(0.02)


def end(process: subprocess.Popen[bytes]) -> None:
    """End a process that this lab started, and collect it."""
    process.kill()
    process.wait()
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            pipe.close()


def last_words(log: Path) -> str:
    """Read the end of a log, on one line."""
    return " / ".join(log.read_text(errors="replace").split("\n")[-4:]).strip(" /") or "nothing"


def _silence(server: Server, process: subprocess.Popen[bytes], log: Path) -> str:
    ended = process.returncode
    found = "silence" if ended is None else f"exit status {ended}"
    wanted = sorted(f"{one.transport} {one.address}:{one.port}" for one in server.listens)
    return (
        f"found {found} from {server.name}, expected it to listen on {', '.join(wanted)}; "
        f"it wrote: {last_words(log)}"
    )


def _log(folder: Path, server: Server) -> Path:
    return folder / f"{server.name}.log"


def _listening(pid: int) -> set[Listen]:
    """Read what is bound in a process's namespace (proc(5), net/tcp and net/udp)."""
    found = set()
    for transport in get_args(Transport):
        try:
            rows = Path(f"/proc/{pid}/net/{transport}").read_text().splitlines()[1:]
        except OSError:
            continue
        for _, local, _, state, *_ in map(str.split, rows):
            if transport == "udp" or state == _LISTENING:
                address, _, port = local.partition(":")
                # The kernel prints the address as a number in the machine's byte order.
                number = int.from_bytes(bytes.fromhex(address), sys.byteorder)
                found.add(Listen(transport, str(IPv4Address(number)), int(port, 16)))
    return found
