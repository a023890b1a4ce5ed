"""Replays between a probe and a far end over loopback, and strangers who try their luck."""

import asyncio
import contextlib

import msgspec
import pytest

from probe import recording
from probe.farend import FarEndConfig, serve
from probe.farend.replay import REPLAYS
from probe.fetch import FetchOrder
from probe.fetch.replay import replay
from probe.network import Network

SIZE = 100_000


@contextlib.asynccontextmanager
async def far_end(asking_s=10.0, **limits):
    config = FarEndConfig(
        host="127.0.0.1",
        calls=(),
        https_port=None,
        replay_port=0,
        asking_s=asking_s,
        replay=msgspec.structs.replace(REPLAYS, **limits),
    )
    async with serve(config) as running:
        yield running.replay_port


def order(port, **fields):
    return FetchOrder(
        url=f"http://127.0.0.1:{port}/", sni="abs.twimg.com", limit_bytes=SIZE, **fields
    )


@pytest.mark.parametrize(("inverted", "sni"), [(False, "abs.twimg.com"), (True, None)])
async def test_both_copies_bring_as_many_bytes_and_say_which_they_are(inverted, sni):
    async with far_end() as port:
        outcome = await replay(order(port), Network(), inverted=inverted)
    record = outcome.fetch
    assert outcome.failure is None
    assert record.body_bytes == record.expected_bytes == SIZE
    assert record.timeline.bytes[-1] == SIZE
    assert (record.test, record.sni) == ("inverted" if inverted else "replay", sni)
    assert (record.http, record.tls_s, record.certificate_checked) == (None, None, False)
    assert (record.direction, record.censored) == ("down", None)


async def test_the_judge_may_end_a_replay():
    async with far_end() as port:
        outcome = await replay(order(port), Network(), inverted=False, watch=lambda *_: True)
    assert (outcome.failure, outcome.fetch.censored) == (None, "judge")


async def answer_to(port, data):
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(data)
    writer.write_eof()
    try:
        return await asyncio.wait_for(reader.read(), 5)
    except ConnectionError:
        return b""
    finally:
        writer.transport.abort()
        await asyncio.sleep(0)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"GET / HTTP/1.1\r\n\r\n",
        b"\x16\x03\x01\xff\xff" + bytes(70_000),
        b"\x16\x03\x01\x02\x00" + bytes(512),
        recording.opening("a.example", 1000)[:100],
        recording.opening("a.example", (1 << 32) - 1),
    ],
    ids=["nothing", "http", "long", "empty hello", "torn", "greedy"],
)
async def test_whoever_plays_no_opening_or_wants_too_much_gets_nothing(data):
    async with far_end() as port:
        assert await answer_to(port, data) == b""
        outcome = await replay(order(port), Network(), inverted=False)
    assert outcome.failure is None


async def test_a_client_has_its_share_of_bytes():
    async with far_end(client_burst_bytes=SIZE, client_bytes_per_s=1) as port:
        first = await replay(order(port), Network(), inverted=False)
        second = await replay(order(port), Network(), inverted=False)
    assert (first.failure, second.failure is None) == (None, False)


async def test_a_client_has_its_share_of_connections_and_of_time():
    async with far_end(client_transfers=1, transfer_s=0.5) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        await asyncio.sleep(0.1)
        assert await answer_to(port, recording.opening("a.example", 10)) == b""
        with contextlib.suppress(ConnectionError):
            assert await asyncio.wait_for(reader.read(), 5) == b""
        writer.transport.abort()
        assert len(await answer_to(port, recording.opening("a.example", 10))) == 10


async def test_an_opening_has_to_come_soon():
    async with far_end(asking_s=0.2) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(recording.opening("a.example", 10)[:100])
        with contextlib.suppress(ConnectionError):
            assert await asyncio.wait_for(reader.read(), 5) == b""
        writer.transport.abort()


async def test_a_far_end_without_replays_refuses_them():
    config = FarEndConfig(host="127.0.0.1", calls=(), https_port=None)
    async with serve(config) as running:
        assert running.replay_port is None
