"""What our far end's kernel says of a download it sent: asked for afterwards, by name."""

from __future__ import annotations

import asyncio
import secrets
import socket
from typing import Final
from urllib.parse import urlsplit

import msgspec

from probe.fetch.http1 import HEADERS
from probe.fetch.order import FetchOrder, FetchOutcome
from probe.fetch.progress import Progress
from probe.fetch.run import fetch, push
from probe.fetch.secure import cut_off, open_transport
from probe.fetch.watching import Watch
from probe.measurement import TcpInfo
from probe.network import Network

_LIMIT_S: Final = 10.0
#: Of the answer with all samples in it.
_LIMIT_BYTES: Final = 1 << 16
_TOKEN_BYTES: Final = 16

_decode: Final = msgspec.json.Decoder(tuple[TcpInfo, ...]).decode


async def fetch_with_sender(
    order: FetchOrder, network: Network, *, watch: Watch | None = None
) -> FetchOutcome:
    """Fetch from a far end, then ask it how its kernel fared.

    Args:
        order: a download from a far end.
        network: how names are resolved and whom to trust.
        watch: as for :func:`probe.fetch.fetch`.

    Returns:
        The outcome, with ``sender_tcp_info`` where the far end told; a far end that does not is
        no failure. The question is asked under the far end's own name, after the trial's clock
        has stopped.
    """
    token = secrets.token_hex(_TOKEN_BYTES)
    named = msgspec.structs.replace(order, url=f"{order.url}?as={token}")
    outcome = await fetch(named, network, watch=watch)
    samples = await _ask(order, token, network) if outcome.fetch.body_bytes else ()
    told = msgspec.structs.replace(outcome.fetch, url=order.url, sender_tcp_info=samples)
    return msgspec.structs.replace(outcome, fetch=told)


async def _ask(order: FetchOrder, token: str, network: Network) -> tuple[TcpInfo, ...]:
    parts = urlsplit(order.url)
    answer = bytearray()

    async def exchange(sock: socket.socket, network: Network, progress: Progress) -> None:
        transport: asyncio.Transport | None = None
        reader = asyncio.StreamReader()
        try:
            transport, _ = await open_transport(
                sock, lambda: asyncio.StreamReaderProtocol(reader), network, progress
            )
            lines = [f"GET /sent/{token} HTTP/1.0", f"Host: {parts.netloc}"]
            lines += [f"User-Agent: {HEADERS['User-Agent']}", "", ""]
            transport.write("\r\n".join(lines).encode())
            while len(answer) < _LIMIT_BYTES and (piece := await reader.read(_LIMIT_BYTES)):
                answer.extend(piece)
            progress.whole = True
        finally:
            await cut_off(transport, sock)

    question = FetchOrder(
        url=f"{parts.scheme}://{parts.netloc}/sent/{token}",
        address=order.address,
        limit_s=_LIMIT_S,
        rtt_beside=False,
    )
    await push(question, network, exchange)
    head, _, body = bytes(answer).partition(b"\r\n\r\n")
    if not head.startswith(b"HTTP/1.") or head.split(b" ", 2)[1] != b"200":
        return ()
    try:
        return _decode(body)
    except msgspec.MsgspecError:
        return ()  # not a far end of ours, or a newer one
