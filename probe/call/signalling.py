"""How a WebRTC call is agreed on: offer and answer over the far end's HTTPS, without addresses."""

from __future__ import annotations

import asyncio
import socket
from http import HTTPStatus
from typing import Final, TypeVar

import aiohttp
import msgspec
from aiohttp.abc import AbstractResolver, ResolveResult

from probe.network import Network

#: Nothing that is said here is longer.
MOST_BYTES: Final = 64 << 10
_LIMIT_S: Final = 10.0
_DISCARD_PORT: Final = 9
_PORT_AT: Final = 5
_MOST_CANDIDATES: Final = 8

_Said = TypeVar("_Said", bound=msgspec.Struct)


class Unwilling(Exception):  # noqa: N818 - an answer, not a fault
    """The far end makes no such calls, or no more of them now."""


class Offer(msgspec.Struct, frozen=True):
    """What the probe sends: its session description."""

    sdp: str


class Answer(msgspec.Struct, frozen=True):
    """What the far end answers: the call's name, and its own session description."""

    id: str
    sdp: str


class Report(msgspec.Struct, frozen=True):
    """What the far end says at the end: RTP numbers in the order they came, repeats included."""

    numbers: tuple[int, ...]


def read(text: bytes, kind: type[_Said]) -> _Said:
    """Read what the other side said.

    Args:
        text: JSON, or anything.
        kind: what it should be.

    Returns:
        It.

    Raises:
        ValueError: it is something else.
    """
    try:
        return msgspec.json.decode(text, type=kind)
    except RecursionError as error:  # brackets in brackets, deeper than anything that is meant
        raise ValueError(f"found nesting without end, expected {kind.__name__}") from error


class Signalling:
    """The probe's side of one negotiation."""

    def __init__(self, host: str, port: int, network: Network) -> None:
        """Prepare.

        Args:
            host: the far end's name.
            port: of its web side.
            network: how the name is resolved and certificates are checked.
        """
        self._url = f"https://{f'[{host}]' if ':' in host else host}:{port}/webrtc"
        connector = aiohttp.TCPConnector(
            ssl=network.tls_context(), resolver=_Resolver(network), use_dns_cache=False
        )
        limit = aiohttp.ClientTimeout(total=_LIMIT_S)
        self._session = aiohttp.ClientSession(connector=connector, timeout=limit, trust_env=False)
        self._id: str | None = None

    async def open(self, sdp: str) -> str:
        """Offer a call.

        Args:
            sdp: our session description.

        Returns:
            The far end's.

        Raises:
            Unwilling: it answered that it will not.
            aiohttp.ClientError: no connection, or not a far end.
            TimeoutError: no answer in time.
        """
        answer = await self._ask("POST", self._url, Answer, msgspec.json.encode(Offer(sdp)))
        self._id = answer.id
        return answer.sdp

    async def close(self) -> tuple[int, ...]:
        """End the call; return the RTP numbers that came. Raises as :meth:`open`."""
        report = await self._ask("DELETE", f"{self._url}/{self._id}", Report)
        self._id = None
        return report.numbers

    async def leave(self) -> None:
        """Close the connection; safe to call twice."""
        await self._session.close()

    async def _ask(self, method: str, url: str, kind: type[_Said], body: bytes = b"") -> _Said:
        async with self._session.request(method, url, data=body, allow_redirects=False) as response:
            if response.status != HTTPStatus.OK:
                raise Unwilling(f"far end answered {response.status} to a WebRTC offer")
            try:
                async with asyncio.timeout(_LIMIT_S):
                    text = await response.content.read(MOST_BYTES + 1)
                    while len(text) <= MOST_BYTES and (more := await response.content.read(4096)):
                        text += more
                return read(text[: MOST_BYTES + 1], kind)
            except ValueError as error:
                raise Unwilling("far end's answer to a WebRTC offer is none") from error


def without_addresses(sdp: str) -> str:
    """Take every candidate and address out of a session description.

    Args:
        sdp: as the stack wrote it.

    Returns:
        The same without ICE candidates, with 0.0.0.0 in every other place of an address.
    """
    kept = []
    for line in sdp.splitlines():
        if line.startswith(("a=candidate:", "a=end-of-candidates")):
            continue
        word = line.split("=", 1)[0]
        if word == "c" or line.startswith("a=rtcp:"):
            line = "c=IN IP4 0.0.0.0" if word == "c" else "a=rtcp:9 IN IP4 0.0.0.0"  # noqa: PLW2901 - rewritten
        elif word == "o":
            line = " ".join((*line.split(" ")[:3], "IN", "IP4", "0.0.0.0"))  # noqa: PLW2901, S104 - as above; RFC 8866's unspecified
        elif word == "m":
            kind, _, rest = line.partition(" ")
            line = f"{kind} {_DISCARD_PORT} {rest.partition(' ')[2]}"  # noqa: PLW2901 - as above
        kept.append(line)
    return "\r\n".join(kept) + "\r\n"


def ports_of(sdp: str) -> tuple[int, ...]:
    """List the UDP ports of the candidates in a session description.

    Args:
        sdp: as the stack wrote it.

    Returns:
        Each once, in order, and no more than a few.
    """
    found = []
    for line in sdp.splitlines():
        words = line.split(" ")
        # RFC 8839, section 5.1: foundation, component, transport, priority, address, port.
        if line.startswith("a=candidate:") and len(words) > _PORT_AT and words[2].lower() == "udp":
            port = words[_PORT_AT]
            if port.isascii() and port.isdecimal() and 0 < int(port[:6]) < 1 << 16:
                found.append(int(port[:6]))
    return tuple(dict.fromkeys(found))[:_MOST_CANDIDATES]


def with_candidates(sdp: str, address: str, ports: tuple[int, ...]) -> str:
    """Put host candidates into the one media section of a session description.

    Args:
        sdp: without any.
        address: theirs.
        ports: theirs.

    Returns:
        The description with one candidate a port.
    """
    lines = [
        f"a=candidate:{index} 1 udp {2130706431 - index} {address} {port} typ host"
        for index, port in enumerate(ports)
    ]
    return sdp + "".join(f"{line}\r\n" for line in lines)


def at_address(sdp: str, address: str) -> str:
    """Say that every candidate is at the address we reached its owner at.

    A server behind an address translation does not know its own.

    Args:
        sdp: the far end's.
        address: where the far end is.

    Returns:
        The description with these candidates and no others.
    """
    return (
        with_candidates(without_addresses(sdp), address, ports_of(sdp)) + "a=end-of-candidates\r\n"
    )


class _Resolver(AbstractResolver):
    """The probe's own way of finding hosts, for aiohttp."""

    def __init__(self, network: Network) -> None:
        self._network = network

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        del family
        addresses, answer = await self._network.resolve(host, port)
        if not addresses:
            raise OSError(None, answer.failure)
        return [
            ResolveResult(
                hostname=host,
                host=address,
                port=at,
                family=socket.AF_INET6 if ":" in address else socket.AF_INET,
                proto=0,
                flags=socket.AI_NUMERICHOST,
            )
            for address, at in addresses
        ]

    async def close(self) -> None:
        """Close nothing."""
