"""One flow on the wire: carries a talk out, at the planned times, and fills the ledger."""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import Final, Literal

from probe import failure
from probe.call.ledger import Ledger
from probe.call.questions import REFUSALS, Questions
from probe.call.talk import Asks, Rejected, Talk
from probe.call.udp import UdpSocket
from probe.call.wire import Arrivals
from probe.clock import Ticker, WallOffset, spin_until

_NS: Final = 1_000_000_000
_ASK_TIMES: Final = 6
_REPORT_TIMES: Final = 3
#: A relay that is silent for so long is left alone; so is a far end that ICMP says is gone.
SILENCE_NS: Final = 3 * _NS

Address = tuple[str, int]
Setup = Literal["ok", "no_answer", "refused", "rejected"]
Ended = Literal["complete", "silence", "unreachable"]


class Flow:
    """One flow. Its phases are called in order: ``set_up``, ``media``, ``finish``, ``close``.

    Attributes:
        setup: how the set-up went; ``ok`` for a relay once it has answered.
        setup_s: how long it took.
        ended: why the media ended.
        failure: ``None``, or what went wrong, in the words of ``probe.failure``.
        address: the peer's, once there was a way to it.
    """

    def __init__(
        self,
        talk: Talk,
        ledger: Ledger,
        wall: WallOffset,
        *,
        relay: bool,
        local_port: int = 0,
        watch_ns: int = 0,
    ) -> None:
        """Prepare; nothing is opened.

        Args:
            talk: the words.
            ledger: where the packets are accounted for.
            wall: the wall clock's offset, shared by the flows of a trial.
            relay: the peer is not ours: the set-up is its first answer, and silence ends it.
            local_port: port to send from; 0 takes a free one.
            watch_ns: how long before each packet is due to wake and watch the clock.
        """
        self.setup: Setup = "no_answer"
        self.setup_s: float | None = None
        self.ended: Ended = "complete"
        self.failure: str | None = None
        self.address: Address | None = None
        self._talk = talk
        self._ledger = ledger
        self._wall = wall
        self._relay = relay
        self._local_port = local_port
        self._watch_ns = watch_ns
        self._loop = asyncio.get_running_loop()
        self._socket: UdpSocket | None = None
        self._questions = Questions(self._send)
        self._start_ns = 0
        self._at = 0
        self._next = b""
        self._seq_by_number: dict[int, int] = {}
        self._media_over: asyncio.Future[None] | None = None
        self._last_error: str | None = None

    async def set_up(self, addresses: tuple[Address, ...]) -> None:
        """Open the socket and go through everything before the first media packet.

        Args:
            addresses: of the peer; the first one there is a way to is used.
        """
        begun_ns = time.monotonic_ns()
        self.failure = self._open(addresses)
        if self.failure is not None:
            return
        if self._relay:
            self.setup = "ok"  # nothing is asked; whether it answers shows in the media
            return
        try:
            await self._questions.put(self._talk.opening(), _ASK_TIMES)
        except Rejected:
            self.setup, self.failure = "rejected", f"{failure.UNKNOWN} far end has no room"
        except TimeoutError:
            self._not_set_up()
        else:
            self.setup = "ok"
            self.setup_s = (time.monotonic_ns() - begun_ns) / _NS

    async def media(self, start_ns: int) -> None:
        """Send every packet at its time, from ``start_ns`` (monotonic) on."""
        if self.setup != "ok":
            return
        self._start_ns = start_ns
        self._questions.refusals = 0
        planned_ns = self._ledger.planned_ns
        self._next = self._talk.media(0)
        self._media_over = self._loop.create_future()
        interval_ns = planned_ns[1] if len(planned_ns) > 1 else _NS
        ticker = Ticker(start_ns - self._watch_ns, interval_ns)
        self._loop.add_reader(ticker.fileno(), self._tick, ticker)
        delay_s = (start_ns - time.monotonic_ns()) / _NS
        beats = [
            self._loop.call_later(delay_s + at_s, self._send, datagram)
            for at_s, datagram in self._talk.during()
        ]
        try:
            await self._media_over
        finally:
            for beat in beats:
                beat.cancel()
            self._loop.remove_reader(ticker.fileno())
            ticker.close()

    async def finish(self) -> None:
        """Wait for the last replies, then ask what arrived."""
        if self.setup != "ok":
            return
        await asyncio.sleep(self._ledger.wait_ns() / _NS)
        assert self._socket is not None
        media_error, overflowed = self._last_error, self._socket.overflowed
        if not self._relay:
            await self._ask_what_arrived()
        elif self._ledger.first_heard_ns is None:
            self._not_set_up()
        else:
            self.setup_s = self._ledger.first_heard_ns / _NS
        if self.ended == "unreachable":
            self.failure = media_error
        elif self._ledger.overflowed:
            self.failure = f"{failure.UNKNOWN} far end over its limits"
        elif overflowed:
            self.failure = f"{failure.UNKNOWN} this machine was too slow to receive"

    def close(self) -> None:
        """Close the socket; safe to call twice."""
        if self._socket is not None:
            self._socket.close()

    def on_datagram(self, data: bytes, user_ns: int, kernel_ns: int | None) -> None:
        """Take a datagram from the peer: an answer to what was asked, or a media reply."""
        self._questions.take(data)
        if self._media_over is None:
            return
        reply = self._talk.reply(data)
        if reply is not None:
            self._questions.refusals = 0
            start_ns = self._start_ns
            since_ns = None if kernel_ns is None else kernel_ns - start_ns
            self._ledger.replied(reply, user_ns - start_ns, since_ns)

    def on_left(self, number: int, kernel_ns: int) -> None:
        """Take a transmit stamp."""
        seq = self._seq_by_number.pop(number, None)
        if seq is not None:
            now_ns = time.monotonic_ns() - self._start_ns
            self._ledger.left(seq, kernel_ns - self._start_ns, now_ns)

    def on_error(self, error: OSError) -> None:
        """Note an error the network reported; whether it ends the flow is decided elsewhere."""
        self._questions.refusals += 1
        self._last_error = failure.from_oserror(error)

    def _not_set_up(self) -> None:
        self.setup = "refused" if self._last_error == failure.REFUSED else "no_answer"
        self.failure = self._last_error or failure.TIMEOUT

    def _open(self, addresses: tuple[Address, ...]) -> str | None:
        """Open a socket to the first address there is a way to; return why there is none."""
        word: str | None = None
        for address in addresses:
            try:
                self._socket = UdpSocket(address, self._wall, self, local_port=self._local_port)
            except OSError as error:
                word = failure.from_oserror(error)
                continue
            self.address = address
            return None
        return word

    def _send(self, datagram: bytes) -> None:
        assert self._socket is not None
        self._socket.send(datagram)

    def _tick(self, ticker: Ticker) -> None:
        assert self._socket is not None
        for _ in range(ticker.ticks()):
            if self._at == len(self._ledger.planned_ns):
                break
            number = self._socket.sent
            spin_until(self._start_ns + self._ledger.planned_ns[self._at])
            sent_ns = self._socket.send(self._next)
            if sent_ns is not None:
                self._seq_by_number[number] = self._at
                self._ledger.sent(self._at, sent_ns - self._start_ns)
                self._socket.take_stamp()
            self._at += 1
            if self._at < len(self._ledger.planned_ns):
                self._next = self._talk.media(self._at)
        if self._at == len(self._ledger.planned_ns) or self._is_over():
            assert self._media_over is not None
            if not self._media_over.done():
                self._media_over.set_result(None)

    def _is_over(self) -> bool:
        silent_ns = time.monotonic_ns() - self._start_ns - (self._ledger.heard_ns or 0)
        if silent_ns < SILENCE_NS:
            return False
        if self._questions.refusals >= REFUSALS:
            self.ended = "unreachable"
        elif self._relay:
            self.ended = "silence"
        return self.ended != "complete"

    async def _ask_what_arrived(self) -> None:
        """Ask for the far end's report, from a fresh socket where this one has been cut off."""
        try:
            await self._questions.put(self._reports(), _REPORT_TIMES)
        except TimeoutError:
            self._start_afresh()
            with contextlib.suppress(TimeoutError):
                await self._questions.put(self._reports(), _REPORT_TIMES)

    def _start_afresh(self) -> None:
        """Take a new socket; where there is none to be had, the old one is asked again."""
        assert self.address is not None
        old = self._socket
        self._local_port = 0
        if self._open((self.address,)) is None and old is not None:
            old.close()
            # The new socket counts from 0: stamps the old one still owed are not coming.
            self._seq_by_number.clear()
            self._talk.forget_cookie()

    def _reports(self) -> Asks:
        """Hand each report to the ledger on its way to the talk."""
        asks = self._talk.closing()
        try:
            ask = next(asks)
            while True:
                report = yield ask
                if isinstance(report, Arrivals):
                    self._ledger.reported(report)
                ask = asks.send(report)
        except StopIteration:
            return
