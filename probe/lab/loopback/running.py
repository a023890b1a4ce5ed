"""A whole loopback lab in one event loop: services, far end, a relay for every address."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from probe.farend import FarEndConfig, serve
from probe.lab.loopback.services import (
    Certificates,
    serve_accepting,
    serve_files,
    serve_stun,
)
from probe.lab.loopback.tcp_relay import TcpRelay
from probe.lab.loopback.udp_relay import relay_udp
from probe.lab.loopback.wire import Wire
from probe.lab.rules import Preset
from probe.lab.world import HTTPS_PORT, REPLAY_PORT, SITES, Site, targets_toml

Peer = tuple[str, int]


class Running(msgspec.Struct, frozen=True, kw_only=True):
    """What a probe needs to run in the lab, and the wire for those who want to count."""

    targets_file: Path
    environ: dict[str, str]
    wire: Wire


@asynccontextmanager
async def run_lab(preset: Preset, seed: int, directory: Path) -> AsyncIterator[Running]:
    """Run a lab in this event loop until the context ends.

    Args:
        preset: the line and the censor.
        seed: of every chance in it.
        directory: an empty folder of the lab's own, for certificates and the targets file.

    Yields:
        The running lab.
    """
    names = [name for site in SITES for name in (*site.names, site.address)]
    certificates = Certificates(directory, names)
    wire = Wire(preset.line, preset.rules, seed)
    async with AsyncExitStack() as stack:
        relays = _Relays(wire, stack)
        runner = await serve_files(certificates, seed)
        stack.push_async_callback(runner.cleanup)
        files = runner.addresses[0][:2]
        for site in SITES:
            if site.role == "far_end":
                await _open_far_end(site, relays, stack, certificates)
            else:
                await _open(site, relays, stack, files)
        targets = directory / "targets.toml"
        targets.write_text(targets_toml(datetime.now(UTC).date()), encoding="utf-8")
        yield Running(
            targets_file=targets,
            environ=_environ(relays.entries, certificates.authority),
            wire=wire,
        )


class _Relays:
    """Opens relays and remembers where each (host, port) of the world is to be found."""

    def __init__(self, wire: Wire, stack: AsyncExitStack) -> None:
        self.entries: list[str] = []
        self._wire = wire
        self._stack = stack

    async def tcp(self, site: Site, hosts: tuple[str, ...], port: int, server: Peer) -> None:
        """Stand for a TCP port of a site, under each of these names."""
        relay = TcpRelay(self._wire, (site.address, port), server, _loopback(site))
        self._stack.callback(relay.close)
        await relay.open()
        self._note(hosts, port, relay.address)

    async def udp(self, site: Site, hosts: tuple[str, ...], port: int, server: Peer) -> None:
        """Stand for a UDP port of a site, under each of these names."""
        relay = await relay_udp(self._wire, (site.address, port), server, _loopback(site))
        self._stack.callback(relay.close)
        self._note(hosts, port, relay.address)

    def _note(self, hosts: tuple[str, ...], port: int, here: Peer) -> None:
        self.entries += [f"{host}:{port}={here[0]}:{here[1]}" for host in hosts]


async def _open(site: Site, relays: _Relays, stack: AsyncExitStack, files: Peer) -> None:
    if site.names:
        await relays.tcp(site, (*site.names, site.address), HTTPS_PORT, files)
    for port in site.accepts:
        server, where = await serve_accepting()
        stack.callback(server.close)
        await relays.tcp(site, (site.address,), port, where)
    for port in site.stun:
        transport, where = await serve_stun()
        stack.callback(transport.abort)
        await relays.udp(site, (site.address,), port, where)


async def _open_far_end(
    site: Site, relays: _Relays, stack: AsyncExitStack, certificates: Certificates
) -> None:
    config = FarEndConfig(
        host="127.0.0.1",
        # Zero lets the system choose: the ports of the world are the relays' business.
        calls=tuple(0 for _ in site.calls),
        https_port=0,
        replay_port=0,
        certificate=certificates.chain,
        key=certificates.key,
    )
    far = await stack.enter_async_context(serve(config))
    hosts = (*site.names, site.address)
    assert far.https_port is not None
    assert far.replay_port is not None
    await relays.tcp(site, hosts, REPLAY_PORT, ("127.0.0.1", far.replay_port))
    await relays.tcp(site, hosts, HTTPS_PORT, ("127.0.0.1", far.https_port))
    for port, real in zip(site.calls, far.call_ports, strict=True):
        await relays.udp(site, hosts, port, ("127.0.0.1", real))


def _loopback(site: Site) -> str:
    """Give each site a loopback address of its own, so that limits per address stay apart."""
    return "127." + site.address.partition(".")[2]


def _environ(entries: list[str], authority: Path) -> dict[str, str]:
    return {
        "PROBE_CONNECT_TO": ",".join(entries),
        "PROBE_ALLOW_BOGONS": "1",
        "PROBE_COUNTRY": "ZZ",
        # RFC 5398: an AS number for documentation.
        "PROBE_ASN": "64496",
        "SSL_CERT_FILE": str(authority),
    }
