"""The relays, seen by plain sockets on loopback: real bytes, exact counts."""

import asyncio
import errno
import socket
import ssl
import time
from contextlib import AsyncExitStack, asynccontextmanager

import pytest
import trustme

from probe.lab import rules
from probe.lab.censor import TLS_ALERT
from probe.lab.loopback.stream import BUFFER_BYTES
from probe.lab.loopback.tcp_relay import TcpRelay
from probe.lab.loopback.udp_relay import MOST_CLIENTS, relay_udp
from probe.lab.loopback.wire import Wire
from probe.lab.rules import Line, Match, Rule

#: Quick, so that tests are; no loss of its own.
LINE = Line(rate_down_bps=1e9, rate_up_bps=1e9, rtt_s=0.002, queue_bytes=10**6)
SITE = ("198.18.11.1", 443)
DATA = bytes(range(256)) * 400


def wire(*effects, line=LINE, match=None, direction="both"):
    policy = tuple(
        Rule(name=f"rule {i}", effect=effect, match=match or Match(), direction=direction)
        for i, effect in enumerate(effects)
    )
    return Wire(line, policy, seed=1)


async def answer_line(reader, writer):
    """Answer ``give`` with the data; take anything else in and say how much it was."""
    if await reader.readline() == b"give\n":
        writer.write(DATA)
    else:
        size = len(await reader.read(-1))
        writer.write(b"%d\n" % size)
    writer.close()


@asynccontextmanager
async def relayed(box, serve=answer_line, **tls):
    """A server behind a relay; yields where the relay listens."""
    async with AsyncExitStack() as stack:
        server = await asyncio.start_server(serve, "127.0.0.1", 0, **tls)
        stack.callback(server.close)
        there = server.sockets[0].getsockname()[:2]
        # Sockets are closed in the next turns of the loop.
        stack.push_async_callback(asyncio.sleep, 0.05)
        relay = TcpRelay(box, SITE, there, "127.18.11.1")
        stack.callback(relay.close)
        await relay.open()
        yield relay.address


async def ask(where, request=b"give\n", limit_s=10.0):
    """Send a request; return what came until the end, or until nothing came for the limit."""
    reader, writer = await asyncio.open_connection(*where)
    writer.write(request)
    got = b""
    try:
        while piece := await asyncio.wait_for(reader.read(65_536), limit_s):
            got += piece
    except TimeoutError:
        pass
    finally:
        writer.close()
    return got


async def test_bytes_come_through_a_clean_wire_unchanged():
    async with relayed(wire()) as where:
        assert await ask(where) == DATA


async def test_an_upload_and_its_half_closed_end_come_through():
    async with relayed(wire()) as where:
        reader, writer = await asyncio.open_connection(*where)
        writer.write(b"take\n" + DATA)
        writer.write_eof()
        assert await reader.read(-1) == b"%d\n" % len(DATA)
        writer.close()


async def test_the_round_trip_of_the_line_is_felt():
    line = Line(rate_down_bps=1e9, rate_up_bps=1e9, rtt_s=0.1)
    async with relayed(wire(line=line)) as where:
        reader, writer = await asyncio.open_connection(*where)
        begun = time.monotonic()
        writer.write(b"give\n")
        await reader.read(1)
        assert time.monotonic() - begun >= 0.1
        writer.close()


async def test_a_policer_lets_its_bucket_and_its_rate_through_and_no_more():
    effect = rules.Police(rate_bps=1_000_000, bucket_bytes=16_000)
    async with relayed(wire(effect, direction="down")) as where:
        begun = time.monotonic()
        assert await ask(where) == DATA
        took_s = time.monotonic() - begun
    # The emulator may be late on a busy machine, but never early.
    assert took_s >= (len(DATA) - effect.bucket_bytes) * 8 / effect.rate_bps


async def test_a_policer_holds_an_upload_back_at_the_sender():
    effect = rules.Police(rate_bps=1_000_000, bucket_bytes=16_000)
    async with relayed(wire(effect, direction="up")) as where:
        reader, writer = await asyncio.open_connection(*where)
        begun = time.monotonic()
        writer.write(b"take\n" + DATA)
        writer.write_eof()
        assert await reader.read(-1) == b"%d\n" % len(DATA)
        assert time.monotonic() - begun >= (len(DATA) - effect.bucket_bytes) * 8 / effect.rate_bps
        writer.close()


async def test_an_upload_does_not_vanish_into_the_relay():
    """What a client can hand over while nothing passes is bounded by small buffers."""
    async with relayed(wire(rules.Freeze(after_bytes=1), direction="up")) as where:
        with socket.create_connection(where) as client:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4_096)
            client.settimeout(0)
            loop = asyncio.get_running_loop()
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(loop.sock_sendall(client, bytes(2_000_000)), 0.5)


async def test_a_freeze_delivers_to_the_byte_and_then_nothing():
    async with relayed(wire(rules.Freeze(after_bytes=16_384), direction="down")) as where:
        assert await ask(where, limit_s=0.5) == DATA[:16_384]


async def test_a_reset_reaches_the_client():
    async with relayed(wire(rules.Reset())) as where:
        reader, writer = await asyncio.open_connection(*where)
        writer.write(b"give\n")
        with pytest.raises(ConnectionResetError) as caught:
            await reader.read(1)
        assert caught.value.errno == errno.ECONNRESET
        writer.close()


async def test_a_farewell_reaches_the_client_and_then_the_end():
    async with relayed(wire(rules.Reset(alert=True))) as where:
        reader, writer = await asyncio.open_connection(*where)
        writer.write(b"give\n")
        assert await reader.read() == TLS_ALERT
        writer.close()


async def test_a_silent_drop_answers_nothing():
    async with relayed(wire(rules.Drop())) as where:
        assert await ask(where, limit_s=0.3) == b""


async def test_a_server_that_is_not_there_is_a_reset():
    relay = TcpRelay(wire(), SITE, ("127.0.0.1", 1), "127.18.11.1")
    await relay.open()
    reader, writer = await asyncio.open_connection(*relay.address)
    writer.write(b"give\n")
    with pytest.raises(ConnectionResetError):
        await reader.read(1)
    writer.close()
    relay.close()
    await asyncio.sleep(0.05)


async def test_only_the_name_in_the_hello_is_hit():
    authority = trustme.CA()
    serving = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("abs.twimg.com", "pages.example").configure_cert(serving)
    trusting = ssl.create_default_context()
    authority.configure_trust(trusting)
    box = wire(rules.Reset(), match=Match(sni=("*.twimg.com",)))
    async with relayed(box, ssl=serving) as where:
        reader, writer = await asyncio.open_connection(
            *where, ssl=trusting, server_hostname="pages.example"
        )
        writer.write(b"give\n")
        assert await reader.read(-1) == DATA
        writer.close()
        with pytest.raises(ConnectionResetError):
            await asyncio.open_connection(*where, ssl=trusting, server_hostname="abs.twimg.com")


async def test_a_client_that_leaves_in_the_middle_takes_its_server_along():
    gone = asyncio.Event()

    async def pour(_, writer):
        try:
            while True:
                writer.write(bytes(65_536))
                await writer.drain()
        except ConnectionError:
            gone.set()
        finally:
            writer.close()

    async with relayed(wire(), serve=pour) as where:
        reader, writer = await asyncio.open_connection(*where)
        await reader.read(BUFFER_BYTES)
        writer.transport.abort()
        await asyncio.wait_for(gone.wait(), 10.0)


class Echo(asyncio.DatagramProtocol):
    def connection_made(self, transport):
        self.transport = transport

    def datagram_received(self, data, addr):
        self.transport.sendto(data, addr)


class Client(asyncio.DatagramProtocol):
    def __init__(self):
        self.got = []

    def datagram_received(self, data, _):
        self.got.append(data)


@asynccontextmanager
async def echoed(box):
    """A client of an echo server behind a relay; yields its socket and what it gets."""
    loop = asyncio.get_running_loop()
    server, _ = await loop.create_datagram_endpoint(Echo, local_addr=("127.0.0.1", 0))
    there = server.get_extra_info("sockname")
    relay = await relay_udp(box, ("198.18.3.1", 3478), there, "127.18.3.1")
    transport, client = await loop.create_datagram_endpoint(Client, remote_addr=relay.address)
    try:
        yield transport, client.got
    finally:
        for each in (transport, relay, server):
            each.close()
        await asyncio.sleep(0.05)


async def send_all(transport, got, count, payload=b"", spacing_s=0.0005):
    """Send numbered datagrams and wait until no more come back."""
    for number in range(count):
        transport.sendto(number.to_bytes(2) + payload)
        await asyncio.sleep(spacing_s)
    before = -1
    while len(got) > before:
        before = len(got)
        await asyncio.sleep(0.25)


def numbers(got):
    return [int.from_bytes(data[:2]) for data in got]


async def test_datagrams_come_through_in_order():
    async with echoed(wire()) as (transport, got):
        await send_all(transport, got, 50)
        assert numbers(got) == list(range(50))


@pytest.mark.parametrize("direction", ["up", "down"])
async def test_the_loss_that_was_counted_is_the_loss_that_is_seen(direction):
    box = wire(rules.Loss(ratio=0.3), direction=direction)
    async with echoed(box) as (transport, got):
        await send_all(transport, got, 200)
        lost = box.counts[direction, "rule 0"]
        assert 30 < lost < 90
        assert len(got) == 200 - lost
        other = "down" if direction == "up" else "up"
        assert (other, "rule 0") not in box.counts


async def test_degrading_spares_exactly_the_first_packets():
    box = wire(rules.Degrade(after_packets=30, pass_ratio=0.0), direction="up")
    async with echoed(box) as (transport, got):
        await send_all(transport, got, 60)
        assert numbers(got) == list(range(30))


async def test_degrading_hits_only_what_looks_like_the_call():
    match = Match(payload=("telegram",), transport="udp")
    box = wire(rules.Degrade(after_packets=3, pass_ratio=0.0), match=match, direction="up")
    telegram = bytes(14) + b"\xff" * 12 + bytes(20)
    async with echoed(box) as (transport, got):
        await send_all(transport, got, 20, telegram)
        assert numbers(got) == [0, 1, 2]
    async with echoed(box) as (transport, got):
        await send_all(transport, got, 20, bytes(46))
        assert numbers(got) == list(range(20))


async def test_a_cut_call_is_dead_both_ways():
    box = wire(rules.Cut(after_packets=20))
    async with echoed(box) as (transport, got):
        await send_all(transport, got, 40)
        assert len(got) <= 20
        assert box.counts["up", "passed"] + box.counts["down", "passed"] == 20


async def test_a_full_queue_drops_datagrams_and_counts_them_to_the_line():
    line = Line(rate_down_bps=1e9, rate_up_bps=80_000, rtt_s=0.0, queue_bytes=2_000)
    box = wire(line=line)
    async with echoed(box) as (transport, got):
        await send_all(transport, got, 20, bytes(970), spacing_s=0.0)
        assert box.counts["up", "line"] > 0
        assert len(got) == 20 - box.counts["up", "line"]


async def test_the_longest_silent_client_is_forgotten_when_there_are_too_many():
    loop = asyncio.get_running_loop()
    server, _ = await loop.create_datagram_endpoint(Echo, local_addr=("127.0.0.1", 0))
    there = server.get_extra_info("sockname")
    relay = await relay_udp(wire(), ("198.18.3.1", 3478), there, "127.18.3.1")
    for _ in range(MOST_CLIENTS + 5):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.sendto(b"x", relay.address)
        await asyncio.sleep(0)
    await asyncio.sleep(0.05)
    assert len(relay._backs) <= MOST_CLIENTS
    relay.close()
    server.close()
    await asyncio.sleep(0.05)
