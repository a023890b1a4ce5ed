"""The far end's web side: bytes to fetch, and a sink to send to.

    GET  /bytes/N   N random bytes, which nothing on the way can compress
    GET  /sent/T    how our kernel fared sending what was fetched as /bytes/N?as=T
    POST /sink      takes a body and says how long it was

Each client (an IPv4 address, an IPv6 /64) has a share of bytes, and of requests at a time; each
request an end in time. Addresses are held in memory for these limits and written nowhere.
"""

from __future__ import annotations

import logging
import os
import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Final

import msgspec
from aiohttp import web

from probe.farend.admission import Admission, Allowance, Refused
from probe.farend.reflector import client_of
from probe.farend.sending import Downloads, delivered, watch
from probe.fetch.watching import beside

_CHUNK_BYTES: Final = 64 << 10
#: Longer than any compressor's window that a middlebox might use.
_BLOCK_BYTES: Final = 4 << 20
_TOKEN: Final = re.compile("[0-9a-f]{32}")
FETCHES: Final = Allowance(
    transfer_bytes=64 << 20,
    transfer_s=60.0,
    client_transfers=8,
    total_transfers=256,
    client_bytes_per_s=1 << 20,
    client_burst_bytes=256 << 20,
)


@web.middleware
async def _refusals(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    """Say a refusal in HTTP's words."""
    try:
        return await handler(request)
    except Refused as error:
        busy = web.HTTPServiceUnavailable if error.everyone else web.HTTPTooManyRequests
        raise busy(text=f"{error}\n") from error
    except TimeoutError as error:
        raise web.HTTPRequestTimeout(text="a request may not take so long\n") from error


def requester(request: web.Request) -> str:
    """Name the client behind a request."""
    return client_of((request.remote or "::", 0))


def make_app(
    allowance: Allowance = FETCHES, now_ns: Callable[[], int] = time.monotonic_ns
) -> web.Application:
    """Build the web side.

    Args:
        allowance: what it gives at most.
        now_ns: monotonic clock.

    Returns:
        An aiohttp application.
    """
    admission = Admission(allowance, now_ns)
    app = web.Application(client_max_size=allowance.transfer_bytes, middlewares=[_refusals])
    sent = Downloads()
    app.router.add_get("/bytes/{size:[0-9]{1,12}}", _bytes_handler(admission, sent))
    app.router.add_get("/sent/{token:[0-9a-f]{32}}", _sent_handler(admission, sent))
    app.router.add_post("/sink", _sink_handler(admission))
    return app


def quiet_logger() -> logging.Logger:
    """Return a logger that writes nothing: aiohttp's own lines name the client's address."""
    logger = logging.Logger("far end")  # noqa: LOG001 - on purpose outside the tree of loggers
    logger.addHandler(logging.NullHandler())
    return logger


_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def _bytes_handler(admission: Admission, sent: Downloads) -> _Handler:
    view = memoryview(os.urandom(_BLOCK_BYTES))

    @asynccontextmanager
    async def watched(request: web.Request) -> AsyncIterator[None]:
        """Keep samples of what the block sends, if the client has named it."""
        token, transport = request.query.get("as", ""), request.transport
        if transport is None or not _TOKEN.fullmatch(token):
            yield
            return
        samples = sent.begin(requester(request), token, time.monotonic())
        async with beside(watch(transport, samples)):
            yield
            await delivered(transport)

    async def send(request: web.Request) -> web.StreamResponse:
        size = int(request.match_info["size"])
        _check_size(size, admission)
        client = requester(request)
        async with admission.admit(client):
            admission.spend(client, size)
            response = web.StreamResponse(headers={"Cache-Control": "no-store"})
            response.content_type = "application/octet-stream"
            response.content_length = size
            await response.prepare(request)
            async with watched(request):
                for at in range(0, size, _CHUNK_BYTES):
                    offset = at % _BLOCK_BYTES
                    await response.write(view[offset : offset + min(_CHUNK_BYTES, size - at)])
                await response.write_eof()
            return response

    return send


def _sent_handler(admission: Admission, sent: Downloads) -> _Handler:
    async def tell(request: web.Request) -> web.StreamResponse:
        client, token = requester(request), request.match_info["token"]
        async with admission.admit(client):
            body = msgspec.json.encode(sent.take(client, token, time.monotonic()))
            admission.spend(client, len(body))
            return web.Response(body=body, content_type="application/json")

    return tell


def _sink_handler(admission: Admission) -> _Handler:
    async def take(request: web.Request) -> web.StreamResponse:
        _check_size(request.content_length or 0, admission)
        client, size = requester(request), 0
        async with admission.admit(client):
            async for chunk in request.content.iter_any():
                size += len(chunk)
                _check_size(size, admission)
                admission.spend(client, len(chunk))
        return web.json_response({"bytes": size})

    return take


def _check_size(size: int, admission: Admission) -> None:
    most = admission.allowance.transfer_bytes
    if size > most:
        raise web.HTTPRequestEntityTooLarge(most, size)
