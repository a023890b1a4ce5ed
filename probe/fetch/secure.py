"""The TLS handshake over a connected socket, with its start, its reads and its end."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any, Final, TypeVar

from probe.fetch import tcp_info
from probe.fetch.order import FetchOrder
from probe.fetch.progress import Progress
from probe.network import Network, is_literal

ProtocolT = TypeVar("ProtocolT", bound=asyncio.BaseProtocol)

#: asyncio builds the TLS object itself and passes nothing on, so the trial travels beside it.
_handshake: Final[ContextVar[Callable[[], None] | None]] = ContextVar("handshake", default=None)


class _TimedSSLObject(ssl.SSLObject):
    """Reports each step of a handshake: asyncio takes one whenever bytes have come in."""

    def do_handshake(self) -> None:
        """Take a step; raises ``SSLWantReadError`` while the peer's turn is on."""
        if (report := _handshake.get()) is not None:
            report()
        super().do_handshake()


def client_context(order: FetchOrder, network: Network) -> ssl.SSLContext:
    """Return the context for an order's handshake; made once per kind of order.

    Args:
        order: says what to offer and whether to check.
        network: whom to trust.

    Returns:
        A context whose handshakes are timed.
    """
    context = network.tls_context((order.http,), check_certificate=order.check_certificate)
    context.sslobject_class = _TimedSSLObject
    return context


async def open_transport(
    sock: socket.socket,
    protocol: Callable[[], ProtocolT],
    network: Network,
    progress: Progress,
) -> tuple[asyncio.Transport, ProtocolT]:
    """Put a protocol on a connected socket, TLS below it where the URL says ``https``.

    Args:
        sock: connected; the transport owns it from here on.
        protocol: makes the protocol.
        network: whom to trust.
        progress: the trial; gets the name sent, the handshake and what was agreed.

    Returns:
        The transport and the protocol.

    Raises:
        OSError: the connection broke off.
        ssl.SSLError: the handshake failed; the subclass and its code say how.
    """
    loop = asyncio.get_running_loop()
    order = progress.order
    if progress.origin.scheme == "http":
        transport, made = await loop.create_connection(protocol, sock=sock)
        return transport, made
    name = order.sni or progress.origin.host
    progress.sni = None if is_literal(name) else name
    context = client_context(order, network)
    begun = progress.now()
    _handshake.set(lambda: _note_read(sock, progress))
    transport, made = await loop.create_connection(
        protocol,
        sock=sock,
        ssl=context,
        server_hostname=name,
        # The trial's own limit ends a handshake that hangs; asyncio's must not come first.
        ssl_handshake_timeout=order.limit_s + 1,
    )
    progress.tls_s = progress.now() - begun
    agreed: Any = transport.get_extra_info("ssl_object")
    progress.tls_version = agreed.version()
    progress.tls_cipher = agreed.cipher()[0]
    return transport, made


async def cut_off(transport: asyncio.Transport | None, sock: socket.socket) -> None:
    """Close a connection at once, in whatever state it is.

    No closing handshake: an answer that was cut must not trickle on in the background.

    Args:
        transport: what :func:`open_transport` gave; ``None`` if it did not get that far.
        sock: the socket it was given.
    """
    if transport is None:
        sock.close()
        return
    own = transport.get_extra_info("socket")
    # A transport that has closed its socket already cannot bear to be told again.
    if own is not None and own.fileno() >= 0:
        transport.abort()
        await asyncio.sleep(0)


def _note_read(sock: socket.socket, progress: Progress) -> None:
    count = tcp_info.bytes_received(sock) if sock.fileno() >= 0 else None
    if count is not None and progress.tls_s is None:
        progress.handshake.add(progress.now(), count)
