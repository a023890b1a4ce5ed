"""The real servers of the lab's world: web by nginx, STUN by coturn; and who vouches for them."""

from __future__ import annotations

import sys
from pathlib import Path
from random import Random

import trustme

from probe.lab import world
from probe.lab.netns import dns
from probe.lab.netns.processes import Listen, Server

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


def web_addresses() -> tuple[str, ...]:
    """List the addresses of everyone's web servers: all but the far end."""
    return tuple(one.address for one in world.SITES if one.names and one.role != "far_end")


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


def all_servers(folder: Path, *, resolver: str | None) -> list[Server]:
    """List the servers of the world.

    Args:
        folder: the lab's files: certificates and the object.
        resolver: address at which a DNS server answers for the lab's names; None for no such
            server.

    Returns:
        What to start.
    """
    servers = [_web(folder), _web_over_quic(folder), _far_end(folder), *_relays(folder)]
    if resolver is not None:
        words = (sys.executable, "-m", "probe.lab.netns.resolver", resolver)
        listens = frozenset({Listen("udp", resolver, dns.PORT)})
        servers.append(Server(name="resolver", words=words, listens=listens))
    return servers


def _web(folder: Path) -> Server:
    """Serve the object over HTTP/1.1 and HTTP/2, and take connections on messengers' ports."""
    secure = [(address, world.HTTPS_PORT) for address in web_addresses()]
    plain = [(one.address, port) for one in world.SITES for port in one.accepts]
    blocks = "\n".join((_block(secure, " ssl http2"), _block(plain, "")))
    config = folder / "nginx.conf"
    config.write_text(_NGINX.format(folder=folder, servers=blocks))
    words = ("nginx", "-p", str(folder), "-c", str(config))
    listens = frozenset(Listen("tcp", *where) for where in (*secure, *plain))
    return Server(name="nginx", words=words, listens=listens)


def _web_over_quic(folder: Path) -> Server:
    """Serve the object over HTTP/3."""
    words = (sys.executable, "-m", "probe.lab.netns.http3", str(folder))
    listens = frozenset(Listen("udp", address, world.HTTPS_PORT) for address in web_addresses())
    return Server(name="http3", words=words, listens=listens)


def _block(where: list[tuple[str, int]], how: str) -> str:
    lines = "".join(f" listen {address}:{port}{how};" for address, port in where)
    return f"    server {{{lines} }}" if lines else ""


def _far_end(folder: Path) -> Server:
    """Run the program's own far end, as its owner would."""
    site = next(one for one in world.SITES if one.role == "far_end")
    words = [sys.executable, "-m", "probe.cli", "serve", "--host", site.address]
    words += ["--calls", ",".join(map(str, site.calls)), "--https-port", str(world.HTTPS_PORT)]
    words += ["--certificate", str(folder / "server.pem"), "--key", str(folder / "server.key")]
    calls = (Listen("udp", site.address, port) for port in site.calls)
    ports = (world.HTTPS_PORT, world.REPLAY_PORT)
    listens = frozenset({*calls, *(Listen("tcp", site.address, port) for port in ports)})
    return Server(name="far-end", words=tuple(words), listens=listens)


def _relays(folder: Path) -> list[Server]:
    """Answer STUN Binding requests on every relay's address and port."""
    servers = []
    for address, port in ((one.address, port) for one in world.SITES for port in one.stun):
        words = ["turnserver", "-n", "--stun-only", "--no-tls", "--no-dtls", "--no-cli"]
        words += ["--listening-ip", address, "--listening-port", str(port)]
        words += ["--log-file", "stdout", "--simple-log"]
        words += ["--pidfile", str(folder / f"{address}.pid")]
        words += ["--db", str(folder / f"coturn-{address}.db")]
        listens = frozenset({Listen("udp", address, port)})
        servers.append(Server(name=f"coturn-{address}", words=tuple(words), listens=listens))
    return servers
