"""Uploads: what the peer has acknowledged is what counts."""

import asyncio

import pytest
from fetch_peers import Trust, peer, request_line, reset

from probe.fetch import FetchOrder, OrderError, fetch
from probe.network import Network

SIZE = 600_000
HUGE = 64_000_000


async def take_all(reader, writer):
    await request_line(reader)
    await reader.readexactly(SIZE)
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
    await reader.read()


def order(port, **fields):
    return FetchOrder(url=f"http://127.0.0.1:{port}/up", method="POST", **fields)


async def test_an_upload_counts_its_own_bytes_and_takes_the_answer_in():
    async with peer(take_all) as port:
        outcome = await fetch(order(port, upload_bytes=SIZE), Network())
    record = outcome.fetch
    assert outcome.failure is None
    assert (record.direction, record.method, record.status) == ("up", "POST", 200)
    assert record.body_bytes == SIZE
    assert record.timeline.bytes[-1] >= SIZE
    assert record.tcp_info[-1].bytes_acked == record.timeline.bytes[-1]


async def test_an_upload_over_tls_counts_no_more_than_its_body(tmp_path, monkeypatch):
    trust = Trust()
    async with peer(take_all, tls=trust.server("site.example")) as port:
        network = trust.network(tmp_path, monkeypatch, f"site.example:443=127.0.0.1:{port}")
        up = FetchOrder(url="https://site.example/up", method="POST", upload_bytes=SIZE)
        outcome = await fetch(up, network)
    assert (outcome.failure, outcome.fetch.body_bytes) == (None, SIZE)


async def test_a_peer_that_stops_reading_leaves_a_bound_and_no_failure():
    async def handle(reader, _writer):
        await request_line(reader)
        await asyncio.sleep(60)

    async with peer(handle) as port:
        outcome = await fetch(order(port, upload_bytes=HUGE, limit_s=2), Network())
    record = outcome.fetch
    assert (outcome.failure, record.censored) == (None, "time")
    assert 0 < record.body_bytes < HUGE
    assert record.duration_s < 10


async def test_a_reset_in_the_middle_of_an_upload_is_told():
    async def handle(reader, writer):
        await request_line(reader)
        await reader.readexactly(100_000)
        reset(writer)

    async with peer(handle) as port:
        outcome = await fetch(order(port, upload_bytes=HUGE, limit_s=10), Network())
    assert outcome.failure == "connection_reset"
    assert 0 < outcome.fetch.body_bytes < HUGE


async def test_an_answer_before_the_end_of_the_upload_is_an_answer():
    async def handle(reader, writer):
        await request_line(reader)
        writer.write(b"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n")
        await writer.drain()
        await asyncio.sleep(60)

    async with peer(handle) as port:
        outcome = await fetch(order(port, upload_bytes=HUGE, limit_s=2), Network())
    assert outcome.fetch.status == 413


@pytest.mark.parametrize("http", ["h2", "h3"])
def test_uploads_go_over_http1_only(http):
    with pytest.raises(OrderError, match=r"expected http/1\.1 for uploads"):
        FetchOrder(url="https://a.example/", method="POST", http=http)
