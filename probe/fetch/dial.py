"""From a host to a connected socket: each look-up and each TCP connect timed and recorded."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Sequence
from typing import Final

import msgspec

from probe import failure
from probe.endpoints import parse_address
from probe.fetch import tcp_info
from probe.fetch.errors import FetchError, describe
from probe.fetch.progress import Progress
from probe.measurement import Connect
from probe.network import Address, Network

Connected = tuple[socket.socket, Connect]

#: Head start of each address before the next is tried too (RFC 8305, "Connection Attempt Delay").
HEAD_START_S: Final = 0.25
#: How long one TCP connect may take: Linux has then sent four SYNs (at 0, 1, 3 and 7 s).
CONNECT_LIMIT_S: Final = 10.0
#: How many of a name's addresses are tried at most.
MAX_ADDRESSES: Final = 4


async def dial(network: Network, progress: Progress) -> socket.socket:
    """Look the host up and connect to it.

    Args:
        network: how names are resolved.
        progress: the trial; gets the answers, the connects, the phases and the idle RTT.

    Returns:
        A connected, non-blocking socket; the caller closes it.

    Raises:
        FetchError: the look-up failed.
        OSError: no address could be connected to; the error of the first that failed.
    """
    addresses = await look_up(network, progress)
    sock, won = await _race(addresses, progress)
    progress.address, progress.port, progress.connect_s = won.address, won.port, won.duration_s
    progress.idle_rtt_s = tcp_info.rtt_s(sock)
    return sock


async def look_up(network: Network, progress: Progress) -> tuple[Address, ...]:
    """Find the addresses to try.

    Args:
        network: how names are resolved.
        progress: the trial; gets the answer and the duration of the look-up.

    Returns:
        At least one (address, port).

    Raises:
        FetchError: there is none.
    """
    host, port = progress.origin.host, progress.origin.port
    if progress.order.address is not None:
        host, port = _fixed(progress.order.address, port)
    t_s = progress.now()
    addresses, answer = await network.resolve(host, port)
    progress.dns.append(msgspec.structs.replace(answer, t_s=t_s))
    if answer.failure is not None:
        raise FetchError(answer.failure)
    progress.dns_s = answer.duration_s
    return addresses[:MAX_ADDRESSES]


def _fixed(address: str, port: int) -> Address:
    """Read ``ADDRESS`` or ``ADDRESS:PORT``; a bare IPv6 address has colons of its own."""
    if address.count(":") > 1 and not address.startswith("["):
        return address, port
    return parse_address(address) if ":" in address else (address, port)


async def _race(addresses: Sequence[Address], progress: Progress) -> Connected:
    """Connect to one address after another, each with a head start (RFC 8305)."""
    waiting = list(addresses)
    running: set[asyncio.Task[Connected]] = set()
    first_error: OSError | None = None
    winner: Connected | None = None
    try:
        while winner is None and (waiting or running):
            if waiting:
                running.add(asyncio.create_task(connect(waiting.pop(0), progress)))
            done, _ = await asyncio.wait(
                running,
                timeout=HEAD_START_S if waiting else None,
                return_when=asyncio.FIRST_COMPLETED,
            )
            for task in done:
                running.remove(task)
                error = task.exception()
                if error is None and winner is None:
                    winner = task.result()
                elif error is None:
                    task.result()[0].close()
                elif isinstance(error, OSError):
                    first_error = first_error or error
                else:
                    raise error
    finally:
        await _call_off(running)
    if winner is None:
        assert first_error is not None
        raise first_error
    return winner


async def _call_off(running: set[asyncio.Task[Connected]]) -> None:
    """End the connects that lost; one may have come through in this very moment."""
    for task in running:
        task.cancel()
    for ended in await asyncio.gather(*running, return_exceptions=True):
        if not isinstance(ended, BaseException):
            ended[0].close()


async def connect(address: Address, progress: Progress) -> Connected:
    """Connect to one address.

    Args:
        address: literal address and port.
        progress: the trial; gets the connect, failed or not. One that lost the race, or that we
            ended, is recorded as ``interrupted``.

    Returns:
        A connected, non-blocking socket, which the caller closes, and the connect as recorded.

    Raises:
        OSError: it could not be connected to.
    """
    family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    sock.settimeout(0)
    t_s = progress.now()
    word: str | None = failure.INTERRUPTED
    try:
        async with asyncio.timeout(CONNECT_LIMIT_S):
            await asyncio.get_running_loop().sock_connect(sock, address)
        word = None
    except OSError as error:
        word = describe(error)
        raise
    finally:
        if word is not None:
            sock.close()
        made = Connect(
            address=address[0],
            port=address[1],
            failure=word,
            t_s=t_s,
            duration_s=progress.now() - t_s,
        )
        progress.connects.append(made)
    return sock, made
