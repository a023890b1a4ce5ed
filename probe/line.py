"""The volunteer's line, which one session at a time may load.

Two trials that share the line would measure each other, so a session has the line alone. A trial
that crawls is the exception: it takes so little that the next session may start beside it, which
is what keeps a run with a throttled service short. Its own session goes on as soon as the other
has finished a pair: the session that began first goes first.
"""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

#: A crawling trial takes at most this share of the best rate seen on the line, so it cannot
#: change another trial's rate by more.
CRAWL_SHARE: Final = 0.02
#: Before this time a slow start looks like a crawl.
CRAWL_AFTER_S: Final = 3.0


class Line:
    """Who may load the line now, and the best rate it has shown."""

    def __init__(self) -> None:
        self._taken = False
        self._waiting: list[tuple[int, asyncio.Future[None]]] = []
        self.best_bps = 0.0
        self.crawling = 0

    @asynccontextmanager
    async def hold(self, order: int, *, light: bool = False) -> AsyncIterator[Hold]:
        """Have the line, but for trials that crawl.

        Args:
            order: place of the session in the run, different for each; the lowest goes first.
            light: of a session that will carry next to nothing, and need not wait for others.

        Yields:
            The hold, to be told how its trials are going.
        """
        hold = Hold(self, order, light=light)
        await hold.take()
        try:
            yield hold
        finally:
            hold.end()

    def carried(self, rate_bps: float) -> None:
        """Note a rate the line has carried.

        Args:
            rate_bps: goodput of a finished transfer.
        """
        self.best_bps = max(self.best_bps, rate_bps)

    def goes_before(self, order: int) -> bool:
        """Say whether a session earlier than this one waits."""
        return bool(self._waiting) and self._waiting[0][0] < order

    async def take(self, order: int) -> None:
        """Wait for the line and take it."""
        if not self._taken:
            self._taken = True
            return
        granted: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._waiting, (order, granted))
        try:
            await granted
        except asyncio.CancelledError:
            if granted.done() and not granted.cancelled():
                self.leave()
            raise

    def leave(self) -> None:
        """Pass the line to the earliest session that waits, or leave it free."""
        while self._waiting:
            _, granted = heapq.heappop(self._waiting)
            if not granted.done():
                granted.set_result(None)
                return
        self._taken = False


class Hold:
    """One session's hold on the line.

    ``overlapped`` says whether another trial ran beside the current one, because one crawled or
    carries next to nothing.
    """

    def __init__(self, line: Line, order: int, *, light: bool = False) -> None:
        self._line = line
        self._order = order
        self._light = light
        self._held = False
        self._crawling = False
        self.overlapped = False

    async def trial(self) -> None:
        """Begin a trial: take the line again if the trial before let go of it."""
        self._stop_crawling()
        await self.take()
        self.overlapped = self._light or self._line.crawling > 0

    async def between_pairs(self) -> None:
        """Let a session that began earlier, and crawled meanwhile, go on first."""
        if self._held and self._line.goes_before(self._order):
            self._leave()
            await self.take()

    def saw(self, t_s: float, size_bytes: int) -> None:
        """Tell the line how the trial is going; a crawl lets the next session start.

        Args:
            t_s: seconds since the transfer began.
            size_bytes: bytes received since then.
        """
        if t_s < CRAWL_AFTER_S or self._crawling:
            return
        if 8 * size_bytes / t_s < CRAWL_SHARE * self._line.best_bps:
            self._crawling = self.overlapped = True
            self._line.crawling += 1
            self._leave()

    def end(self) -> None:
        """Give the line back, whatever state the hold is in."""
        self._stop_crawling()
        self._leave()

    async def take(self) -> None:
        """Wait for the line where it was let go of."""
        if not self._held and not self._light:
            await self._line.take(self._order)
            self._held = True

    def _leave(self) -> None:
        if self._held:
            self._held = False
            self._line.leave()

    def _stop_crawling(self) -> None:
        if self._crawling:
            self._crawling = False
            self._line.crawling -= 1
