"""The UDP relay: stands at a service's port and carries each datagram over the wire."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final, cast

from probe.lab.actions import Packet
from probe.lab.censor import Fate
from probe.lab.loopback.wire import Wire

#: IPv4 and UDP.
HEADER_BYTES: Final = 28
#: Clients remembered at once; the one that spoke longest ago is forgotten first.
MOST_CLIENTS: Final = 256

Peer = tuple[str, int]


class _Back(asyncio.DatagramProtocol):
    """The socket towards the server, for one client."""

    def __init__(self, answer: Callable[[bytes], None]) -> None:
        self.transport: asyncio.DatagramTransport | None = None
        self._early: list[bytes] = []
        self._answer = answer
        self._closed = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.DatagramTransport", transport)
        for data in self._early:
            self.transport.sendto(data)
        if self._closed:
            self.transport.abort()

    def datagram_received(self, data: bytes, addr: Peer) -> None:  # noqa: ARG002 - asyncio's signature
        self._answer(data)

    def error_received(self, exc: Exception) -> None:
        """A port that nobody listens on is silence, as behind a real network."""

    def send(self, data: bytes) -> None:
        if self.transport is None:
            self._early.append(data)
        else:
            self.transport.sendto(data)

    def close(self) -> None:
        self._closed = True
        if self.transport is not None:
            self.transport.abort()


class UdpRelay(asyncio.DatagramProtocol):
    """One port of a service.

    Args:
        wire: the line and the censor.
        site: the address and port it has in the lab's world.
        server: where the real server listens.

    Attributes:
        address: where it listens.
    """

    def __init__(self, wire: Wire, site: Peer, server: Peer) -> None:
        self._wire = wire
        self._site = site
        self._server = server
        self._backs: dict[Peer, _Back] = {}
        self._loop = asyncio.get_running_loop()
        self._tasks: set[asyncio.Task[object]] = set()
        self._transport: asyncio.DatagramTransport | None = None
        self.address: Peer = ("", 0)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self._transport = cast("asyncio.DatagramTransport", transport)
        self.address = transport.get_extra_info("sockname")

    def datagram_received(self, data: bytes, addr: Peer) -> None:
        """Carry a client's datagram up."""
        back = self._back(addr)
        self._send("up", addr, data, lambda: back.send(data))

    def close(self) -> None:
        """Close every socket."""
        for back in self._backs.values():
            back.close()
        if self._transport is not None:
            self._transport.abort()

    def _back(self, client: Peer) -> _Back:
        back = self._backs.pop(client, None)
        if back is None:
            back = _Back(lambda data: self._answer(client, data))
            opened = self._loop.create_datagram_endpoint(lambda: back, remote_addr=self._server)
            task: asyncio.Task[object] = self._loop.create_task(opened)
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
            if len(self._backs) >= MOST_CLIENTS:
                self._backs.pop(next(iter(self._backs))).close()
        self._backs[client] = back
        return back

    def _answer(self, client: Peer, data: bytes) -> None:
        transport = self._transport
        if transport is not None:
            self._send("down", client, data, lambda: transport.sendto(data, client))

    def _send(self, direction: str, client: Peer, data: bytes, arrived: Callable[[], None]) -> None:
        packet = Packet(
            flow=("udp", client, self._site),
            direction="up" if direction == "up" else "down",
            address=self._site[0],
            port=self._site[1],
            transport="udp",
            payload=data,
            size_bytes=len(data) + HEADER_BYTES,
        )
        self._wire.send(packet, arrived, _lost)


def _lost(_: Fate) -> None:
    """Nobody tells a UDP sender."""


async def relay_udp(wire: Wire, site: Peer, server: Peer, listen: str) -> UdpRelay:
    """Stand for one UDP port of a service.

    Args:
        wire: the line and the censor.
        site: the address and port it has in the lab's world.
        server: where the real server listens.
        listen: the loopback address to listen on; the port is free choice.

    Returns:
        The open relay.
    """
    _, relay = await asyncio.get_running_loop().create_datagram_endpoint(
        lambda: UdpRelay(wire, site, server), local_addr=(listen, 0)
    )
    return relay
