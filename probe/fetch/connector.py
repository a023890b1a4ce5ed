"""aiohttp over a socket that is connected already, so that each phase is timed by itself.

aiohttp's own connector times TCP and TLS as one. This one hands out the single connection it was
given: what aiohttp calls "connect" is then the TLS handshake and nothing else.
"""

from __future__ import annotations

import asyncio
import socket
from typing import TYPE_CHECKING, Final

from aiohttp import BaseConnector
from aiohttp.client_proto import ResponseHandler

from probe import failure
from probe.fetch.errors import FetchError
from probe.fetch.progress import Progress
from probe.fetch.secure import open_transport
from probe.network import Network

if TYPE_CHECKING:
    from aiohttp import ClientRequest, ClientTimeout
    from aiohttp.tracing import Trace

#: What an answer may take before its body begins: far above any honest header block, so that
#: endless headers or interim answers end soon.
MAX_HEADER_BYTES: Final = 262_144


class TimedHandler(ResponseHandler):
    """aiohttp's protocol, telling the trial when the first byte came and why the end did.

    Attributes:
        lost: what the connection ended with, if it ended other than by a FIN.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, progress: Progress) -> None:
        super().__init__(loop)
        self.lost: BaseException | None = None
        self._progress = progress
        self._header_bytes = 0

    def data_received(self, data: bytes) -> None:
        """Pass bytes on, up to the limit on headers while there is no status yet."""
        progress = self._progress
        if progress.status is None and data:
            progress.answered()
            self._header_bytes += len(data)
            if self._header_bytes > MAX_HEADER_BYTES:
                self.set_exception(FetchError(failure.HTTP_FAILED))
                self.abort()
                return
        super().data_received(data)

    def connection_lost(self, exc: BaseException | None) -> None:
        """Keep the reason, which aiohttp's own errors only quote."""
        self.lost = exc
        super().connection_lost(exc)


class OneConnection(BaseConnector):
    """Hands out one connection over one connected socket, once.

    Args:
        sock: connected; owned by the connector from the first request on.
        network: whom to trust.
        progress: the trial.

    Attributes:
        handler: the connection, once it is there.
        transport: below it.
    """

    def __init__(self, sock: socket.socket, network: Network, progress: Progress) -> None:
        super().__init__(force_close=True)
        self.handler: TimedHandler | None = None
        self.transport: asyncio.Transport | None = None
        self._sock = sock
        self._network = network
        self._progress = progress

    async def _create_connection(
        self,
        req: ClientRequest,
        traces: list[Trace],
        timeout: ClientTimeout,  # noqa: ASYNC109 - aiohttp names it; the trial has its own limit
    ) -> ResponseHandler:
        """Answer aiohttp's call for a connection: the hook its own connectors implement."""
        del req, traces, timeout
        loop = asyncio.get_running_loop()
        self.transport, self.handler = await open_transport(
            self._sock,
            lambda: TimedHandler(loop, self._progress),
            self._network,
            self._progress,
        )
        return self.handler
