"""The TCP relay: stands at a service's address and carries each connection over the wire."""

from __future__ import annotations

import asyncio
import itertools
import socket
import struct
from collections.abc import Callable
from functools import partial
from typing import Final, cast

from probe.lab.actions import Packet
from probe.lab.loopback.stream import BUFFER_BYTES, Stream
from probe.lab.loopback.wire import Wire
from probe.lab.rules import Direction

#: SO_LINGER on with no time: closing sends a RST.
_LINGER: Final = struct.pack("ii", 1, 0)

Peer = tuple[str, int]

_numbers = itertools.count()


class Origin(asyncio.Protocol):
    """One socket of a relayed connection: what it reads goes into a stream, or waits for it."""

    def __init__(self, lost: Callable[[], None]) -> None:
        self.transport: asyncio.Transport | None = None
        self.into: Stream | None = None
        self.fed_by: Stream | None = None
        self._lost = lost

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self.transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """Hand bytes to the stream; stop reading while it is full."""
        assert self.into is not None
        self.into.write(data)
        self.throttle()

    def throttle(self) -> None:
        """Read on, or not, by how much waits in the stream."""
        if self.into is None or self.transport is None or self.transport.is_closing():
            return
        if self.into.backlog_bytes >= BUFFER_BYTES:
            self.transport.pause_reading()
        elif self.into.backlog_bytes < BUFFER_BYTES // 2:
            self.transport.resume_reading()

    def eof_received(self) -> bool:
        """End the stream; keep the other way open if anything may still come."""
        assert self.into is not None
        self.into.finish()
        return self.into.answerable

    def pause_writing(self) -> None:
        """Close the window: the application does not read."""
        if self.fed_by is not None:
            self.fed_by.held = True

    def resume_writing(self) -> None:
        """Open the window again."""
        if self.fed_by is not None:
            self.fed_by.held = False
            self.fed_by.pump()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        """Tell the connection."""
        self._lost()


class Connection:
    """One relayed connection: client and server sockets, a stream each way.

    Args:
        wire: the line and the censor.
        site: the address and port that the relay stands for.
        server: where the real server listens.
        closed: told when nothing moves on it any more.
    """

    def __init__(
        self, wire: Wire, site: Peer, server: Peer, closed: Callable[[Connection], None]
    ) -> None:
        self._server = server
        self._closed = closed
        self._loop = asyncio.get_running_loop()
        self._task: asyncio.Task[None] | None = None
        self._flow = next(_numbers)
        self.client = Origin(self.close)
        self._far = Origin(self._server_gone)
        self._up = self._stream(wire, site, "up", self._far)
        self._down = self._stream(wire, site, "down", self.client)
        self.client.into, self._far.into = self._up, self._down
        self.client.fed_by, self._far.fed_by = self._down, self._up
        self._early = bytearray()
        self._ends = 0
        # The first segment, empty, is the SYN: when it has come through, the server is called.
        self._up.open()

    def _stream(self, wire: Wire, site: Peer, direction: Direction, out: Origin) -> Stream:
        template = Packet(
            flow=("tcp", self._flow),
            direction=direction,
            address=site[0],
            port=site[1],
            transport="tcp",
            payload=b"",
            size_bytes=0,
        )
        return Stream(
            wire,
            template,
            partial(self._deliver, out),
            partial(self._end, out),
            partial(self._reset, self.client if direction == "up" else self._far),
        )

    def _deliver(self, out: Origin, data: bytes) -> None:
        if out is self._far and self._task is None:
            self._task = self._loop.create_task(self._connect())
        if out.transport is None:
            self._early += data
        elif not out.transport.is_closing():
            out.transport.write(data)
        self.client.throttle()
        self._far.throttle()

    async def _connect(self) -> None:
        try:
            await self._loop.create_connection(lambda: self._far, *self._server)
        except OSError:
            # Nobody listens: what a client sees of that is a refusal.
            self._reset(self.client)
            return
        assert self._far.transport is not None
        if self._early:
            self._far.transport.write(bytes(self._early))

    def _end(self, out: Origin) -> None:
        if out.transport is not None and not out.transport.is_closing():
            out.transport.write_eof()
        self._ends += 1
        if self._ends == len((self.client, self._far)):
            for origin in (self.client, self._far):
                if origin.transport is not None:
                    origin.transport.close()

    def _server_gone(self) -> None:
        # What the server sent is still on the wire; its end is told after the last byte.
        self._down.finish()
        self._up.closed = True

    def _reset(self, sender: Origin, farewell: bytes = b"") -> None:
        for origin in (self.client, self._far):
            if origin.transport is None or origin.transport.is_closing():
                continue
            if farewell and origin is sender:
                origin.transport.write(farewell)
            else:
                raw = origin.transport.get_extra_info("socket")
                raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER)
        self.close()

    def close(self) -> None:
        """Close both sockets at once; nothing moves after it."""
        self._up.closed = self._down.closed = True
        for origin in (self.client, self._far):
            if origin.transport is not None:
                origin.transport.abort()
        if self._task is not None:
            self._task.cancel()
        self._closed(self)


class TcpRelay:
    """One TCP port of a service, and the connections through it.

    Args:
        wire: the line and the censor.
        site: the address and port it has in the lab's world.
        server: where the real server listens.
        listen: the loopback address to listen on; the port is free choice.

    Attributes:
        address: where it listens, once opened.
    """

    def __init__(self, wire: Wire, site: Peer, server: Peer, listen: str) -> None:
        self._make = partial(Connection, wire, site, server, self._forget)
        self._connections: set[Connection] = set()
        self._listener: asyncio.Server | None = None
        self.address: Peer = (listen, 0)

    async def open(self) -> None:
        """Begin to listen."""
        raw = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        # Accepted sockets inherit it: an upload must feel the wire, not the kernel's buffer.
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER_BYTES)
        raw.bind(self.address)
        self._listener = await asyncio.get_running_loop().create_server(self._accept, sock=raw)
        self.address = raw.getsockname()

    def close(self) -> None:
        """Stop listening and close every connection."""
        if self._listener is not None:
            self._listener.close()
        for connection in tuple(self._connections):
            connection.close()

    def _accept(self) -> Origin:
        connection = self._make()
        self._connections.add(connection)
        return connection.client

    def _forget(self, connection: Connection) -> None:
        self._connections.discard(connection)
