"""The far end's side of a WebRTC call: every RTP packet goes back under the number it came with.

Off unless asked for. ICE proves the caller's address before any media; the far end sends no check
to an address it was told in an offer, only to the one that the offer came from. Calls, their time
and their packets are bounded, and nothing of a caller is written anywhere.

    POST   /webrtc       {"sdp": offer}   ->  {"id": name, "sdp": answer}
    DELETE /webrtc/NAME                   ->  {"numbers": those of the RTP packets that came}
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Final

import msgspec
from aiohttp import web

from probe.call.signalling import (
    MOST_BYTES,
    Answer,
    Offer,
    Report,
    read,
    with_candidates,
    without_addresses,
)
from probe.farend.admission import Places
from probe.farend.web import requester

if TYPE_CHECKING:
    import aiortc

_DISCARD_PORT: Final = 9
_NEGOTIATION_S: Final = 10.0


class WebRtcLimits(msgspec.Struct, frozen=True, kw_only=True):
    """What it gives at most.

    Attributes:
        calls: at a time.
        client_calls: of them, to one client.
        call_s: length of one, with its negotiation.
        call_packets: echoed in one.
        call_bytes: echoed in one.
    """

    calls: int = 16
    client_calls: int = 2
    call_s: float = 90.0
    call_packets: int = 4000
    call_bytes: int = 2_000_000


def is_possible() -> bool:
    """Say whether aiortc is installed."""
    return find_spec("aiortc") is not None


class WebRtcSide:
    """All calls of a far end."""

    def __init__(self, limits: WebRtcLimits) -> None:
        """Start with none.

        Args:
            limits: what to give at most.
        """
        self._limits = limits
        self._calls: dict[str, _Call] = {}
        self._places = Places(limits.calls, limits.client_calls)
        for name in ("aioice", "aiortc"):  # their lines name addresses
            logging.getLogger(name).addHandler(logging.NullHandler())
            logging.getLogger(name).propagate = False

    def add_to(self, app: web.Application) -> None:
        """Add the routes to a web side, and the end of all calls to its end."""
        app.router.add_post("/webrtc", self._open)
        app.router.add_delete("/webrtc/{name:[A-Za-z0-9_-]{1,64}}", self._close)
        app.on_shutdown.append(self._close_all)

    async def _open(self, request: web.Request) -> web.Response:
        client = requester(request)
        self._places.take(client)
        name = secrets.token_urlsafe(16)
        call = self._calls[name] = _Call(self._limits, client)
        call.timer = asyncio.get_running_loop().call_later(
            self._limits.call_s, lambda: asyncio.ensure_future(self._end(name))
        )
        try:
            async with asyncio.timeout(_NEGOTIATION_S):
                sdp = await call.answer(await _offer(request), request.remote or "::")
        except BaseException as error:
            await self._end(name)
            if isinstance(error, TimeoutError):
                raise web.HTTPRequestTimeout(text="an offer may not take so long\n") from error
            raise
        return _json(Answer(name, sdp))

    async def _close(self, request: web.Request) -> web.Response:
        call = await self._end(request.match_info["name"])
        if call is None:
            raise web.HTTPNotFound(text="no such call, or it is over\n")
        return _json(Report(tuple(call.numbers)))

    async def _end(self, name: str) -> _Call | None:
        call = self._calls.pop(name, None)
        if call is None:
            return None
        self._places.leave(call.client)
        await call.close()
        return call

    async def _close_all(self, app: web.Application) -> None:
        del app
        for name in list(self._calls):
            await self._end(name)


class _Call:
    """One call."""

    def __init__(self, limits: WebRtcLimits, client: str) -> None:
        self.client = client
        self.numbers: list[int] = []
        self.timer: asyncio.TimerHandle | None = None
        self._limits = limits
        self._bytes = 0
        self._connection: aiortc.RTCPeerConnection | None = None

    async def answer(self, sdp: str, remote: str) -> str:
        """Take an offer that came from an address; return the answer."""
        import aiortc  # noqa: PLC0415 - an extra
        from aiortc.contrib.media import MediaBlackhole  # noqa: PLC0415 - as above

        if sdp.count("\nm=") != 1 or "\nm=audio " not in sdp:
            raise _no_offer()
        configuration = aiortc.RTCConfiguration(iceServers=[])
        self._connection = connection = aiortc.RTCPeerConnection(configuration)
        sink = MediaBlackhole()
        connection.on("track", sink.addTrack)
        # The port is nobody's: checks come from the caller, and are answered where they came from.
        offer = with_candidates(without_addresses(sdp), remote, (_DISCARD_PORT,))
        try:
            await connection.setRemoteDescription(aiortc.RTCSessionDescription(offer, "offer"))
            (transceiver,) = connection.getTransceivers()
        except (
            Exception
        ) as error:  # aiortc's parser of what a stranger says has no error of its own
            raise _no_offer() from error
        transceiver.direction = "sendrecv"
        self._echo(transceiver)
        await connection.setLocalDescription(await connection.createAnswer())
        await sink.start()
        answered: str = connection.localDescription.sdp
        return answered

    async def close(self) -> None:
        """End it."""
        if self.timer is not None:
            self.timer.cancel()
        if self._connection is not None:
            await self._connection.close()

    def _echo(self, transceiver: Any) -> None:
        """Send each packet back at once, beside what the stack makes of it."""
        from aiortc.rtp import RtpPacket  # noqa: PLC0415 - an extra

        sender, receiver = transceiver.sender, transceiver.receiver
        take = receiver._handle_rtp_packet  # noqa: SLF001 - aiortc has no public place; pinned below 2

        async def echo(packet: RtpPacket, arrival_time_ms: int) -> None:
            if self._may(len(packet.payload)):
                self.numbers.append(packet.sequence_number)
                back = RtpPacket(
                    payload_type=packet.payload_type,
                    marker=packet.marker,
                    sequence_number=packet.sequence_number,
                    timestamp=packet.timestamp,
                    ssrc=sender._ssrc,  # noqa: SLF001 - as above
                    payload=packet.payload,
                )
                await receiver.transport._send_rtp(back.serialize())  # noqa: SLF001 - as above
                await take(packet, arrival_time_ms=arrival_time_ms)

        receiver._handle_rtp_packet = echo  # noqa: SLF001 - as above

    def _may(self, size: int) -> bool:
        self._bytes += size
        return (
            len(self.numbers) < self._limits.call_packets and self._bytes <= self._limits.call_bytes
        )


async def _offer(request: web.Request) -> str:
    if (request.content_length or 0) > MOST_BYTES:
        raise web.HTTPRequestEntityTooLarge(MOST_BYTES, request.content_length or 0)
    body = b""
    async for chunk in request.content.iter_any():
        body += chunk
        if len(body) > MOST_BYTES:
            raise web.HTTPRequestEntityTooLarge(MOST_BYTES, len(body))
    try:
        return read(body, Offer).sdp
    except ValueError as error:
        raise _no_offer() from error


def _no_offer() -> web.HTTPBadRequest:
    return web.HTTPBadRequest(text="expected a WebRTC offer of one audio call\n")


def _json(value: msgspec.Struct) -> web.Response:
    return web.Response(body=msgspec.json.encode(value), content_type="application/json")
