"""How late the event loop runs: the measuring machine's own share of any delay."""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Final, Self

#: Period of the ticker. A trial during which it was ever more than this late was not alone.
TICK_S: Final = 0.05


class LoopLag:
    """A ticker that notes its worst lateness while the ``async with`` block runs.

    Attributes:
        worst_s: largest lateness of any tick so far, in seconds; ``None`` before the first tick.
    """

    def __init__(self, tick_s: float = TICK_S) -> None:
        self.worst_s: float | None = None
        self._tick_s = tick_s
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._tick())
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        assert self._task is not None
        self._task.cancel()
        # Awaiting the task itself could not tell its cancellation from our own.
        await asyncio.wait([self._task])

    async def _tick(self) -> None:
        loop = asyncio.get_running_loop()
        due = loop.time() + self._tick_s
        try:
            while True:
                await asyncio.sleep(due - loop.time())
                due = self._note(due, loop.time())
        finally:
            # A block that ends while the loop is stuck has an overdue tick: it counts.
            if loop.time() > due:
                self._note(due, loop.time())

    def _note(self, due: float, now: float) -> float:
        """Take one tick into account; return when the next is due."""
        self.worst_s = max(self.worst_s or 0.0, now - due)
        return max(due + self._tick_s, now)
