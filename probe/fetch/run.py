"""One fetch from look-up to last byte: what happened, when, and how it ended."""

from __future__ import annotations

import asyncio
import contextlib
import random
import socket
from collections.abc import Awaitable, Callable
from typing import Literal

import msgspec

from probe import failure
from probe.fetch import http1, http2
from probe.fetch.dial import dial, look_up
from probe.fetch.errors import EXPECTED, FetchError, describe
from probe.fetch.order import FetchOrder, FetchOutcome
from probe.fetch.progress import Progress
from probe.fetch.redirect import follow
from probe.fetch.secure import client_context
from probe.fetch.watching import Sampler, Watch, beside, sample_loaded_rtt
from probe.loop_lag import LoopLag
from probe.network import Network

#: What happens on a connected socket; closes it at the end.
Exchange = Callable[[socket.socket, Network, Progress], Awaitable[None]]


async def fetch(
    order: FetchOrder,
    network: Network,
    *,
    watch: Watch | None = None,
    rng: random.Random | None = None,
) -> FetchOutcome:
    """Carry out one fetch on a fresh connection.

    Args:
        order: what to fetch.
        network: how names are resolved and whom to trust.
        watch: called at every poll with the seconds since the start and the bytes so far (as the
            timeline counts them); True ends the transfer, which is then ``censored``.
        rng: drives the memoryless sampling clock.

    Returns:
        The outcome; whatever the network does is in it. A limit that *we* set is no failure once
        a body byte has come: the record says ``censored``.
    """
    rng = rng or random.Random()  # noqa: S311 - sampling times need no secrecy
    async with LoopLag() as lag:
        word, progress = await _follow(order, network, watch, rng)
    return FetchOutcome(failure=word, fetch=progress.record(), loop_lag_s=lag.worst_s)


async def push(
    order: FetchOrder,
    network: Network,
    exchange: Exchange,
    *,
    direction: Literal["down", "up"] = "up",
    watch: Watch | None = None,
    rng: random.Random | None = None,
) -> FetchOutcome:
    """Carry out an exchange of another kind than a fetch, on a fresh TCP connection.

    Args:
        order: the server and the limits.
        network: how names are resolved and whom to trust.
        exchange: what to do on the connection.
        direction: which way is measured.
        watch: as for :func:`fetch`.
        rng: drives the memoryless sampling clock.

    Returns:
        The outcome, as of :func:`fetch`.
    """
    rng = rng or random.Random()  # noqa: S311 - sampling times need no secrecy
    async with LoopLag() as lag:
        client_context(order, network)
        progress = Progress(order, direction=direction)
        word = await _attempt(network, progress, watch, rng, exchange)
    return FetchOutcome(failure=word, fetch=progress.record(), loop_lag_s=lag.worst_s)


async def _follow(
    order: FetchOrder, network: Network, watch: Watch | None, rng: random.Random
) -> tuple[str | None, Progress]:
    """Fetch, and fetch again where the order lets redirects be followed."""
    seen: list[str] = []
    while True:
        # Loading the trust store takes a while; it is done before the clock starts.
        client_context(order, network)
        progress = Progress(order, followed=bool(seen))
        word = await _attempt(network, progress, watch, rng)
        seen.append(order.url)
        if word is not None or progress.location is None or not order.redirects:
            return word, progress
        if len(seen) > order.redirects:
            return failure.HTTP_REDIRECT, progress
        try:
            url = follow(order.url, progress.location, seen)
        except FetchError as error:
            return error.word, progress
        left_s = order.limit_s - progress.now()
        order = msgspec.structs.replace(order, url=url, sni=None, address=None, limit_s=left_s)


async def _attempt(
    network: Network,
    progress: Progress,
    watch: Watch | None,
    rng: random.Random,
    exchange: Exchange | None = None,
) -> str | None:
    """Carry out one exchange; return the failure, if any."""
    try:
        async with asyncio.timeout(progress.order.limit_s) as deadline:

            def stop() -> None:
                deadline.reschedule(asyncio.get_running_loop().time())

            if progress.order.http == "h3":
                await _over_quic(network, progress, Sampler(None, progress, watch, stop, rng))
                return None
            sock = await dial(network, progress)
            # The duplicate keeps the kernel's account readable after the transport has closed.
            with sock.dup() as account:
                sampler = Sampler(account, progress, watch, stop, rng)
                await _over_tcp(sock, network, progress, sampler, exchange)
    except EXPECTED as error:
        if deadline.expired():
            return _cut(progress)
        return describe(error, secured=progress.secured)
    finally:
        progress.ended_t_s = progress.now()
    return None


def _cut(progress: Progress) -> str | None:
    """Say what it means that our own limit ended the trial."""
    if progress.whole:
        # The last byte and the limit came in the same turn of the loop.
        progress.censored = None
        return None
    if progress.censored is None and progress.payload_bytes == 0:
        return failure.TIMEOUT
    progress.censored = progress.censored or "time"
    return None


async def _over_tcp(
    sock: socket.socket,
    network: Network,
    progress: Progress,
    sampler: Sampler,
    exchange: Exchange | None,
) -> None:
    async with contextlib.AsyncExitStack() as stack:
        stack.callback(sampler.finish)
        await stack.enter_async_context(beside(sampler.run()))
        if progress.order.rtt_beside:
            assert progress.address is not None
            assert progress.port is not None
            server = (progress.address, progress.port)
            await stack.enter_async_context(beside(sample_loaded_rtt(server, progress)))
        if exchange is None:
            exchange = http2.exchange if progress.order.http == "h2" else http1.exchange
        await exchange(sock, network, progress)


async def _over_quic(network: Network, progress: Progress, sampler: Sampler) -> None:
    from probe.fetch import http3  # noqa: PLC0415 - aioquic takes a while and few trials need it

    server = (await look_up(network, progress))[0]
    async with contextlib.AsyncExitStack() as stack:
        stack.callback(sampler.finish)
        await stack.enter_async_context(beside(sampler.run()))
        await http3.exchange(server, network, progress)
