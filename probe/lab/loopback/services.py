"""The services behind the relays: a TLS file server, STUN answers, ports that take a connection."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Iterable
from pathlib import Path
from random import Random
from typing import Final, cast

import trustme
from aiohttp import web

from probe.call import stun

_CHUNK_BYTES: Final = 65_536
_BLOCK_BYTES: Final = 1_048_576
_MOST_BYTES: Final = 50_000_000


class Certificates:
    """The lab's own authority, and one certificate for every name of the lab.

    Args:
        directory: where the three files go.
        names: the names and addresses to certify.

    Attributes:
        authority: PEM file to trust.
        chain: PEM file of the certificate.
        key: PEM file of its key.
    """

    def __init__(self, directory: Path, names: Iterable[str]) -> None:
        self.authority, self.chain, self.key = (
            directory / name for name in ("authority.pem", "chain.pem", "key.pem")
        )
        authority = trustme.CA()
        certificate = authority.issue_cert(*names)
        authority.cert_pem.write_to_path(self.authority)
        certificate.private_key_pem.write_to_path(self.key)
        for blob in certificate.cert_chain_pems:
            blob.write_to_path(self.chain, append=True)


async def serve_files(certificates: Certificates, seed: int) -> web.AppRunner:
    """Serve ``/bytes/N``: N bytes that do not compress; and ``/``, a few.

    Args:
        certificates: what to show in the handshake.
        seed: of the bytes.

    Returns:
        The running server; its first address is where it listens.
    """
    block = Random(seed).randbytes(_BLOCK_BYTES)  # noqa: S311 - filler that must repeat

    async def give(request: web.Request) -> web.StreamResponse:
        size = int(request.match_info["size"])
        if size > _MOST_BYTES:
            raise web.HTTPBadRequest(text=f"found {size}, expected at most {_MOST_BYTES} bytes\n")
        response = web.StreamResponse(headers={"Content-Type": "application/octet-stream"})
        response.content_length = size
        await response.prepare(request)
        if request.method != "HEAD":
            for start in range(0, size, _CHUNK_BYTES):
                at = start % _BLOCK_BYTES
                await response.write(block[at : at + min(_CHUNK_BYTES, size - start)])
        return response

    async def greet(_: web.Request) -> web.Response:
        return web.Response(text="A service of the lab.\n")

    app = web.Application()
    app.add_routes([web.get(r"/bytes/{size:\d{1,12}}", give), web.get("/", greet)])
    runner = web.AppRunner(app, access_log=None, handle_signals=False, shutdown_timeout=0.1)
    await runner.setup()
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificates.chain, certificates.key)
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context).start()
    return runner


class StunServer(asyncio.DatagramProtocol):
    """Answers Binding requests, as a relay does that is asked without credentials (RFC 8489)."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self._transport = cast("asyncio.DatagramTransport", transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        """Answer a request; be silent about everything else."""
        try:
            request = stun.decode(data)
        except stun.StunError:
            return
        if request.type == stun.BINDING_REQUEST:
            mapped = stun.xor_address(addr, request.transaction)
            answer = stun.Message(
                stun.BINDING_SUCCESS,
                request.transaction,
                ((stun.XOR_MAPPED_ADDRESS, mapped),),
            )
            self._transport.sendto(stun.encode(answer), addr)


async def serve_stun() -> tuple[asyncio.DatagramTransport, tuple[str, int]]:
    """Run a STUN server on loopback.

    Returns:
        Its transport, and where it listens.
    """
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_datagram_endpoint(StunServer, local_addr=("127.0.0.1", 0))
    return transport, transport.get_extra_info("sockname")[:2]


async def serve_accepting() -> tuple[asyncio.Server, tuple[str, int]]:
    """Take connections, read them to their end and say nothing, as a messenger's port may.

    Returns:
        The server, and where it listens.
    """

    async def listen(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while await reader.read(_CHUNK_BYTES):
                pass
        except ConnectionError:
            pass  # a client that leaves by RST has left
        finally:
            writer.close()

    server = await asyncio.start_server(listen, "127.0.0.1", 0)
    return server, server.sockets[0].getsockname()[:2]
