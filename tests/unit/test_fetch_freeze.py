"""Freeze tests: our own requests push past the point where a connection goes silent."""

import asyncio

from fetch_peers import Trust, peer, reset

from probe.fetch import FetchOrder
from probe.fetch.freeze import PIECES, PUSH_BYTES, freeze_by_bytes, freeze_by_packets
from probe.network import Network

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n"


def answering_until(stop_bytes):
    """Answer ``HEAD`` requests until so many bytes have come, then go silent."""

    async def handle(reader, writer):
        taken = 0
        while head := await reader.readuntil(b"\r\n\r\n"):
            taken += len(head)
            if taken > stop_bytes:
                await asyncio.sleep(60)
            writer.write(ANSWER)
            await writer.drain()

    return handle


def order(port, **fields):
    return FetchOrder(url=f"http://127.0.0.1:{port}/page?x", **fields)


async def test_a_free_connection_takes_all_the_bytes():
    async with peer(answering_until(1 << 30)) as port:
        outcome = await freeze_by_bytes(order(port), Network())
    record = outcome.fetch
    assert (outcome.failure, record.status) == (None, 200)
    assert record.body_bytes >= PUSH_BYTES == record.expected_bytes
    assert (record.method, record.direction) == ("HEAD", "up")
    assert record.timeline.bytes[-1] >= PUSH_BYTES


async def test_a_connection_that_freezes_says_after_how_many_bytes():
    async with peer(answering_until(16_384)) as port:
        outcome = await freeze_by_bytes(order(port), Network())
    assert outcome.failure == "generic_timeout_error"
    assert 16_384 - 4500 < outcome.fetch.body_bytes <= 16_384
    assert outcome.fetch.status == 200
    assert outcome.fetch.duration_s < 10


async def test_over_tls_it_is_the_same(tmp_path, monkeypatch):
    trust = Trust()
    async with peer(answering_until(1 << 30), tls=trust.server("site.example")) as port:
        network = trust.network(tmp_path, monkeypatch, f"site.example:443=127.0.0.1:{port}")
        outcome = await freeze_by_bytes(FetchOrder(url="https://site.example/"), network)
    assert outcome.failure is None
    assert outcome.fetch.body_bytes >= PUSH_BYTES
    assert outcome.fetch.tls_s > 0


async def test_one_request_in_many_packets_is_answered_by_an_honest_server():
    async with peer(answering_until(1 << 30)) as port:
        outcome = await freeze_by_packets(order(port), Network())
    record = outcome.fetch
    assert (outcome.failure, record.status) == (None, 200)
    assert record.tcp_info[-1].segs_in > PIECES / 2
    assert record.duration_s > 1


async def test_a_server_that_hangs_up_has_not_frozen():
    async def handle(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(ANSWER)
        await reader.readuntil(b"\r\n\r\n")
        reset(writer)

    async with peer(handle) as port:
        outcome = await freeze_by_bytes(order(port), Network())
    assert outcome.failure == "connection_reset"


async def test_a_server_that_speaks_no_http_has_failed_the_request():
    async def handle(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"220 mail.example\r\n\r\n")
        await reader.read()

    async with peer(handle) as port:
        outcome = await freeze_by_bytes(order(port), Network())
    assert outcome.failure == "http_request_failed"
