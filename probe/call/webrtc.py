"""A real WebRTC call: ICE, DTLS-SRTP and Opus by aiortc, its packets seen as they leave and come.

The far end's own WebRTC stack decrypts each RTP packet and sends it back under the same number, so
the call fits the same ledger as every other flow. It is negotiated over the far end's HTTPS. Of the
addresses that ICE gathers none is sent or kept: the far end sees where a check comes from, and the
probe knows where the far end is.

Sources: RFC 8829 (JSEP); RFC 8445 (ICE); RFC 5764 (DTLS-SRTP); RFC 7587 (Opus in RTP); RFC 5761,
section 4 (telling RTP from RTCP).
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final

import aiohttp

from probe import failure
from probe.call.ledger import Ledger
from probe.call.order import MISSING, WEBRTC, CallOrder, CallOutcome
from probe.call.profiles import INTERVAL_S, packets
from probe.call.signalling import Signalling, Unwilling, at_address, without_addresses
from probe.call.wire import Arrivals, Reply
from probe.measurement import Call, WebRtc
from probe.network import Network
from probe.trace import pack_trace

if TYPE_CHECKING:
    import aiortc

    from probe.call.tone import ToneTrack

_NS: Final = 1_000_000_000
_CONNECT_LIMIT_S: Final = 15.0
#: aioice gives a TURN server 5 s; one that answered with less than an address took less.
_TURN_LIMIT_S: Final = 4.5
_CLOCK_HZ: Final = 48_000
#: Second byte of RTCP, and of what looks like it (RFC 5761).
_RTCP: Final = range(192, 224)
_RTP_HEADER_BYTES: Final = 12


class WebRtcTrial:
    """One such call, with the phases of any other flow."""

    def __init__(self, order: CallOrder) -> None:
        """Prepare; nothing is opened.

        Args:
            order: what to make; its host and port are the far end's web side.
        """
        self.order = order
        self.interval_ns = round(INTERVAL_S[order.profile] * _NS)
        count = packets(order.profile, order.duration_s)
        planned_ns = tuple(index * self.interval_ns for index in range(count))
        self.ledger = Ledger(planned_ns, (0,) * count, far_end=True)
        self._sizes = [0] * count
        self._failure: str | None = None
        self._setup: str = "no_answer"
        self._setup_s: float | None = None
        self._address: str | None = None
        self._stats: WebRtc | None = None
        self._signalling: Signalling | None = None
        self._connection: aiortc.RTCPeerConnection | None = None
        self._track: ToneTrack | None = None
        self._start_ns = 0
        self._base: int | None = None
        self._whole = False

    async def set_up(self, network: Network) -> None:
        """Negotiate, and connect until media could flow."""
        begun_ns = time.monotonic_ns()
        try:
            await self._connect(network)
        except ImportError:
            self._failure = f"{failure.UNKNOWN} {MISSING}"
        except Unwilling as error:
            self._setup, self._failure = "rejected", f"{failure.UNKNOWN} {error}"
        except TimeoutError:
            self._failure = failure.TIMEOUT
        except aiohttp.ClientConnectorError as error:
            self._failure = failure.from_oserror(error.os_error)
        except (aiohttp.ClientError, OSError) as error:
            self._failure = (
                failure.from_oserror(error) if isinstance(error, OSError) else failure.HTTP_FAILED
            )
        else:
            self._setup = "ok" if self._failure is None else "no_answer"
            self._setup_s = (time.monotonic_ns() - begun_ns) / _NS

    async def media(self, start_ns: int) -> None:
        """Let the tone play from ``start_ns`` (monotonic) on, and wait for its end."""
        if self._setup != "ok" or self._track is None:
            return
        self._start_ns = start_ns
        self._track.play(start_ns)
        await self._track.ended.wait()
        # A stack that hears nothing any more hangs up by itself (RFC 7675).
        self._whole = self._track.is_over

    async def finish(self) -> None:
        """Wait for the last packets, then ask both stacks what they counted."""
        if self._setup != "ok" or self._connection is None or self._signalling is None:
            return
        await asyncio.sleep(self.ledger.wait_ns() / _NS)
        self._stats = _stats(await self._connection.getStats(), relayed=self.order.turn is not None)
        with contextlib.suppress(TimeoutError, aiohttp.ClientError, OSError, Unwilling):
            # Without the report the losses stay, without a direction.
            self._learn(await self._signalling.close())

    async def close(self) -> None:
        """Close everything; safe to call twice."""
        if self._connection is not None:
            await self._connection.close()
        if self._signalling is not None:
            await self._signalling.leave()

    def outcome(self, loop_lag_s: float | None, clock_step_s: float) -> CallOutcome:
        """Return what became of it."""
        self.ledger.sizes = tuple(self._sizes)
        call = Call(
            host=self.order.host,
            address=self._address,
            port=self.order.port,
            profile=self.order.profile,
            shape=WEBRTC,
            interval_s=self.interval_ns / _NS,
            planned=len(self._sizes),
            setup=self._setup,  # type: ignore[arg-type] # only the words of Call are put there
            setup_s=self._setup_s,
            ended="complete" if self._whole or self._setup != "ok" else "silence",
            trace=pack_trace(self.ledger.columns()),
            webrtc=self._stats,
            **self.ledger.counts(),
        )
        return CallOutcome(
            failure=self._failure, call=call, loop_lag_s=loop_lag_s, clock_step_s=clock_step_s
        )

    async def _connect(self, network: Network) -> None:
        import aiortc  # noqa: PLC0415 - an extra; everything else works without it
        from aiortc.contrib.media import MediaBlackhole  # noqa: PLC0415 - as above

        from probe.call.tone import ToneTrack  # noqa: PLC0415 - needs it too

        addresses, answer = await network.resolve(self.order.host, self.order.port)
        if not addresses:
            self._failure = answer.failure
            return
        self._address = addresses[0][0]
        self._signalling = Signalling(self.order.host, self.order.port, network)
        configuration = await self._configuration(network)
        self._connection = connection = aiortc.RTCPeerConnection(configuration)
        self._track = await asyncio.to_thread(ToneTrack, len(self._sizes), self.order.seed)
        sender = connection.addTrack(self._track)
        sink = MediaBlackhole()
        connection.on("track", sink.addTrack)
        begun_s = time.monotonic()
        await connection.setLocalDescription(await connection.createOffer())
        if self.order.turn is not None and " typ relay" not in connection.localDescription.sdp:
            if time.monotonic() - begun_s > _TURN_LIMIT_S:
                raise TimeoutError
            raise Unwilling("TURN server gave no address: is PROBE_TURN_LOGIN right?")
        offer = without_addresses(connection.localDescription.sdp)
        sdp = at_address(await self._signalling.open(offer), addresses[0][0])
        connected = asyncio.Event()

        def state() -> str:
            return str(connection.connectionState)

        def on_state() -> None:
            if state() in ("connected", "failed", "closed"):
                connected.set()

        connection.on("connectionstatechange", on_state)
        watch(sender.transport.transport, self._on_sent, self._on_received)
        try:
            await connection.setRemoteDescription(aiortc.RTCSessionDescription(sdp, "answer"))
        except Exception as error:  # aiortc's parser of what a peer says has no error of its own
            raise Unwilling("far end's answer to a WebRTC offer is none") from error
        await sink.start()
        async with asyncio.timeout(_CONNECT_LIMIT_S):
            await connected.wait()
        if state() != "connected":
            self._failure = failure.TIMEOUT

    async def _configuration(self, network: Network) -> aiortc.RTCConfiguration:
        import aiortc  # noqa: PLC0415 - an extra

        turn = self.order.turn
        if turn is None:
            return aiortc.RTCConfiguration(iceServers=[])
        if not turn.username:
            raise Unwilling("TURN server wants a login: set PROBE_TURN_LOGIN=USERNAME:CREDENTIAL")
        addresses, _ = await network.resolve(turn.host, turn.port)
        # aiortc reads no IPv6 address in a TURN URI.
        host, port = next((a for a in addresses if ":" not in a[0]), (turn.host, turn.port))
        server = aiortc.RTCIceServer(f"turn:{host}:{port}", turn.username, turn.credential)
        policy = aiortc.RTCIceTransportPolicy.RELAY
        return aiortc.RTCConfiguration(iceServers=[server], iceTransportPolicy=policy)

    def _on_sent(self, number: int, size: int) -> None:
        if self._base is None:
            self._base = number
        seq = self._seq(number)
        if seq is not None:
            self._sizes[seq] = size
            self.ledger.sent(seq, time.monotonic_ns() - self._start_ns)

    def _on_received(self, number: int, size: int) -> None:
        del size
        seq = self._seq(number)
        if seq is not None:
            self.ledger.replied(Reply(seq), time.monotonic_ns() - self._start_ns, None)

    def _seq(self, number: int) -> int | None:
        """Turn RTP's 16-bit number into the packet's place in the call."""
        if self._base is None:
            return None
        seq = number - self._base & 0xFFFF
        return seq if seq < len(self._sizes) else None

    def _learn(self, numbers: Sequence[int]) -> None:
        came = {seq for number in numbers if (seq := self._seq(number)) is not None}
        bitmap = sum(1 << seq for seq in came)
        duplicates = len(numbers) - len(set(numbers))
        width = len(self._sizes)
        self.ledger.reported(Arrivals(len(came), 0, width, bitmap, duplicates))


def watch(
    transport: aiortc.RTCIceTransport,
    sent: Callable[[int, int], None],
    received: Callable[[int, int], None],
) -> None:
    """See every RTP packet at the edge of the stack: encrypted, but its header is in the clear.

    Args:
        transport: what carries it; aiortc has no public place to look.
        sent: told number and UDP payload bytes of each that leaves.
        received: the same of each that comes.
    """
    send, recv = transport._send, transport._recv  # noqa: SLF001 - the only place; pinned below 2

    async def watched_send(data: bytes) -> None:
        if (number := rtp_number(data)) is not None:
            sent(number, len(data))
        await send(data)

    async def watched_recv() -> bytes:
        data: bytes = await recv()
        if (number := rtp_number(data)) is not None:
            received(number, len(data))
        return data

    transport._send, transport._recv = watched_send, watched_recv  # noqa: SLF001 - as above


def rtp_number(datagram: bytes) -> int | None:
    """Return the sequence number of an RTP packet; ``None`` for STUN, DTLS, RTCP or anything else.

    Args:
        datagram: a UDP payload.
    """
    if len(datagram) < _RTP_HEADER_BYTES or datagram[0] >> 6 != 2 or datagram[1] in _RTCP:  # noqa: PLR2004 - RTP's version
        return None
    return int.from_bytes(datagram[2:4], "big")


def _stats(report: dict[str, Any], *, relayed: bool) -> WebRtc:
    """Keep what aiortc counted, in our units; its ids, sources and addresses are left out."""
    by_type = {entry.type: entry for entry in report.values()}

    def read(kind: str, name: str) -> Any:
        return getattr(by_type.get(kind), name, None)

    def seconds(ticks: int | None) -> float | None:
        return None if ticks is None else ticks / _CLOCK_HZ

    return WebRtc(
        path="relayed" if relayed else "direct",
        packets_sent=read("outbound-rtp", "packetsSent"),
        bytes_sent=read("outbound-rtp", "bytesSent"),
        packets_received=read("inbound-rtp", "packetsReceived"),
        packets_lost=read("inbound-rtp", "packetsLost"),
        jitter_s=seconds(read("inbound-rtp", "jitter")),
        remote_packets_received=read("remote-inbound-rtp", "packetsReceived"),
        remote_packets_lost=read("remote-inbound-rtp", "packetsLost"),
        remote_jitter_s=seconds(read("remote-inbound-rtp", "jitter")),
        remote_rtt_s=read("remote-inbound-rtp", "roundTripTime"),
        transport_packets_sent=read("transport", "packetsSent"),
        transport_packets_received=read("transport", "packetsReceived"),
        transport_bytes_sent=read("transport", "bytesSent"),
        transport_bytes_received=read("transport", "bytesReceived"),
    )
