"""Runs the system's own tools, and turns what goes wrong into one sentence."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterable, Sequence
from pathlib import Path

TUN_DEVICE = Path("/dev/net/tun")
#: Tool and the Debian package that brings it.
TOOLS = {"ip": "iproute2", "nginx": "nginx-light", "turnserver": "coturn"}

#: For "Operation not permitted" and "Permission denied".
_FORBIDDEN = (
    "The netns lab needs the capabilities NET_ADMIN and SYS_ADMIN: run it as root, in a container "
    "with --privileged"
)
_UNEXPECTED = "This kernel may lack what is asked for: choose --engine loopback"


class LabError(RuntimeError):
    """The lab cannot stand here; the text says what was found and what to do."""


def missing() -> str | None:
    """Say what this machine lacks for the lab of namespaces.

    Returns:
        One sentence with what to do, or None when everything is there.
    """
    if os.geteuid() != 0:
        return (
            "the netns lab makes network namespaces, for which it needs root: run it with sudo, "
            "or choose --engine loopback"
        )
    tools = [tool for tool in TOOLS if shutil.which(tool) is None]
    if tools:
        packages = " ".join(TOOLS[tool] for tool in tools)
        return (
            f"the netns lab needs {', '.join(tools)}, not found on PATH: "
            f"install them with: apt-get install {packages}"
        )
    try:
        os.close(os.open(TUN_DEVICE, os.O_RDWR))
    except OSError as error:
        return (
            f"the netns lab needs {TUN_DEVICE}, which could not be opened ({error.strerror}): load "
            "it with: modprobe tun; in a container add --device /dev/net/tun --cap-add NET_ADMIN"
        )
    return None


def run(command: Sequence[str], stdin: str = "") -> str:
    """Run one tool to its end.

    Args:
        command: program and arguments.
        stdin: what it reads.

    Returns:
        What it wrote to standard output.

    Raises:
        LabError: it failed; the text holds the command and its complaint.
    """
    done = subprocess.run(  # noqa: S603 - fixed tools, arguments made by the lab itself
        command, input=stdin, capture_output=True, text=True, check=False
    )
    if done.returncode:
        complaint = "; ".join((done.stderr or done.stdout).strip().splitlines()) or "no message"
        what_to_do = _FORBIDDEN if "ermi" in complaint else _UNEXPECTED
        raise LabError(f"`{' '.join(command)}` failed: {complaint}. {what_to_do}")
    return done.stdout


def ip_batch(namespace: str, lines: Iterable[str]) -> None:
    """Run several ``ip`` commands in one namespace, stopping at the first that fails.

    Args:
        namespace: where.
        lines: the commands without the word ``ip``.

    Raises:
        LabError: one failed; those before it have taken effect.
    """
    run(["ip", "-n", namespace, "-batch", "-"], stdin="\n".join(lines) + "\n")
