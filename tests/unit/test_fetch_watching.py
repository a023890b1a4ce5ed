"""What runs beside a transfer, with literal times where it can be."""

import asyncio
import random
import socket
import sys

import pytest
from fetch_peers import Trust, answering, peer

from probe.fetch import FetchOrder, fetch
from probe.fetch.progress import Progress
from probe.fetch.watching import (
    GREATEST_GAP_S,
    LEAST_GAP_S,
    MAX_SAMPLES,
    Sampler,
    beside,
    measure_rtt,
)
from probe.network import Network


class Clock:
    """Time as the test sets it."""

    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now


def sampler_on(sock, clock, **order):
    progress = Progress(FetchOrder(url="http://a.example/", **order), clock=clock)
    return progress, Sampler(sock, progress, None, lambda: None, random.Random(1))


@pytest.fixture
def connected():
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        socket.create_connection(server.getsockname()) as ours,
        server.accept()[0] as theirs,
    ):
        yield ours, theirs


def test_without_tcp_info_the_body_is_counted():
    clock = Clock()
    progress, sampler = sampler_on(None, clock)
    progress.body.add(b"xxx")
    clock.now += 1
    assert sampler.poll() == (1.0, 3)
    sampler.finish()
    assert progress.record().timeline.source == "body"
    assert progress.record().tcp_info == ()


def test_samples_are_taken_on_a_memoryless_clock_within_its_bounds(connected):
    clock = Clock()
    _, sampler = sampler_on(connected[0], clock)
    gaps = []
    for _ in range(300):
        sampler.sample()
        gaps.append(sampler._next_sample_s - (clock.now - 100.0))
        clock.now += gaps[-1]
    assert min(gaps) >= LEAST_GAP_S - 1e-9
    assert max(gaps) <= GREATEST_GAP_S + 1e-9
    assert 0.18 < sum(gaps) / len(gaps) < 0.28


def test_the_samples_a_record_keeps_are_bounded_and_the_last_is_among_them(connected):
    clock = Clock()
    progress, sampler = sampler_on(connected[0], clock)
    for _ in range(500):
        clock.now += 0.1
        sampler.sample()
    connected[1].sendall(b"x" * 10)
    connected[0].recv(10, socket.MSG_WAITALL)
    sampler.finish()
    kept = progress.record().tcp_info
    assert len(kept) == MAX_SAMPLES
    assert kept[-1].t_s == pytest.approx(50.0)
    assert kept[-1].bytes_received == 10


class Reordering:
    """A socket of which the kernel tells that segments come out of order from some time on."""

    def __init__(self, clock, since):
        self.clock, self.since = clock, since

    def getsockopt(self, *_):
        raw = bytearray(232)
        if self.clock() >= self.since:
            raw[224:228] = (7).to_bytes(4, sys.byteorder)
        return bytes(raw)


async def test_the_first_segment_out_of_order_is_sampled_when_it_comes():
    clock = Clock()
    progress, sampler = sampler_on(Reordering(clock, 101.0), clock)
    async with beside(sampler.run()):
        for _ in range(8):
            clock.now += LEAST_GAP_S / 2
            await asyncio.sleep(0.01)
        taken = len(progress.tcp_info)
        clock.now = 101.0
        sampler._next_sample_s = 9.0
        await asyncio.sleep(0.1)
        assert [s.rcv_ooopack for s in progress.tcp_info[taken:]] == [7]
        assert progress.tcp_info[-1].t_s == pytest.approx(1.0)


def test_of_an_upload_only_what_was_acknowledged_after_the_request_counts(connected):
    clock = Clock()
    progress, sampler = sampler_on(connected[0], clock, method="POST")
    connected[0].sendall(b"handshake")
    connected[1].recv(9, socket.MSG_WAITALL)
    sampler.poll()
    progress.sent()
    progress.handed_bytes = 50
    connected[0].sendall(b"x" * 50)
    connected[1].recv(50, socket.MSG_WAITALL)
    sampler.poll()
    assert 0 < progress.sent_bytes <= 50


async def test_what_fails_beside_a_transfer_is_not_swallowed():
    async def fail():
        raise RuntimeError("watch")

    async def wait():
        async with beside(fail()):
            await asyncio.sleep(0.05)

    with pytest.raises(RuntimeError, match="watch"):
        await wait()


async def test_a_watch_that_fails_comes_out_of_the_fetch():
    def watch(_t_s, _count):
        raise RuntimeError("judge")

    async with peer(answering(b"x", pieces=1)) as port:
        with pytest.raises(RuntimeError, match="judge"):
            await fetch(FetchOrder(url=f"http://127.0.0.1:{port}/"), Network(), watch=watch)


async def test_a_round_trip_that_cannot_be_measured_is_a_sample_less():
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = server.getsockname()
    assert await measure_rtt(address, 1.0) is None


@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize("after_s", [0.0, 0.001, 0.02, 0.1])
async def test_a_fetch_can_be_cancelled_at_any_moment(scheme, after_s, tmp_path, monkeypatch):
    trust = Trust()
    here = asyncio.Semaphore(0)
    came = 0

    async def handle(reader, _writer):
        nonlocal came
        came += 1
        await reader.read()
        here.release()

    async with peer(handle) as port:
        number = 443 if scheme == "https" else 80
        entry = f"site.example:{number}=127.0.0.1:{port}"
        network = trust.network(tmp_path, monkeypatch, entry)
        task = asyncio.create_task(fetch(FetchOrder(url=f"{scheme}://site.example/"), network))
        await asyncio.sleep(after_s)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await asyncio.sleep(0.05)
        async with asyncio.timeout(10):
            for _ in range(came):
                await here.acquire()


async def test_ipv6_works_like_ipv4():
    async def handle(reader, writer):
        await answering(b"six")(reader, writer)
        writer.close()

    try:
        server = await asyncio.start_server(handle, "::1", 0)
    except OSError as error:
        pytest.skip(f"this machine has no IPv6 loopback: {error}")
    port = server.sockets[0].getsockname()[1]
    outcome = await fetch(FetchOrder(url=f"http://[::1]:{port}/"), Network())
    server.close()
    await asyncio.sleep(0.05)
    assert (outcome.failure, outcome.fetch.body_bytes) == (None, 3)
    assert (outcome.fetch.address, outcome.fetch.port) == ("::1", port)


async def test_a_cancellation_is_never_lost_in_whichever_turn_of_the_loop_it_comes():
    async with peer(answering(b"x" * 100, pieces=5)) as port:
        order = FetchOrder(url=f"http://127.0.0.1:{port}/")
        for turns in range(0, 120, 3):
            task = asyncio.create_task(fetch(order, Network()))
            for _ in range(turns):
                await asyncio.sleep(0)
            asked = task.cancel()
            await asyncio.wait([task])
            assert task.cancelled() or not asked
