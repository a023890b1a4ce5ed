"""The web servers of the lab's world over HTTP/3.

Run as ``python -m probe.lab.netns.http3 FOLDER`` inside the world's namespace.
"""

from __future__ import annotations

import asyncio
import sys
from functools import partial
from pathlib import Path
from typing import Any

from aioquic.asyncio.protocol import QuicConnectionProtocol
from aioquic.asyncio.server import serve
from aioquic.h3.connection import H3_ALPN, H3Connection
from aioquic.h3.events import HeadersReceived
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.events import ProtocolNegotiated, QuicEvent

from probe.lab import world
from probe.lab.netns.servers import web_addresses

_PATH = world.OBJECT_PATH.encode()


class _Web(QuicConnectionProtocol):
    """One client: GET or HEAD of the object, 404 for all else."""

    def __init__(self, *args: Any, content: bytes, **options: Any) -> None:
        super().__init__(*args, **options)
        self._content = content
        self._http: H3Connection | None = None

    def quic_event_received(self, event: QuicEvent) -> None:
        """Answer every request as soon as its headers are there."""
        if isinstance(event, ProtocolNegotiated):
            self._http = H3Connection(self._quic)
        if self._http is None:
            return
        for part in self._http.handle_event(event):
            if isinstance(part, HeadersReceived):
                self._answer(self._http, part.stream_id, dict(part.headers))
        self.transmit()

    def _answer(self, http: H3Connection, stream: int, request: dict[bytes, bytes]) -> None:
        found = request.get(b":path") == _PATH
        body = self._content if found else b""
        status = b"200" if found else b"404"
        length = str(len(body)).encode()
        http.send_headers(stream, [(b":status", status), (b"content-length", length)])
        http.send_data(stream, b"" if request.get(b":method") == b"HEAD" else body, end_stream=True)


async def _serve(folder: Path) -> None:
    configuration = QuicConfiguration(is_client=False, alpn_protocols=H3_ALPN)
    configuration.load_cert_chain(folder / "server.pem", folder / "server.key")
    content = (folder / "www" / world.OBJECT_PATH.lstrip("/")).read_bytes()
    for address in web_addresses():
        await serve(
            address,
            world.HTTPS_PORT,
            configuration=configuration,
            create_protocol=partial(_Web, content=content),
        )
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(_serve(Path(sys.argv[1])))
