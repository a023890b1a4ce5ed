"""Puts a talk's questions to the peer, each repeated until it is answered."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from probe.call.talk import Ask, Asks, Rejected

#: A question is repeated at this interval, as Telegram's client repeats its hello.
AGAIN_S: Final = 0.5
#: One ICMP error may be about a datagram long gone; two are an answer.
REFUSALS: Final = 2


class Questions:
    """The question that is open, if any.

    Attributes:
        refusals: errors the network reported since the last question or reply.
    """

    def __init__(self, send: Callable[[bytes], object]) -> None:
        """Start with none.

        Args:
            send: hands a datagram to the network.
        """
        self.refusals = 0
        self._send = send
        self._open: tuple[Ask, asyncio.Future[object]] | None = None

    async def put(self, asks: Asks, times: int) -> None:
        """Put all questions, one after the other.

        Args:
            asks: where they come from; each is sent the meaning of its answer.
            times: how often one is said at most.

        Raises:
            TimeoutError: one was not answered, or the network refused it.
            Rejected: the answer was no.
        """
        try:
            ask = next(asks)
            while True:
                ask = asks.send(await self._put(ask, times))
        except StopIteration:
            return

    def take(self, data: bytes) -> None:
        """Take a datagram that may answer the open question."""
        if self._open is None:
            return
        ask, answer = self._open
        if answer.done():
            return
        try:
            meaning = ask.read(data)
        except Rejected as rejected:
            answer.set_exception(rejected)
            return
        if meaning is not None:
            answer.set_result(meaning)

    async def _put(self, ask: Ask, times: int) -> object:
        self.refusals = 0
        answer: asyncio.Future[object] = asyncio.get_running_loop().create_future()
        self._open = (ask, answer)
        for _ in range(times):
            self._send(ask.datagram)
            done, _ = await asyncio.wait((answer,), timeout=AGAIN_S)
            if done:
                return answer.result()
            if self.refusals >= REFUSALS:
                break
        raise TimeoutError
