"""Trials take turns on the line and at the servers without ever waiting for each other."""

import asyncio
import random
import time
from pathlib import Path

from probe.bench import Bench, Running
from probe.endpoints import HostPort
from probe.limits import Limits
from probe.line import CRAWL_AFTER_S, Line
from probe.network import Network
from probe.trial import addresses_of, servers_of, turn


def bench_of(folder: Path, line: Line) -> Bench:
    async def at_once(_: float) -> None:
        await asyncio.sleep(0)

    limits = Limits(folder / "limits.json", 10**6, time.monotonic, time.time, at_once)
    return Bench(
        network=Network(),
        limits=limits,
        line=line,
        recorder=None,
        judge=None,
        rng=random.Random(1),
        tell=lambda _: None,
    )


async def test_a_session_that_crawled_and_its_neighbour_share_a_control(tmp_path: Path) -> None:
    line = Line()
    line.carried(40e6)
    bench = bench_of(tmp_path, line)
    crawling = asyncio.Event()

    async def slow() -> None:
        async with line.hold(0) as hold:
            running = Running(None, "slow", hold, [])
            async with turn(running, ["target"], bench):
                hold.saw(CRAWL_AFTER_S, 1000)
                crawling.set()
                await asyncio.sleep(0.05)
            async with turn(running, ["control"], bench):
                await asyncio.sleep(0)

    async def fast() -> None:
        await crawling.wait()
        async with line.hold(1) as hold:
            running = Running(None, "fast", hold, [])
            for _ in range(5):
                async with turn(running, ["control"], bench):
                    await asyncio.sleep(0.02)
                await hold.between_pairs()

    async with asyncio.timeout(5):
        await asyncio.gather(slow(), fast())


async def test_a_literal_endpoint_is_its_own_server() -> None:
    servers = await servers_of(Network(), "192.0.2.7:443")
    assert addresses_of(servers, "nobody") == ["192.0.2.7"]
    assert str(HostPort(*servers[0])) == "192.0.2.7:443"


async def test_an_ipv6_endpoint_keeps_its_brackets_only_in_writing() -> None:
    servers = await servers_of(Network(), "[2001:db8::7]:443")
    assert addresses_of(servers, "nobody") == ["2001:db8::7"]
    assert str(HostPort(*servers[0])) == "[2001:db8::7]:443"


async def test_a_name_without_an_answer_still_has_a_place_to_wait_at() -> None:
    network = Network()
    servers = await servers_of(network, "no-such-name.invalid:443")
    assert addresses_of(servers, "no-such-name.invalid:443") == ["no-such-name.invalid:443"]
