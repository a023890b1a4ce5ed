"""One HTTP/2 exchange over a connected socket, on the sans-I/O ``h2`` (RFC 9113)."""

from __future__ import annotations

import asyncio
import socket
from typing import Any, Final
from urllib.parse import urlsplit

import h2.config
import h2.connection
import h2.errors
import h2.events
import h2.exceptions
import h2.settings

from probe import failure
from probe.fetch.errors import FetchError
from probe.fetch.http1 import HEADERS, REDIRECTS
from probe.fetch.progress import Progress
from probe.fetch.secure import cut_off, open_transport
from probe.network import Network

#: Wide open, so that never our window but always the path sets the rate.
WINDOW_BYTES: Final = 1 << 26
#: Frames that carry no body: settings, pings, resets, empty data. An honest exchange has a few
#: dozen, and a window update for each part of an upload.
MAX_BARE_FRAMES: Final = 1000


async def exchange(sock: socket.socket, network: Network, progress: Progress) -> None:
    """Send the request on the first stream, take the answer in.

    Args:
        sock: connected; closed at the end, whatever happens.
        network: whom to trust.
        progress: the trial; gets everything from the handshake to the body.

    Raises:
        OSError: the connection broke off.
        ssl.SSLError: the handshake failed.
        FetchError: the peer does not speak HTTP/2, breaks it, or goes away early.
    """
    transport: asyncio.Transport | None = None
    try:
        transport, stream = await open_transport(
            sock, lambda: _OneStream(progress), network, progress
        )
        if transport.get_extra_info("ssl_object").selected_alpn_protocol() != "h2":
            raise FetchError(failure.HTTP_FAILED)
        stream.request()
        await stream.ended
    finally:
        await cut_off(transport, sock)


class _OneStream(asyncio.Protocol):
    """A client connection that carries one request.

    Attributes:
        ended: done when the answer is whole or cut by us, failed otherwise.
    """

    def __init__(self, progress: Progress) -> None:
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._progress = progress
        self._bare_frames = 0
        self._transport: asyncio.Transport | None = None
        self._h2 = h2.connection.H2Connection(
            h2.config.H2Configuration(client_side=True, header_encoding="utf-8")
        )
        self._h2.local_settings = h2.settings.Settings(
            client=True,
            initial_values={
                h2.settings.SettingCodes.ENABLE_PUSH: 0,
                h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: WINDOW_BYTES,
                h2.settings.SettingCodes.MAX_HEADER_LIST_SIZE: 65_536,
            },
        )

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Open the connection; the preface leaves together with the request.

        Sent alone it would cost a delayed acknowledgement of the server's, some 40 ms.
        """
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._h2.initiate_connection()
        self._h2.increment_flow_control_window(WINDOW_BYTES - 65_535)

    def request(self) -> None:
        """Send the one request."""
        parts = urlsplit(self._progress.order.url)
        target = parts.path or "/"
        pseudo = [
            (":method", self._progress.order.method),
            (":scheme", parts.scheme),
            (":authority", parts.netloc.rpartition("@")[2]),
            (":path", f"{target}?{parts.query}" if parts.query else target),
        ]
        ordinary = [(name.lower(), value) for name, value in HEADERS.items()]
        self._h2.send_headers(1, pseudo + ordinary, end_stream=True)
        self._flush()
        self._progress.sent()
        self._progress.http = "h2"

    def data_received(self, data: bytes) -> None:
        """Take frames in."""
        if self.ended.done():
            return
        try:
            self._progress.received(len(data))
            for event in self._h2.receive_data(data):
                self._take(event)
        except h2.exceptions.InvalidBodyLengthError as error:
            short = error.actual_length < error.expected_length
            self._end(FetchError(failure.EOF if short else failure.HTTP_FAILED))
        except (h2.exceptions.H2Error, FetchError, ValueError):
            # h2 lets a few malformed values surface as ValueError; all of it is a peer that
            # does not keep to the protocol.
            self._end(FetchError(failure.HTTP_FAILED))
        self._flush()

    def connection_lost(self, exc: Exception | None) -> None:
        """End what has not ended yet."""
        self._end(exc or FetchError(failure.EOF))

    def _take(self, event: h2.events.Event) -> None:
        if isinstance(event, h2.events.DataReceived) and event.data:
            self._take_body(event)
            return
        self._bare_frames += 1
        if self._bare_frames > MAX_BARE_FRAMES:
            raise FetchError(failure.HTTP_FAILED)
        if isinstance(event, h2.events.ResponseReceived):
            self._take_head(dict(event.headers or ()))
        elif isinstance(event, h2.events.StreamEnded):
            self._progress.whole = True
            self._end(None)
        elif isinstance(event, h2.events.StreamReset):
            self._end(FetchError(failure.HTTP_FAILED))
        elif isinstance(event, h2.events.ConnectionTerminated):
            clean = event.error_code == h2.errors.ErrorCodes.NO_ERROR
            if not clean or (event.last_stream_id or 0) < 1:
                self._end(FetchError(failure.HTTP_FAILED))

    def _take_head(self, headers: dict[Any, Any]) -> None:
        progress = self._progress
        progress.answered()
        progress.status = int(headers[":status"])
        if "content-length" in headers:
            progress.expected_bytes = int(headers["content-length"])
        if progress.status in REDIRECTS:
            progress.location = headers.get("location")

    def _take_body(self, event: h2.events.DataReceived) -> None:
        body, limit = self._progress.body, self._progress.order.limit_bytes
        assert event.data is not None
        body.add(event.data)
        if limit is not None and body.count >= limit:
            if body.count != self._progress.expected_bytes:
                self._progress.censored = "bytes"
            self._end(None)
            return
        self._h2.acknowledge_received_data(event.flow_controlled_length or 0, 1)

    def _end(self, error: Exception | None) -> None:
        if self.ended.done():
            return
        if error is None:
            self.ended.set_result(None)
        else:
            self.ended.set_exception(error)

    def _flush(self) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(self._h2.data_to_send())
