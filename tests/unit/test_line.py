"""One session at a time loads the line, except beside a trial that crawls."""

import asyncio

from probe.line import CRAWL_AFTER_S, Line

FAST_BPS = 40e6


async def test_a_second_session_waits_for_the_first() -> None:
    line, log = Line(), []

    async def session(order: int) -> None:
        async with line.hold(order):
            log.append(f"{order} in")
            await asyncio.sleep(0)
            log.append(f"{order} out")

    await asyncio.gather(session(0), session(1))
    assert log == ["0 in", "0 out", "1 in", "1 out"]


async def test_a_crawling_trial_lets_the_next_session_start() -> None:
    line = Line()
    line.carried(FAST_BPS)
    async with line.hold(0) as first:
        await first.trial()
        first.saw(CRAWL_AFTER_S, 50_000)
        async with asyncio.timeout(1), line.hold(1) as second:
            await second.trial()
            assert first.overlapped
            assert second.overlapped


async def test_a_fast_trial_keeps_the_line() -> None:
    line = Line()
    line.carried(FAST_BPS)
    async with line.hold(0) as first:
        first.saw(CRAWL_AFTER_S, int(FAST_BPS / 8))
        waiting = asyncio.create_task(line.hold(1).__aenter__())
        await asyncio.sleep(0)
        assert not waiting.done()
        waiting.cancel()


async def test_a_slow_line_is_not_mistaken_for_a_crawl() -> None:
    line = Line()
    line.carried(500_000)
    async with line.hold(0) as first:
        first.saw(CRAWL_AFTER_S, int(300_000 / 8 * CRAWL_AFTER_S))
        assert not first.overlapped


async def test_the_session_that_crawled_goes_on_between_the_others_pairs() -> None:
    line, log = Line(), []
    line.carried(FAST_BPS)
    async with line.hold(0) as first:
        first.saw(CRAWL_AFTER_S, 1000)
        async with line.hold(1) as second:
            await second.trial()

            async def next_trial() -> None:
                await first.trial()
                log.append("first again")
                first.end()

            going = asyncio.create_task(next_trial())
            await asyncio.sleep(0)
            assert log == []
            await second.between_pairs()
            log.append("second again")
            await going
    assert log == ["first again", "second again"]


async def test_a_cancelled_waiter_does_not_keep_the_line() -> None:
    line = Line()
    async with line.hold(0):
        waiter = asyncio.create_task(line.hold(1).__aenter__())
        await asyncio.sleep(0)
        waiter.cancel()
        await asyncio.gather(waiter, return_exceptions=True)
    async with asyncio.timeout(1), line.hold(2):
        pass


async def test_a_session_that_carries_next_to_nothing_waits_for_nobody() -> None:
    line = Line()
    async with line.hold(0), line.hold(1, light=True) as light:
        await light.trial()
        assert light.overlapped
    async with line.hold(2):
        pass
