"""The far end's web side: bytes to fetch, and a sink to send to.

    GET  /bytes/N   N random bytes, which nothing on the way can compress
    GET  /sent/T    how our kernel fared sending what was fetched as /bytes/N?as=T
    POST /sink      takes a body and says how long it was

Each client (an IPv4 address, an IPv6 /64) has a share of bytes, and of requests at a time; each
request an end in time. Addresses are held in memory for these limits and written nowhere.
"""

from __future__ import annotations

import asyncio
import logging
import os
import re
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Final

import msgspec
from aiohttp import web

from probe.farend.limits import Buckets
from probe.farend.reflector import client_of
from probe.farend.sending import Downloads, delivered, watch
from probe.fetch.watching import beside

_CHUNK_BYTES: Final = 64 << 10
#: Longer than any compressor's window that a middlebox might use.
_BLOCK_BYTES: Final = 4 << 20
_REMEMBERED_CLIENTS: Final = 10_000
_TOKEN: Final = re.compile("[0-9a-f]{32}")


class WebLimits(msgspec.Struct, frozen=True, kw_only=True):
    """What the web side gives at most.

    Attributes:
        request_bytes: in one body, either way.
        request_s: for one request.
        client_requests: at a time, by one client.
        total_requests: at a time.
        client_bytes_per_s: sustained, by one client.
        client_burst_bytes: at once, by one client.
    """

    request_bytes: int = 64 << 20
    request_s: float = 60.0
    client_requests: int = 8
    total_requests: int = 256
    client_bytes_per_s: float = 1 << 20
    client_burst_bytes: float = 256 << 20


class _Guard:
    """Counts what clients use."""

    def __init__(self, limits: WebLimits, now_ns: Callable[[], int]) -> None:
        self._limits = limits
        self._now_ns = now_ns
        self._busy: Counter[str] = Counter()
        self._shares = Buckets(
            limits.client_bytes_per_s, _REMEMBERED_CLIENTS, limits.client_burst_bytes
        )

    @asynccontextmanager
    async def admit(self, request: web.Request) -> AsyncIterator[None]:
        """Hold a place for this request.

        Raises:
            web.HTTPTooManyRequests: this client has its share.
            web.HTTPServiceUnavailable: everybody together has.
            web.HTTPRequestTimeout: it took too long.
        """
        client = _client(request)
        if self._busy.total() >= self._limits.total_requests:
            raise web.HTTPServiceUnavailable(
                text=f"{self._limits.total_requests} requests are running: try again later\n"
            )
        if self._busy[client] >= self._limits.client_requests:
            raise web.HTTPTooManyRequests(
                text=f"{self._limits.client_requests} requests at a time is the most you get\n"
            )
        self._busy[client] += 1
        try:
            async with asyncio.timeout(self._limits.request_s):
                yield
        except TimeoutError as error:
            text = f"{self._limits.request_s:g} s is the longest a request may take\n"
            raise web.HTTPRequestTimeout(text=text) from error
        finally:
            self._busy[client] -= 1
            self._busy = +self._busy

    def spend(self, request: web.Request, size: int) -> None:
        """Take bytes from the client's share; raise web.HTTPTooManyRequests when it is used up."""
        client = _client(request)
        if not self._shares.take(client, self._now_ns(), size):
            raise web.HTTPTooManyRequests(text="your share of bytes is used up: try again later\n")


def _client(request: web.Request) -> str:
    return client_of((request.remote or "::", 0))


def make_app(
    limits: WebLimits = WebLimits(),  # noqa: B008 - a frozen value
    now_ns: Callable[[], int] = time.monotonic_ns,
) -> web.Application:
    """Build the web side.

    Args:
        limits: what it gives at most.
        now_ns: monotonic clock.

    Returns:
        An aiohttp application.
    """
    guard = _Guard(limits, now_ns)
    block = os.urandom(_BLOCK_BYTES)
    app = web.Application(client_max_size=limits.request_bytes)
    sent = Downloads()
    app.router.add_get("/bytes/{size:[0-9]{1,12}}", _bytes_handler(guard, limits, block, sent))
    app.router.add_get("/sent/{token:[0-9a-f]{32}}", _sent_handler(guard, sent))
    app.router.add_post("/sink", _sink_handler(guard, limits))
    return app


def quiet_logger() -> logging.Logger:
    """Return a logger that writes nothing: aiohttp's own lines name the client's address."""
    logger = logging.Logger("far end")  # noqa: LOG001 - on purpose outside the tree of loggers
    logger.addHandler(logging.NullHandler())
    return logger


_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def _bytes_handler(guard: _Guard, limits: WebLimits, block: bytes, sent: Downloads) -> _Handler:
    @asynccontextmanager
    async def watched(request: web.Request) -> AsyncIterator[None]:
        """Keep samples of what the block sends, if the client has named it."""
        token, transport = request.query.get("as", ""), request.transport
        if transport is None or not _TOKEN.fullmatch(token):
            yield
            return
        samples = sent.begin(_client(request), token, time.monotonic())
        async with beside(watch(transport, samples)):
            yield
            await delivered(transport)

    async def send(request: web.Request) -> web.StreamResponse:
        size = int(request.match_info["size"])
        if size > limits.request_bytes:
            raise web.HTTPRequestEntityTooLarge(limits.request_bytes, size)
        async with guard.admit(request):
            guard.spend(request, size)
            response = web.StreamResponse(headers={"Cache-Control": "no-store"})
            response.content_type = "application/octet-stream"
            response.content_length = size
            await response.prepare(request)
            view = memoryview(block)
            async with watched(request):
                for at in range(0, size, _CHUNK_BYTES):
                    offset = at % _BLOCK_BYTES
                    await response.write(view[offset : offset + min(_CHUNK_BYTES, size - at)])
                await response.write_eof()
            return response

    return send


def _sent_handler(guard: _Guard, sent: Downloads) -> _Handler:
    async def tell(request: web.Request) -> web.StreamResponse:
        async with guard.admit(request):
            token = request.match_info["token"]
            body = msgspec.json.encode(sent.take(_client(request), token, time.monotonic()))
            guard.spend(request, len(body))
            return web.Response(body=body, content_type="application/json")

    return tell


def _sink_handler(guard: _Guard, limits: WebLimits) -> _Handler:
    async def take(request: web.Request) -> web.StreamResponse:
        announced = request.content_length or 0
        if announced > limits.request_bytes:
            raise web.HTTPRequestEntityTooLarge(limits.request_bytes, announced)
        size = 0
        async with guard.admit(request):
            async for chunk in request.content.iter_any():
                size += len(chunk)
                if size > limits.request_bytes:
                    raise web.HTTPRequestEntityTooLarge(limits.request_bytes, size)
                guard.spend(request, len(chunk))
        return web.json_response({"bytes": size})

    return take
