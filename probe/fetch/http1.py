"""One HTTP/1.1 exchange over a connected socket, on aiohttp."""

from __future__ import annotations

import os
import socket
from collections.abc import AsyncIterator
from typing import Any, Final

import aiohttp
from yarl import URL

from probe.fetch.connector import OneConnection
from probe.fetch.errors import EXPECTED
from probe.fetch.progress import Progress
from probe.fetch.secure import cut_off
from probe.network import Network

#: A browser's, as OONI Probe does: plain HTTP must not tell the path who is measuring.
USER_AGENT: Final = (
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) "
    "Chrome/131.0.0.0 Safari/537.36"
)
REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
#: One TLS record.
UPLOAD_PIECE_BYTES: Final = 16_384
#: Four times what asyncio reads at once, so that reading need not pause after every read.
READ_BUFFER_BYTES: Final = 1 << 20
#: ``identity``: a compressed body would tell neither size nor rate.
HEADERS: Final = {"User-Agent": USER_AGENT, "Accept": "*/*", "Accept-Encoding": "identity"}


async def exchange(sock: socket.socket, network: Network, progress: Progress) -> None:
    """Send the request, take the answer in; redirects are not followed.

    Args:
        sock: connected; closed at the end, whatever happens.
        network: whom to trust.
        progress: the trial; gets everything from the handshake to the body.

    Raises:
        OSError: the connection broke off; a reset at any moment is told as one.
        ssl.SSLError: the handshake failed.
        aiohttp.ClientError: the answer breaks HTTP or ends early.
        FetchError: the answer does not keep to the probe's limits.
    """
    connector = OneConnection(sock, network, progress)
    try:
        await _request(connector, progress)
    except EXPECTED as error:
        lost = connector.handler.lost if connector.handler is not None else None
        # aiohttp puts a reset in the middle of a body into words only; the cause must survive.
        raise error from (lost if isinstance(lost, EXPECTED) else error.__cause__)
    finally:
        await connector.close()
        await cut_off(connector.transport, sock)


async def _request(connector: OneConnection, progress: Progress) -> None:
    async with aiohttp.ClientSession(
        connector=connector,
        connector_owner=False,
        auto_decompress=False,
        cookie_jar=aiohttp.DummyCookieJar(),
        headers=HEADERS,
        read_bufsize=READ_BUFFER_BYTES,
        # The trial has one limit, over all its phases.
        timeout=aiohttp.ClientTimeout(total=None),
        trace_configs=[_tracing(progress)],
    ) as session:
        url = URL(progress.order.url, encoded=True)
        async with session.request(
            progress.order.method, url, allow_redirects=False, **_upload(progress)
        ) as answer:
            progress.status = answer.status
            progress.expected_bytes = answer.content_length
            if answer.status in REDIRECTS:
                progress.location = answer.headers.get("Location")
            if answer.version is not None:
                progress.http = f"http/{answer.version.major}.{answer.version.minor}"
            assert connector.handler is not None
            connector.handler.guard(answer.content)
            await _take_in(answer, progress)


async def _take_in(answer: aiohttp.ClientResponse, progress: Progress) -> None:
    limit = progress.order.limit_bytes
    while piece := await answer.content.readany():
        progress.body.add(piece)
        if progress.body.count == progress.expected_bytes:
            break
        if limit is not None and progress.body.count >= limit:
            progress.censored = "bytes"
            return
    progress.whole = True


def _upload(progress: Progress) -> dict[str, Any]:
    """Return what aiohttp needs to send a body: nothing unless the order is an upload."""
    if progress.order.method != "POST":
        return {}
    size = progress.order.upload_bytes
    headers = {"Content-Length": str(size), "Content-Type": "application/octet-stream"}
    return {"data": _random_bytes(size, progress), "headers": headers}


async def _random_bytes(size: int, progress: Progress) -> AsyncIterator[bytes]:
    """Yield bytes that no box on the way can compress or recognise."""
    while progress.handed_bytes < size:
        piece = os.urandom(min(UPLOAD_PIECE_BYTES, size - progress.handed_bytes))
        progress.handed_bytes += len(piece)
        yield piece


def _tracing(progress: Progress) -> aiohttp.TraceConfig:
    async def headers_sent(*_: Any) -> None:
        progress.sent()

    tracing = aiohttp.TraceConfig()
    tracing.on_request_headers_sent.append(headers_sent)
    return tracing
