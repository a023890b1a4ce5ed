"""One direction of a relayed TCP connection: bytes in, segments over the wire, bytes out."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Final

import msgspec

from probe.lab.actions import Packet
from probe.lab.censor import Fate
from probe.lab.loopback.sender import HEADER_BYTES, MSS_BYTES, Sender
from probe.lab.loopback.wire import Wire

#: How much the relay takes in ahead of the wire; small, so that the kernel hides no timing.
BUFFER_BYTES: Final = 65_536


class Segment(msgspec.Struct, kw_only=True):
    """One segment on its way; ``number`` counts them, ``tries`` its transmissions."""

    number: int
    data: bytes
    sent_at: float = 0.0
    tries: int = 0


class Stream:
    """Carries bytes over a wire as a TCP sender would; a driver of :class:`Sender`.

    Args:
        wire: the line and the censor.
        template: a packet of this flow and direction; its payload and size are replaced.
        deliver: takes the bytes that have arrived, in order.
        ended: called once all bytes and the end have arrived.
        reset: called when the censor resets the flow, with what the sender is told at the end.
    """

    def __init__(
        self,
        wire: Wire,
        template: Packet,
        deliver: Callable[[bytes], None],
        ended: Callable[[], None],
        reset: Callable[[bytes], None],
    ) -> None:
        self._wire = wire
        self._template = template
        self._deliver = deliver
        self._ended = ended
        self._reset = reset
        self._loop = asyncio.get_running_loop()
        self._sender = Sender(wire.line.rtt_s, wire.line.congestion_control)
        self._waiting = bytearray()
        self._again: deque[Segment] = deque()
        self._arrived: dict[int, bytes] = {}
        self._next_number = self._next_arrival = 0
        self._finished = self._told = False
        self.closed = False
        self.held = False

    @property
    def backlog_bytes(self) -> int:
        """Bytes taken in that have not left yet."""
        return len(self._waiting)

    @property
    def answerable(self) -> bool:
        """Whether any segment has come through, so that the other end knows of this flow."""
        return self._next_arrival > 0

    def open(self) -> None:
        """Send an empty first segment, in the place of the SYN."""
        self._transmit(self._number(b""))

    def write(self, data: bytes) -> None:
        """Take bytes in."""
        self._waiting += data
        self.pump()

    def finish(self) -> None:
        """Take in the end of the stream."""
        self._finished = True
        self._tell_end()

    def pump(self) -> None:
        """Send what the window allows; call it again whenever ``held`` was lifted."""
        while not (self.closed or self.held):
            if self._again:
                if not self._sender.may_send(len(self._again[0].data)):
                    return
                self._transmit(self._again.popleft())
            elif self._waiting and self._sender.may_send(min(MSS_BYTES, len(self._waiting))):
                self._transmit(self._number(self._cut()))
            else:
                return

    def _cut(self) -> bytes:
        size = min(MSS_BYTES, len(self._waiting))
        if room := self._wire.room_bytes(self._template):
            size = min(size, room)
        data = bytes(self._waiting[:size])
        del self._waiting[:size]
        return data

    def _number(self, data: bytes) -> Segment:
        self._next_number += 1
        return Segment(number=self._next_number - 1, data=data)

    def _transmit(self, segment: Segment) -> None:
        segment.sent_at = self._loop.time()
        segment.tries += 1
        self._sender.sent(len(segment.data))
        packet = msgspec.structs.replace(
            self._template, payload=segment.data, size_bytes=len(segment.data) + HEADER_BYTES
        )
        self._wire.send(
            packet, lambda: self._on_arrival(segment), lambda f: self._on_loss(segment, f)
        )

    def _on_arrival(self, segment: Segment) -> None:
        if self.closed:
            return
        # The acknowledgement's way back is not a packet here: only its time is.
        self._loop.call_later(self._wire.line.rtt_s / 2, self._on_acknowledgement, segment)
        self._arrived[segment.number] = segment.data
        while (data := self._arrived.pop(self._next_arrival, None)) is not None:
            self._next_arrival += 1
            self._deliver(data)
        self._tell_end()

    def _on_acknowledgement(self, segment: Segment) -> None:
        self._sender.acknowledged(len(segment.data), self._loop.time() - segment.sent_at)
        self.pump()

    def _on_loss(self, segment: Segment, fate: Fate) -> None:
        if self.closed:
            return
        if fate.reset:
            self._reset(fate.farewell)
            return
        after_s, timeout = self._sender.notices(again=segment.tries > 1)
        self._loop.call_later(after_s, self._on_notice, segment, timeout)

    def _on_notice(self, segment: Segment, timeout: bool) -> None:
        self._sender.declared_lost(len(segment.data), self._loop.time(), timeout=timeout)
        self._again.append(segment)
        self.pump()

    def _tell_end(self) -> None:
        done = self._finished and not self._waiting and self._next_arrival == self._next_number
        if done and not self._told:
            self._told = True
            self._ended()
