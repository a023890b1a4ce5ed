"""Samples of the sender go to the client that named the download, once, and are bounded."""

import asyncio
import contextlib
import socket

from probe.farend.sending import MAX_DOWNLOADS, MAX_SAMPLES, Downloads, delivered, watch
from probe.measurement import TcpInfo

SAMPLE = TcpInfo(t_s=0.0, rtt_s=0.04)


def test_samples_are_handed_out_once():
    downloads = Downloads()
    downloads.begin("client", "token", 0.0).append(SAMPLE)
    assert downloads.take("client", "token", 1.0) == (SAMPLE,)
    assert downloads.take("client", "token", 1.0) == ()


def test_nobody_else_gets_them():
    downloads = Downloads()
    downloads.begin("client", "token", 0.0).append(SAMPLE)
    assert downloads.take("other", "token", 1.0) == ()
    assert downloads.take("client", "token", 1.0) == (SAMPLE,)


def test_old_ones_are_forgotten():
    downloads = Downloads()
    downloads.begin("client", "token", 0.0).append(SAMPLE)
    assert downloads.take("client", "token", 1000.0) == ()


def test_only_so_many_downloads_are_remembered():
    downloads = Downloads()
    for number in range(MAX_DOWNLOADS + 1):
        downloads.begin("client", f"{number}", 0.0).append(SAMPLE)
    assert downloads.take("client", "0", 0.0) == ()
    assert downloads.take("client", "1", 0.0) == (SAMPLE,)


@contextlib.asynccontextmanager
async def connected():
    """A transport that sends, and the socket at its other end, which takes little at a time."""
    loop = asyncio.get_running_loop()
    listener = socket.create_server(("127.0.0.1", 0))
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    near = socket.create_connection(listener.getsockname())
    far, _ = listener.accept()
    listener.close()
    far.settimeout(0)
    transport, _ = await loop.create_connection(asyncio.Protocol, sock=near)
    try:
        yield transport, far
    finally:
        transport.abort()
        far.close()
        await asyncio.sleep(0.01)  # the transport closes its socket a turn or two later


async def take_all(sock, size):
    while size > 0:
        size -= len(await asyncio.get_running_loop().sock_recv(sock, 1 << 20))


async def test_what_was_sent_is_delivered_once_the_other_end_has_it():
    async with connected() as (transport, far):
        transport.write(bytes(3_000_000))
        waiting = asyncio.create_task(delivered(transport))
        await asyncio.sleep(0.2)
        assert not waiting.done()
        await take_all(far, 3_000_000)
        await asyncio.wait_for(waiting, 5)


async def test_who_has_gone_is_not_waited_for():
    async with connected() as (transport, far):
        transport.write(bytes(3_000_000))
        far.close()
        await asyncio.wait_for(delivered(transport), 5)


async def test_samples_run_to_the_end_and_the_last_is_the_newest():
    async with connected() as (transport, far):
        samples = [TcpInfo(t_s=-1.0)] * MAX_SAMPLES
        task = asyncio.create_task(watch(transport, samples))
        await asyncio.sleep(0)
        transport.write(bytes(1_000_000))
        await take_all(far, 1_000_000)
        await delivered(transport)
        task.cancel()
        await asyncio.wait([task])
        assert len(samples) == MAX_SAMPLES
        assert samples[-1].bytes_acked >= 1_000_000
