"""HTTP/1.1 fetches against real servers on loopback."""

import asyncio
import hashlib
import random

import pytest
from fetch_peers import Trust, answering, peer, request_line, reset

from probe.fetch import FetchOrder, fetch
from probe.network import Network

BODY = random.Random(7).randbytes(600_000)


@pytest.fixture
def trust():
    return Trust()


async def test_a_plain_fetch_records_every_phase_and_the_whole_body():
    async with peer(answering(BODY)) as port:
        network = Network.from_options(f"site.example:80=127.0.0.1:{port}")
        outcome = await fetch(FetchOrder(url="http://site.example/image?q=%2F"), network)
    record = outcome.fetch
    assert outcome.failure is None
    assert (record.status, record.http, record.body_bytes) == (200, "http/1.1", len(BODY))
    assert record.expected_bytes == len(BODY)
    assert record.body_sha256 == hashlib.sha256(BODY).hexdigest()
    assert record.censored is None
    assert record.tls_s is None
    assert (record.address, record.port) == ("127.0.0.1", port)
    assert 0 <= record.connect_s <= record.request_t_s <= record.duration_s
    assert 0 < record.ttfb_s < record.duration_s
    assert outcome.loop_lag_s is None or outcome.loop_lag_s >= 0


async def test_the_timeline_counts_what_the_kernel_got_and_ends_with_the_last_byte():
    async with peer(answering(BODY, pieces=20, gap_s=0.01)) as port:
        outcome = await fetch(FetchOrder(url=f"http://127.0.0.1:{port}/"), Network())
    timeline = outcome.fetch.timeline
    assert timeline.source == "tcp_info"
    assert timeline.bytes[-1] > len(BODY)
    assert timeline.bytes[-1] - len(BODY) < 200
    assert list(timeline.t_s) == sorted(timeline.t_s)
    assert len(timeline.t_s) >= 20
    assert outcome.fetch.tcp_info[0].t_s <= outcome.fetch.tcp_info[-1].t_s
    assert outcome.fetch.tcp_info[-1].bytes_received == timeline.bytes[-1]
    assert 0 < outcome.fetch.idle_rtt_s < 1


async def test_over_tls_the_handshake_is_timed_apart_and_described(trust, tmp_path, monkeypatch):
    async with peer(answering(BODY), tls=trust.server("site.example")) as port:
        network = trust.network(tmp_path, monkeypatch, f"site.example:443=127.0.0.1:{port}")
        outcome = await fetch(FetchOrder(url="https://site.example/"), network)
    record = outcome.fetch
    assert outcome.failure is None
    assert record.tls_s > 0
    assert record.handshake.bytes[0] == 0
    assert record.handshake.bytes[-1] > 500
    assert record.tls_version == "TLSv1.3"
    assert record.tls_cipher.startswith("TLS_")
    assert (record.sni, record.certificate_checked) == ("site.example", True)
    assert record.connect_s + record.tls_s < record.request_t_s + 0.001


async def test_another_name_in_the_handshake_is_sent_and_recorded(trust, tmp_path, monkeypatch):
    seen = []
    context = trust.server("site.example")
    context.sni_callback = lambda _socket, name, _context: seen.append(name)
    async with peer(answering(b"x"), tls=context) as port:
        network = trust.network(tmp_path, monkeypatch)
        order = FetchOrder(
            url="https://site.example/",
            sni="neutral.example",
            address=f"127.0.0.1:{port}",
            check_certificate=False,
        )
        outcome = await fetch(order, network)
    assert outcome.failure is None
    assert seen == ["neutral.example"]
    assert outcome.fetch.sni == "neutral.example"
    assert outcome.fetch.certificate_checked is False


async def test_a_fetch_cut_by_time_after_a_body_byte_is_censored_and_no_failure():
    async with peer(answering(BODY, pieces=1000, gap_s=0.02)) as port:
        order = FetchOrder(url=f"http://127.0.0.1:{port}/", limit_s=2)
        outcome = await fetch(order, Network())
    assert outcome.failure is None
    assert outcome.fetch.censored == "time"
    assert 0 < outcome.fetch.body_bytes < len(BODY)
    assert outcome.fetch.limit_s == 2
    assert len(outcome.fetch.timeline.t_s) > 2


async def test_a_fetch_without_a_body_byte_by_its_limit_timed_out():
    async def silent(reader, _writer):
        await reader.read()

    async with peer(silent) as port:
        order = FetchOrder(url=f"http://127.0.0.1:{port}/", limit_s=1.5)
        outcome = await fetch(order, Network())
    assert outcome.failure == "generic_timeout_error"
    assert outcome.fetch.censored is None
    assert outcome.fetch.request_t_s is not None
    assert outcome.fetch.ttfb_s is None


async def test_a_fetch_ends_at_its_byte_limit_as_censored():
    async with peer(answering(BODY, pieces=60)) as port:
        order = FetchOrder(url=f"http://127.0.0.1:{port}/", limit_bytes=200_000)
        outcome = await fetch(order, Network())
    assert outcome.failure is None
    assert outcome.fetch.censored == "bytes"
    assert 200_000 <= outcome.fetch.body_bytes < len(BODY)


async def test_a_body_exactly_as_long_as_the_limit_is_whole():
    async with peer(answering(BODY)) as port:
        order = FetchOrder(url=f"http://127.0.0.1:{port}/", limit_bytes=len(BODY))
        outcome = await fetch(order, Network())
    assert outcome.fetch.censored is None
    assert outcome.fetch.body_bytes == len(BODY)


async def test_the_watch_sees_the_bytes_grow_and_can_end_the_transfer():
    seen = []

    def watch(t_s, count):
        seen.append((t_s, count))
        return count > 100_000

    async with peer(answering(BODY, pieces=100, gap_s=0.01)) as port:
        order = FetchOrder(url=f"http://127.0.0.1:{port}/")
        outcome = await fetch(order, Network(), watch=watch)
    assert outcome.failure is None
    assert outcome.fetch.censored == "judge"
    assert 0 < outcome.fetch.body_bytes < len(BODY)
    assert seen == sorted(seen)


async def test_a_redirect_is_recorded_and_not_followed():
    handle = answering(b"", status="302 Found", headers=["Location: http://127.0.0.1:1/"])
    async with peer(handle) as port:
        outcome = await fetch(FetchOrder(url=f"http://127.0.0.1:{port}/"), Network())
    assert outcome.failure is None
    assert outcome.fetch.status == 302


async def test_a_second_small_connection_samples_the_round_trip_under_load():
    opened = 0

    async def handle(reader, writer):
        nonlocal opened
        opened += 1
        if opened == 1:
            await answering(BODY, pieces=13, gap_s=0.1)(reader, writer)

    async with peer(handle) as port:
        outcome = await fetch(FetchOrder(url=f"http://127.0.0.1:{port}/"), Network())
    assert len(outcome.fetch.loaded_rtt) == 1
    assert 0 < outcome.fetch.loaded_rtt[0].rtt_s < 1
    assert opened == 2


async def test_a_cancelled_fetch_ends_at_once_and_closes_its_connection():
    asked, closed = asyncio.Event(), asyncio.Event()

    async def handle(reader, writer):
        await request_line(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nx")
        asked.set()
        await reader.read()
        closed.set()

    async with peer(handle) as port:
        task = asyncio.create_task(fetch(FetchOrder(url=f"http://127.0.0.1:{port}/"), Network()))
        await asked.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        async with asyncio.timeout(5):
            await closed.wait()


async def test_a_reset_in_the_middle_of_the_body_keeps_what_came_before():
    async def handle(reader, writer):
        await request_line(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n" + b"x" * 100)
        await writer.drain()
        await asyncio.sleep(0.05)
        reset(writer)

    async with peer(handle) as port:
        outcome = await fetch(FetchOrder(url=f"http://127.0.0.1:{port}/"), Network())
    assert outcome.failure == "connection_reset"
    assert outcome.fetch.body_bytes == 100
    assert outcome.fetch.status == 200


async def test_a_body_shorter_than_announced_is_an_early_end():
    async def handle(reader, writer):
        await request_line(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n" + b"x" * 100)
        await writer.drain()
        writer.close()

    async with peer(handle) as port:
        outcome = await fetch(FetchOrder(url=f"http://127.0.0.1:{port}/"), Network())
    assert outcome.failure == "eof_error"
    assert (outcome.fetch.body_bytes, outcome.fetch.expected_bytes) == (100, 1000)


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello",
    ],
)
async def test_a_server_that_closes_after_its_answer_over_tls_is_no_trouble(
    trust, tmp_path, monkeypatch, answer
):
    async def handle(reader, writer):
        await request_line(reader)
        writer.write(answer)
        writer.close()

    async with peer(handle, tls=trust.server("site.example")) as port:
        network = trust.network(tmp_path, monkeypatch, f"site.example:443=127.0.0.1:{port}")
        outcome = await fetch(FetchOrder(url="https://site.example/"), network)
    assert outcome.failure is None
    assert outcome.fetch.status == 200
