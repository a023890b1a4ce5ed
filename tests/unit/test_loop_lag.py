"""The event loop's own lateness."""

import asyncio
import time

from probe.loop_lag import LoopLag


async def test_a_blocked_loop_shows():
    async with LoopLag(tick_s=0.01) as lag:
        await asyncio.sleep(0.02)
        time.sleep(0.1)  # noqa: ASYNC251 - blocking the loop is the point
        await asyncio.sleep(0.02)
    assert lag.worst_s > 0.08


async def test_a_loop_still_blocked_at_the_end_shows():
    async with LoopLag(tick_s=0.01) as lag:
        await asyncio.sleep(0)
        time.sleep(0.1)  # noqa: ASYNC251 - blocking the loop is the point
    assert lag.worst_s > 0.08


async def test_nothing_is_said_before_the_first_tick():
    async with LoopLag(tick_s=60) as lag:
        pass
    assert lag.worst_s is None
