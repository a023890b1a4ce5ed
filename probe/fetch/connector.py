"""aiohttp over a socket that is connected already, so that each phase is timed by itself.

aiohttp's own connector times TCP and TLS as one. This one hands out the single connection it was
given: what aiohttp calls "connect" is then the TLS handshake and nothing else.
"""

from __future__ import annotations

import asyncio
import socket
from typing import TYPE_CHECKING

from aiohttp import BaseConnector, ServerDisconnectedError, StreamReader
from aiohttp.client_proto import ResponseHandler

from probe.fetch.errors import FetchError
from probe.fetch.progress import Progress
from probe.fetch.secure import open_transport
from probe.network import Network

if TYPE_CHECKING:
    from aiohttp import ClientRequest, ClientTimeout
    from aiohttp.tracing import Trace


class TimedHandler(ResponseHandler):
    """aiohttp's protocol, telling the trial when the first byte came and why the end did.

    Attributes:
        lost: what the connection ended with, if it ended other than by a FIN of the peer.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, progress: Progress) -> None:
        super().__init__(loop)
        self.lost: BaseException | None = None
        self._progress = progress
        self._gone = False
        self._content: StreamReader | None = None

    def data_received(self, data: bytes) -> None:
        """Pass bytes on as long as they mostly are the body's."""
        self._progress.answered()
        try:
            self._progress.received(len(data))
        except FetchError as error:
            self.lost = error
            assert self.transport is not None
            self.transport.abort()
            return
        super().data_received(data)

    def connection_lost(self, exc: BaseException | None) -> None:
        """Keep the reason, which aiohttp's own errors only quote."""
        self.lost = self.lost or exc
        super().connection_lost(exc)
        self._gone = True
        if self._content is not None:
            self._settle(self._content)

    def close(self) -> None:
        """Close at once: aiohttp's closing handshake would go on in the background."""
        self.abort()

    def guard(self, content: StreamReader) -> None:
        """See to it that whoever reads the body learns of the connection's end.

        aiohttp ends the wait for a body that broke off, but not always for one that broke the
        rules of chunks.

        Args:
            content: the body of the one answer.
        """
        self._content = content
        if self._gone:
            self._settle(content)

    def _settle(self, content: StreamReader) -> None:
        if not content.is_eof() and content.exception() is None:
            content.set_exception(self.exception() or self.lost or ServerDisconnectedError())


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
        if self.handler is not None:
            # aiohttp asks again for a request that may be repeated; a trial is one connection.
            raise ServerDisconnectedError
        loop = asyncio.get_running_loop()
        self.transport, self.handler = await open_transport(
            self._sock,
            lambda: TimedHandler(loop, self._progress),
            self._network,
            self._progress,
        )
        return self.handler
