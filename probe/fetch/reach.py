"""Reach: can one address be connected to at all, and how far away is it."""

from __future__ import annotations

import asyncio

from probe.endpoints import HostPort, parse_address
from probe.fetch import tcp_info
from probe.fetch.dial import connect
from probe.fetch.errors import EXPECTED, FetchError, describe
from probe.fetch.order import FetchOrder
from probe.fetch.progress import Progress
from probe.measurement import Reach
from probe.network import Network


async def reach(address: str, network: Network, limit_s: float = 10.0) -> tuple[str | None, Reach]:
    """Connect to one address and close again.

    Args:
        address: ``host:port``; IPv6 in brackets; a name is looked up first.
        network: how names are resolved.
        limit_s: how long to wait in all.

    Returns:
        The failure (``None`` for a connection) and the record.

    Raises:
        EndpointError: the address is not ``host:port``.
    """
    host, port = parse_address(address)
    progress = Progress(FetchOrder(url=f"http://{HostPort(host, port)}/"))
    record = Reach(address=host, port=port)
    try:
        async with asyncio.timeout(limit_s):
            addresses, answer = await network.resolve(host, port)
            if answer.failure is not None:
                raise FetchError(answer.failure)
            sock, made = await connect(addresses[0], progress)
    except EXPECTED as error:
        return describe(error), record
    with sock:
        return None, Reach(
            address=host, port=port, connect_s=made.duration_s, rtt_s=tcp_info.rtt_s(sock)
        )
