"""Servers on loopback that really do what a test says: answer, stall, reset, lie."""

import asyncio
import contextlib
import socket
import ssl
import struct

import trustme

from probe.network import Network

ENDS = (OSError, ssl.SSLError, asyncio.IncompleteReadError, asyncio.CancelledError)


@contextlib.asynccontextmanager
async def peer(handle, *, tls=None):
    """Serve ``handle(reader, writer)`` on a port of its own; yield the port."""
    running = set()

    async def serve(reader, writer):
        running.add(asyncio.current_task())
        # A test ends connections in every way there is; what the peer makes of it is not the test.
        try:
            with contextlib.suppress(*ENDS):
                await handle(reader, writer)
        finally:
            running.discard(asyncio.current_task())
            writer.transport.abort()
            # The transport closes its socket in the next turn of the loop.
            await asyncio.sleep(0)

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=tls, limit=1 << 20)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for task in list(running):
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
        await asyncio.sleep(0)


async def request_line(reader):
    """Read one request's head; return its first line."""
    head = await reader.readuntil(b"\r\n\r\n")
    return head.split(b"\r\n", 1)[0].decode()


def reset(writer):
    """Close with a RST instead of a FIN."""
    sock = writer.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


def answering(body, *, status="200 OK", headers=(), pieces=1, gap_s=0.0):
    """Make a handler that answers one request, the body in so many pieces."""

    async def handle(reader, writer):
        await request_line(reader)
        lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers]
        writer.write("\r\n".join([*lines, "", ""]).encode())
        step = -(-len(body) // pieces) or 1
        for at in range(0, len(body), step):
            writer.write(body[at : at + step])
            await writer.drain()
            if gap_s:
                await asyncio.sleep(gap_s)
        await writer.drain()
        await reader.read()

    return handle


class Trust:
    """A certificate authority of the test's own, and contexts on both ends of it."""

    def __init__(self):
        self.authority = trustme.CA()

    def server(self, *names, alpn=("http/1.1",), **issue):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.set_alpn_protocols(list(alpn))
        self.authority.issue_cert(*names, **issue).configure_cert(context)
        return context

    def network(self, tmp_path, monkeypatch, connect_to="", **options):
        store = tmp_path / "authority.pem"
        self.authority.cert_pem.write_to_path(store)
        monkeypatch.setenv("SSL_CERT_FILE", str(store))
        return Network.from_options(connect_to, **options)
