"""One HTTP/3 exchange, on the sans-I/O core of aioquic (RFC 9000, RFC 9114)."""

from __future__ import annotations

import asyncio
import logging
import ssl
from typing import Any, Final, cast
from urllib.parse import urlsplit

from aioquic.h3.connection import H3_ALPN, H3Connection
from aioquic.h3.events import DataReceived, H3Event, HeadersReceived
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.connection import QuicConnection
from aioquic.quic.events import (
    ConnectionTerminated,
    HandshakeCompleted,
    PingAcknowledged,
    QuicEvent,
    StreamReset,
)

from probe import failure
from probe.fetch.errors import FetchError
from probe.fetch.http1 import HEADERS, REDIRECTS
from probe.fetch.progress import Progress
from probe.fetch.quic_errors import describe_end
from probe.fetch.watching import LOADED_FIRST_S, LOADED_GROWTH, beside
from probe.measurement import Connect, RttSample
from probe.network import Address, Network, is_literal

#: Wide open, so that never our window but always the path sets the rate.
WINDOW_BYTES: Final = 1 << 26
#: The first status that is an answer; those below are interim (RFC 9110, section 15.2).
FIRST_FINAL_STATUS: Final = 200

# What aioquic would say on stderr is in the record.
logging.getLogger("quic").addHandler(logging.NullHandler())


async def exchange(server: Address, network: Network, progress: Progress) -> None:
    """Connect, send the request on the first stream, take the answer in.

    Of QUIC's one handshake, ``connect_s`` is the part up to the server's first datagram and
    ``tls_s`` the rest, so that a phase that was not reached reads as over TCP.

    Args:
        server: literal address and port.
        network: whom to trust.
        progress: the trial; gets everything from the handshake to the body.

    Raises:
        OSError: the network said that there is nobody.
        FetchError: the handshake failed, or the peer breaks HTTP/3 or goes away early.
    """
    progress.address, progress.port = server
    quic = QuicConnection(configuration=_configure(network, progress))
    loop = asyncio.get_running_loop()
    begun = progress.now()
    transport, client = await loop.create_datagram_endpoint(
        lambda: _OneRequest(quic, server, progress, begun), remote_addr=server
    )
    word: str | None = failure.INTERRUPTED
    try:
        client.start()
        async with beside(client.ping_now_and_then()):
            await client.ended
        word = None
    except FetchError as error:
        word = error.word
        raise
    finally:
        _record_connect(progress, word, begun)
        client.leave()
        transport.abort()
        await asyncio.sleep(0)


def _configure(network: Network, progress: Progress) -> QuicConfiguration:
    order = progress.order
    name = order.sni or progress.origin.host
    progress.sni = None if is_literal(name) else name
    configuration = QuicConfiguration(
        is_client=True,
        alpn_protocols=H3_ALPN,
        server_name=name,
        max_data=WINDOW_BYTES,
        max_stream_data=WINDOW_BYTES,
        idle_timeout=order.limit_s + 1,
        verify_mode=ssl.CERT_REQUIRED if order.check_certificate else ssl.CERT_NONE,
    )
    cafile, capath = network.trust_paths()
    if cafile or capath:
        configuration.load_verify_locations(cafile, capath)
    return configuration


def _record_connect(progress: Progress, word: str | None, begun: float) -> None:
    reached = progress.connect_s
    address, port = progress.address, progress.port
    assert address is not None
    assert port is not None
    progress.connects.append(
        Connect(
            address=address,
            port=port,
            failure=word if reached is None else None,
            t_s=begun,
            duration_s=progress.now() - begun if reached is None else reached,
        )
    )


class _OneRequest(asyncio.DatagramProtocol):
    """A client connection that carries one request: datagrams and timers in, datagrams out.

    Attributes:
        ended: done when the answer is whole or cut by us, failed otherwise.
    """

    def __init__(
        self, quic: QuicConnection, server: Address, progress: Progress, begun: float
    ) -> None:
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._loop = asyncio.get_running_loop()
        self._quic = quic
        self._server = server
        self._progress = progress
        self._begun = begun
        self._http: H3Connection | None = None
        self._transport: asyncio.DatagramTransport | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._pings: dict[int, float] = {}

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the way out."""
        # asyncio's own datagram transport is not of the type it documents (Python 3.11).
        self._transport = cast("asyncio.DatagramTransport", transport)

    def start(self) -> None:
        """Begin the handshake."""
        self._quic.connect(self._server, now=self._loop.time())
        self._flush()

    def leave(self) -> None:
        """Say goodbye; nothing is awaited."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._quic.close()
        for datagram, _ in self._quic.datagrams_to_send(now=self._loop.time()):
            self._send(datagram)
        if not self.ended.done():
            self.ended.cancel()

    async def ping_now_and_then(self) -> None:
        """Time a PING on the connection itself: the round trip under load."""
        gap_s = LOADED_FIRST_S
        while True:
            await asyncio.sleep(gap_s)
            gap_s *= LOADED_GROWTH
            if self._progress.secured:
                self._ping()
                self._flush()

    def datagram_received(self, data: bytes, addr: Any) -> None:
        """Take a datagram in."""
        del addr
        if self.ended.done():
            return
        progress = self._progress
        if progress.connect_s is None:
            progress.connect_s = progress.idle_rtt_s = progress.now() - self._begun
        try:
            progress.received(len(data))
        except FetchError as error:
            self._end(error)
            return
        self._quic.receive_datagram(data, self._server, now=self._loop.time())
        self._advance()

    def error_received(self, exc: Exception) -> None:
        """Take an ICMP error in: nobody there, or no way there."""
        self._end(exc)

    def _advance(self) -> None:
        while (event := self._quic.next_event()) is not None:
            self._take(event)
        self._flush()

    def _flush(self) -> None:
        for datagram, _ in self._quic.datagrams_to_send(now=self._loop.time()):
            self._send(datagram)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        due = self._quic.get_timer()
        if due is not None and not self.ended.done():
            self._timer = self._loop.call_at(due, self._on_timer, due)

    def _send(self, datagram: bytes) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.sendto(datagram)

    def _on_timer(self, due: float) -> None:
        self._timer = None
        self._quic.handle_timer(now=max(due, self._loop.time()))
        self._advance()

    def _take(self, event: QuicEvent) -> None:
        progress = self._progress
        if isinstance(event, HandshakeCompleted):
            progress.tls_s = progress.now() - self._begun - (progress.connect_s or 0.0)
            progress.tls_version = "TLSv1.3"
            self._http = H3Connection(self._quic)
            self._ping()
            self._request(self._http)
        elif isinstance(event, PingAcknowledged):
            self._take_ping(event.uid)
        elif isinstance(event, ConnectionTerminated):
            self._end(FetchError(describe_end(event, secured=progress.secured)))
        elif isinstance(event, StreamReset):
            self._end(FetchError(failure.HTTP_FAILED))
        if self._http is not None:
            for answer in self._http.handle_event(event):
                self._take_answer(answer)

    def _ping(self) -> None:
        uid = len(self._pings)
        self._pings[uid] = self._progress.now()
        self._quic.send_ping(uid)

    def _take_ping(self, uid: int) -> None:
        """The first ping goes with the request, before there is load; the others under it."""
        progress = self._progress
        now = progress.now()
        rtt_s = now - self._pings[uid]
        if uid == 0:
            # The server's first datagram waited for its certificate to be signed.
            progress.idle_rtt_s = min(rtt_s, progress.idle_rtt_s or rtt_s)
        else:
            progress.loaded_rtt.append(RttSample(t_s=now, rtt_s=rtt_s))

    def _request(self, http: H3Connection) -> None:
        parts = urlsplit(self._progress.order.url)
        target = f"{parts.path or '/'}{'?' if parts.query else ''}{parts.query}"
        pseudo = {
            ":method": self._progress.order.method,
            ":scheme": parts.scheme,
            ":authority": parts.netloc.rpartition("@")[2],
            ":path": target,
        }
        ordinary = {name.lower(): value for name, value in HEADERS.items()}
        headers = [(name.encode(), value.encode()) for name, value in (pseudo | ordinary).items()]
        stream = self._quic.get_next_available_stream_id()
        http.send_headers(stream, headers, end_stream=True)
        self._flush()
        self._progress.sent()
        self._progress.http = "h3"

    def _take_answer(self, event: H3Event) -> None:
        if isinstance(event, HeadersReceived) and self._progress.status is None:
            self._take_head(dict(event.headers))
        if isinstance(event, DataReceived):
            self._take_body(event.data)
        if isinstance(event, DataReceived | HeadersReceived) and event.stream_ended:
            self._progress.whole = True
            self._end(None)

    def _take_head(self, headers: dict[bytes, bytes]) -> None:
        progress = self._progress
        progress.answered()
        status = headers.get(b":status", b"")
        length = headers.get(b"content-length", b"")
        if not status.isdigit() or not (length.isdigit() or not length):
            self._end(FetchError(failure.HTTP_FAILED))
        elif int(status) >= FIRST_FINAL_STATUS:
            progress.status = int(status)
            progress.expected_bytes = int(length) if length else None
            if progress.status in REDIRECTS:
                progress.location = headers.get(b"location", b"").decode("utf-8", "replace")

    def _take_body(self, data: bytes) -> None:
        body, limit = self._progress.body, self._progress.order.limit_bytes
        if self.ended.done():
            return
        body.add(data)
        if (
            limit is not None
            and body.count >= limit
            and body.count != self._progress.expected_bytes
        ):
            self._progress.censored = "bytes"
            self._end(None)

    def _end(self, error: Exception | None) -> None:
        if self.ended.done():
            return
        if error is None:
            self.ended.set_result(None)
        else:
            self.ended.set_exception(error)
