"""``probe doctor``: what this machine can measure, and what it lacks."""

from __future__ import annotations

import importlib.util
import os
import socket
import ssl
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import click
import msgspec

from probe import consent
from probe.clock import enable_stamps
from probe.commands.options import data_option, load_targets
from probe.exits import Status
from probe.fetch import tcp_info


class Check(msgspec.Struct, frozen=True):
    """One thing looked at: whether it is there, and what follows."""

    name: str
    fine: bool
    says: str


@click.command()
@data_option
def doctor(data: Path) -> int:
    """Say what this machine can measure; exits with 1 when a run could not work."""
    checks = [
        _consent(),
        _targets(),
        _data(data),
        _trust(),
        _tcp_info(),
        _stamps(),
        _ipv6(),
        _packets(),
    ]
    for check in checks:
        click.echo(f"{'ok  ' if check.fine else 'LACK'}  {check.name:<20} {check.says}")
    needed = {"results folder", "certificates", "targets"}
    broken = [check for check in checks if check.name in needed and not check.fine]
    return Status.FAILED if broken else Status.DONE


def _consent() -> Check:
    given = consent.read(consent.default_folder()) or consent.agreed_by_setting(os.environ)
    says = "recorded" if given else "none yet: the first run asks; see probe consent"
    return Check("consent", bool(given), says)


def _targets() -> Check:
    targets = load_targets(None)
    expired = targets.expired(datetime.now(UTC).date())
    says = (
        f"reviewed {targets.reviewed}, {'expired' if expired else 'good until'} {targets.expires}"
    )
    return Check("targets", not expired, says)


def _data(data: Path) -> Check:
    nearest = next(folder for folder in (data, *data.absolute().parents) if folder.exists())
    fine = nearest.is_dir() and os.access(nearest, os.W_OK)
    return Check("results folder", fine, f"{data}{'' if fine else ' cannot be written'}")


def _trust() -> Check:
    roots = ssl.create_default_context().cert_store_stats()["x509_ca"]
    paths = ssl.get_default_verify_paths()
    fine = bool(roots or (paths.capath and any(Path(paths.capath).glob("*"))))
    says = f"{roots} authorities trusted" if roots else "none: install ca-certificates"
    return Check("certificates", fine, says if roots or not fine else f"in {paths.capath}")


def _tcp_info() -> Check:
    missing = "not on this system: rates come from the application's view, mechanisms stay unknown"
    return _kernel("kernel TCP figures", socket.SOCK_STREAM, tcp_info.read, missing)


def _stamps() -> Check:
    def enable(sock: socket.socket) -> None:
        enable_stamps(sock, transmit=True)

    missing = "not on this system: call delays are as coarse as the program's own clock"
    return _kernel("kernel time stamps", socket.SOCK_DGRAM, enable, missing)


def _kernel(name: str, kind: int, use: Callable[[socket.socket], object], missing: str) -> Check:
    with socket.socket(socket.AF_INET, kind) as sock:
        try:
            use(sock)
        except OSError:
            return Check(name, fine=False, says=missing)
    return Check(name, fine=True, says="available")


def _ipv6() -> Check:
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as sock:
            sock.connect(("2001:db8::1", 9))  # documentation prefix; connecting sends nothing
    except OSError:
        return Check("IPv6", fine=False, says="no route: IPv4 only is measured")
    return Check("IPv6", fine=True, says="there is a route")


def _packets() -> Check:
    found = importlib.util.find_spec("scapy") is not None
    says = "available" if found else "not installed: pip install 'throttle-probe[path]'"
    return Check("path tests (scapy)", found, says)
