"""Run a far end: the reflector on its UDP ports and, with a certificate, the web side."""

from __future__ import annotations

import asyncio
import os
import ssl
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Final

import msgspec
from aiohttp import web

from probe.clock import Datagram, WallOffset
from probe.farend.admission import Allowance
from probe.farend.cookies import Cookies
from probe.farend.reflector import Reflector, ReflectorLimits
from probe.farend.rendezvous import Rendezvous
from probe.farend.replay import REPLAYS, Replay
from probe.farend.stamp import StampReflector
from probe.farend.udp import Answer, AnsweringSocket
from probe.farend.web import FETCHES, make_app, quiet_logger
from probe.farend.webrtc import WebRtcLimits, WebRtcSide
from probe.services import CALL_PORTS

#: A client that does not say goodbye in TLS is left.
_GOODBYE_S: Final = 2.0


class FarEndConfig(msgspec.Struct, frozen=True, kw_only=True):
    """What to run.

    Attributes:
        host: address to listen on; ``::`` is every address, IPv6 and IPv4.
        calls: UDP ports that reflect calls; 0 takes a free one.
        stamp: UDP ports that answer STAMP (RFC 8762: 862), none unless asked for: its senders
            prove no address.
        https_port: TCP port of the web side; ``None`` for none, 0 for a free one.
        replay_port: TCP port that answers replays; ``None`` for none, 0 for a free one.
        certificate: its certificate chain, PEM.
        key: and private key, PEM.
        reflector: limits of calls.
        web: what fetches and uploads get.
        replay: what replays get.
        webrtc: limits of WebRTC calls on the web side; ``None`` for no such calls.
        asking_s: until a TLS handshake, the headers of a request and the opening of a replay have
            to be complete.
    """

    host: str = "::"
    calls: tuple[int, ...] = CALL_PORTS
    stamp: tuple[int, ...] = ()
    https_port: int | None = 443
    replay_port: int | None = None
    certificate: Path | None = None
    key: Path | None = None
    reflector: ReflectorLimits = ReflectorLimits()
    web: Allowance = FETCHES
    replay: Allowance = REPLAYS
    webrtc: WebRtcLimits | None = None
    asking_s: float = 10.0


class RunningFarEnd(msgspec.Struct, frozen=True):
    """Where it listens: UDP ports in the order asked for, TCP ports of web side and replays."""

    call_ports: tuple[int, ...]
    https_port: int | None
    stamp_ports: tuple[int, ...] = ()
    replay_port: int | None = None


@asynccontextmanager
async def serve(config: FarEndConfig) -> AsyncIterator[RunningFarEnd]:
    """Run a far end until the context ends.

    Args:
        config: what to run.

    Yields:
        Where it listens.

    Raises:
        OSError: a port cannot be had.
        ValueError: a web side is wanted and its certificate or key is missing.
        ssl.SSLError: the certificate or key does not load.
    """
    wall = WallOffset()
    cookies = Cookies(os.urandom(32))
    reflector = Reflector(
        cookies=cookies,
        random_bytes=os.urandom,
        monotonic_ns=time.monotonic_ns,
        unix_s=time.time,
        limits=config.reflector,
    )
    async with AsyncExitStack() as stack:
        rendezvous = Rendezvous(reflector, cookies, os.urandom)

        def reflect(datagram: Datagram, received_ns: int) -> list[tuple[bytes, tuple[str, int]]]:
            return rendezvous.handle(datagram.data, datagram.address, received_ns)

        stamp = StampReflector(monotonic_ns=time.monotonic_ns, unix_ns=time.time_ns)

        def listen(port: int, answer: Answer) -> int:
            told = reflector.overflowed
            return _listen(config.host, port, stack, answer=answer, wall=wall, overflowed=told)

        calls = tuple(listen(port, reflect) for port in config.calls)
        stamps = tuple(listen(port, stamp.handle) for port in config.stamp)
        https_port = None
        if config.https_port is not None:
            https_port = await _serve_web(config, stack)
        replay_port = await _serve_replays(config, stack)
        yield RunningFarEnd(calls, https_port, stamps, replay_port)


def _listen(
    host: str,
    port: int,
    stack: AsyncExitStack,
    *,
    answer: Answer,
    wall: WallOffset,
    overflowed: Callable[[int], None],
) -> int:
    """Open a port, on both families where the host is every address; return which one it got."""
    for address in ("::", "0.0.0.0") if host == "::" else (host,):  # noqa: S104 - a server is to be reached
        listener = AnsweringSocket((address, port), answer, wall, overflowed)
        stack.callback(listener.close)
        port = listener.port
    return port


async def _serve_replays(config: FarEndConfig, stack: AsyncExitStack) -> int | None:
    if config.replay_port is None:
        return None
    host = None if config.host == "::" else config.host
    player = Replay(config.replay, config.asking_s)
    server = await asyncio.start_server(player.serve, host, config.replay_port)
    stack.callback(server.close)
    stack.callback(player.close)
    return int(server.sockets[0].getsockname()[1])


async def _serve_web(config: FarEndConfig, stack: AsyncExitStack) -> int:
    if config.certificate is None or config.key is None:
        raise ValueError(
            "found no certificate or no key, expected both for the web side: "
            "give them, or set https_port to None"
        )
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(config.certificate, config.key)
    app = make_app(config.web)
    if config.webrtc is not None:
        WebRtcSide(config.webrtc).add_to(app)
    runner = web.AppRunner(
        app,
        access_log=None,
        logger=quiet_logger(),
        keepalive_timeout=config.asking_s,
        lingering_time=0.5,
    )
    await runner.setup()
    stack.push_async_callback(runner.cleanup)
    assert runner.server is not None
    server = await asyncio.get_running_loop().create_server(
        runner.server,
        None if config.host == "::" else config.host,
        config.https_port or 0,
        ssl=context,
        ssl_handshake_timeout=config.asking_s,
        ssl_shutdown_timeout=_GOODBYE_S,
    )
    stack.callback(server.close)
    return int(server.sockets[0].getsockname()[1])
