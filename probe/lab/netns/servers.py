"""The real servers of the lab's world: web by nginx, STUN by coturn; and who vouches for them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from random import Random

import trustme

from probe.lab import world
from probe.lab.netns import dns
from probe.lab.netns.processes import await_listening, start

_NGINX = """\
daemon off;
master_process off;
pid {folder}/nginx.pid;
error_log stderr warn;
events {{ worker_connections 512; }}
http {{
    access_log off;
    types {{ }}
    default_type application/octet-stream;
    client_body_temp_path {folder}/nginx-body;
    proxy_temp_path {folder}/nginx-proxy;
    fastcgi_temp_path {folder}/nginx-fastcgi;
    uwsgi_temp_path {folder}/nginx-uwsgi;
    scgi_temp_path {folder}/nginx-scgi;
    ssl_certificate {folder}/server.pem;
    ssl_certificate_key {folder}/server.key;
    root {folder}/www;
{servers}
}}
"""


def names() -> dict[str, str]:
    """List every name that resolves in the lab, with its address."""
    return {name: one.address for one in world.SITES for name in one.names}


def addresses() -> tuple[str, ...]:
    """List every address of the world."""
    return tuple(one.address for one in world.SITES)


def write_certificates(folder: Path) -> Path:
    """Make the lab's own authority and one certificate for every name and address of the world.

    Args:
        folder: where ``ca.pem``, ``server.pem`` and ``server.key`` go.

    Returns:
        The authority's certificate, for clients to trust.
    """
    authority = trustme.CA(organization_name="throttle-probe lab")
    server = authority.issue_cert(*names().keys(), *addresses())
    server.private_key_pem.write_to_path(str(folder / "server.key"))
    chain = folder / "server.pem"
    for part in server.cert_chain_pems:
        part.write_to_path(str(chain), append=True)
    authority.cert_pem.write_to_path(str(folder / "ca.pem"))
    return folder / "ca.pem"


def write_object(folder: Path, seed: int) -> None:
    """Write what web servers serve: bytes that nothing on the way can compress."""
    path = folder / "www" / world.OBJECT_PATH.lstrip("/")
    path.parent.mkdir(parents=True)
    path.write_bytes(Random(seed).randbytes(world.OBJECT_BYTES))  # noqa: S311 - no secret


def start_web(name: str, folder: Path) -> subprocess.Popen[bytes]:
    """Serve the object on every web address, over HTTP/1.1 and HTTP/2 with TLS.

    Args:
        name: the lab.
        folder: the lab's files: certificates and the object.

    Returns:
        nginx, listening.
    """
    config = folder / "nginx.conf"
    webs = [one for one in world.SITES if one.names and one.role != "far_end"]
    listens = [f"listen {one.address}:{world.HTTPS_PORT} ssl http2;" for one in webs]
    plain = [f"listen {one.address}:{port};" for one in world.SITES for port in one.accepts]
    blocks = "\n".join(f"    server {{ {' '.join(lines)} }}" for lines in (listens, plain) if lines)
    config.write_text(_NGINX.format(folder=folder, servers=blocks))
    log = folder / "nginx.log"
    process = start(name, "world", ["nginx", "-p", str(folder), "-c", str(config)], log)
    await_listening(process, "tcp", [world.HTTPS_PORT], log)
    return process


def start_resolver(name: str, folder: Path, address: str) -> subprocess.Popen[bytes]:
    """Answer DNS queries for the lab's names, and for no others, on an address of the world.

    Args:
        name: the lab.
        folder: where its log goes.
        address: where it listens.

    Returns:
        The resolver, listening.
    """
    log = folder / "resolver.log"
    words = [sys.executable, "-m", "probe.lab.netns.resolver", address]
    process = start(name, "world", words, log)
    await_listening(process, "udp", [dns.PORT], log)
    return process


def start_relays(name: str, folder: Path) -> list[subprocess.Popen[bytes]]:
    """Answer STUN Binding requests on every relay's address and port.

    Args:
        name: the lab.
        folder: where logs go.

    Returns:
        One coturn a relay, listening.
    """
    started = []
    for address, port in ((one.address, port) for one in world.SITES for port in one.stun):
        log = folder / f"coturn-{address}.log"
        words = ["turnserver", "-n", "--stun-only", "--no-tls", "--no-dtls", "--no-cli"]
        words += ["--listening-ip", address, "--listening-port", str(port)]
        words += [
            "--log-file",
            "stdout",
            "--simple-log",
            "--pidfile",
            str(folder / f"{address}.pid"),
        ]
        words += ["--db", str(folder / f"coturn-{address}.db")]
        process = start(name, "world", words, log)
        await_listening(process, "udp", [port], log)
        started.append(process)
    return started
