"""Flows over real sockets on loopback: a far end, a relay, and peers that fail."""

import asyncio
import contextlib
import gc
import socket

import pytest

from probe import failure
from probe.call import CallOrder, call_pair, stun
from probe.call.pair import call_flows
from probe.farend import FarEndConfig, ReflectorLimits, serve
from probe.measurement import DnsAnswer
from probe.network import Network
from probe.trace import unpack_trace

NETWORK = Network()


def far_end(**config):
    return serve(
        FarEndConfig(**{"host": "127.0.0.1", "calls": (0, 0), "https_port": None} | config)
    )


def order(port, **changes):
    return CallOrder(**{"host": "127.0.0.1", "port": port, "duration_s": 0.6, "seed": 4} | changes)


class Stun(asyncio.DatagramProtocol):
    """A relay that answers its first ``answers`` Binding requests."""

    def __init__(self, answers=10_000):
        self.answers = answers
        self.asked = []

    def connection_made(self, transport):
        self.transport = transport

    def datagram_received(self, data, address):
        self.asked.append((asyncio.get_running_loop().time(), data))
        if len(self.asked) <= self.answers:
            message = stun.decode(data)
            mapped = ((stun.XOR_MAPPED_ADDRESS, stun.xor_address(address, message.transaction)),)
            answer = stun.Message(stun.BINDING_SUCCESS, message.transaction, mapped)
            self.transport.sendto(stun.encode(answer), address)


@contextlib.asynccontextmanager
async def relay(**options):
    loop = asyncio.get_running_loop()
    transport, protocol = await loop.create_datagram_endpoint(
        lambda: Stun(**options), local_addr=("127.0.0.1", 0)
    )
    try:
        yield protocol, transport.get_extra_info("sockname")[1]
    finally:
        transport.close()


@contextlib.contextmanager
def unused_port():
    """Hold a UDP port that answers nothing at all."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.bind(("127.0.0.1", 0))
        yield silent.getsockname()[1]


async def test_a_pair_of_two_seconds_loses_nothing_and_keeps_every_time():
    async with far_end() as running:
        first, second = running.call_ports
        outcomes = await call_pair(
            order(first, shape="telegram", duration_s=2.0),
            order(second, duration_s=2.0),
            NETWORK,
        )
    for outcome in outcomes:
        call = outcome.call
        assert (outcome.failure, call.setup, call.ended) == (None, "ok", "complete")
        assert (call.planned, call.sent, call.received, call.far_received) == (33, 33, 33, 33)
        assert (call.lost_up, call.lost_down, call.lost) == (0, 0, 0)
        columns = unpack_trace(call.trace)
        assert None not in columns["user_receive_ns"]
        for out, there, back in zip(
            columns["user_send_ns"], columns["planned_ns"], columns["user_receive_ns"], strict=True
        ):
            assert there <= out < back
    sizes = [unpack_trace(outcome.call.trace)["size_bytes"] for outcome in outcomes]
    assert sizes[0] == sizes[1]


async def test_kernel_stamps_lie_between_the_users_own():
    async with far_end() as running:
        outcome, _ = await call_pair(
            order(running.call_ports[0]), order(running.call_ports[1]), NETWORK
        )
    if outcome.stamps != ("rx", "tx"):
        pytest.skip(f"this kernel gives only {outcome.stamps}")
    columns = unpack_trace(outcome.call.trace)
    for out, left, came, back in zip(
        *(
            columns[name]
            for name in ("user_send_ns", "kernel_send_ns", "kernel_receive_ns", "user_receive_ns")
        ),
        strict=True,
    ):
        assert out <= left <= came <= back


async def test_ipv6_works_as_ipv4_does():
    async with far_end(host="::1") as running:
        outcomes = await call_pair(
            order(running.call_ports[0], host="::1", shape="whatsapp"),
            order(running.call_ports[1], host="::1"),
            NETWORK,
        )
    assert [outcome.call.received for outcome in outcomes] == [10, 10]


async def test_one_port_serves_both_families_when_the_host_is_every_address():
    async with far_end(host="::", calls=(0,)) as running:
        port = running.call_ports[0]
        outcomes = await call_pair(
            order(port, host="::1", duration_s=0.1), order(port, duration_s=0.1), NETWORK
        )
    assert [outcome.call.setup for outcome in outcomes] == ["ok", "ok"]


async def test_an_answer_comes_from_the_very_address_that_was_called():
    async with far_end(host="0.0.0.0") as running:
        first, second = running.call_ports
        outcomes = await call_pair(
            order(first, host="127.0.0.2", duration_s=0.1),
            order(second, host="127.0.0.3", duration_s=0.1),
            NETWORK,
        )
    assert [outcome.call.setup for outcome in outcomes] == ["ok", "ok"]


async def test_a_far_end_that_never_answers_is_a_timeout_and_no_packet_is_sent():
    with unused_port() as port:
        outcome, other = await call_pair(order(port), order(port), NETWORK)
    assert (outcome.failure, outcome.call.setup) == (failure.TIMEOUT, "no_answer")
    assert (outcome.call.sent, outcome.call.trace.packets, other.failure) == (
        0,
        0,
        failure.TIMEOUT,
    )


async def test_a_port_nobody_listens_on_is_refused():
    with unused_port() as port:
        pass
    outcome, _ = await call_pair(order(port), order(port), NETWORK)
    assert (outcome.failure, outcome.call.setup) == (failure.REFUSED, "refused")


async def test_a_full_far_end_rejects_and_says_so():
    async with far_end(reflector=ReflectorLimits(flows=1)) as running:
        port = running.call_ports[0]
        outcomes = await call_pair(order(port), order(port), NETWORK)
    setups = sorted(outcome.call.setup for outcome in outcomes)
    assert setups == ["ok", "rejected"]


async def test_losses_at_a_far_end_over_its_limits_are_not_taken_for_the_lines():
    limits = ReflectorLimits(client_packets_per_s=12)
    async with far_end(reflector=limits) as running:
        outcome, _ = await call_pair(
            order(running.call_ports[0]), order(running.call_ports[1]), NETWORK
        )
    assert outcome.failure == "unknown_failure far end over its limits"
    assert outcome.call.sent == 10 > outcome.call.received


async def test_one_flow_that_cannot_start_does_not_stop_the_other():
    async with far_end() as running:
        with unused_port() as silent:
            outcome, other = await call_pair(order(silent), order(running.call_ports[0]), NETWORK)
    assert outcome.call.setup == "no_answer"
    assert other.call.received == 10


async def test_a_name_that_does_not_resolve_is_a_failure_of_its_own():
    class Nowhere:
        async def resolve(self, host, port):
            del port
            return (), DnsAnswer(name=host, failure=failure.DNS_NXDOMAIN)

    outcome, _ = await call_pair(order(1), order(1), Nowhere())
    assert (outcome.failure, outcome.call.address) == (failure.DNS_NXDOMAIN, None)


async def test_a_far_end_that_dies_mid_call_leaves_a_finished_record():
    async with contextlib.AsyncExitStack() as stack:
        running = await stack.enter_async_context(far_end())
        first, second = running.call_ports
        calling = asyncio.create_task(
            call_pair(order(first, duration_s=9), order(second, duration_s=9), NETWORK)
        )
        await asyncio.sleep(1)
        await stack.aclose()
        outcomes = await calling
    for outcome in outcomes:
        call = outcome.call
        assert (outcome.failure, call.ended) == (failure.REFUSED, "unreachable")
        assert 0 < call.received < call.sent < call.planned
        assert call.lost == call.sent - call.received


async def test_a_relay_that_answers_is_asked_at_the_cadence_with_twenty_bytes():
    async with relay() as (asked, port), relay() as (_, other):
        outcome, _ = await call_pair(order(port, peer="relay"), order(other, peer="relay"), NETWORK)
    call = outcome.call
    assert (outcome.failure, call.setup, call.shape, call.received) == (None, "ok", "stun", 10)
    assert (call.lost, call.lost_up, call.lost_down, call.far_received) == (0, None, None, None)
    assert {len(data) for _, data in asked.asked} == {20}


async def test_a_relay_that_never_answers_is_left_alone_after_three_seconds():
    async with relay(answers=0) as (asked, port), relay() as (_, other):
        outcome, neighbour = await call_pair(
            order(port, peer="relay", duration_s=5),
            order(other, peer="relay", duration_s=5),
            NETWORK,
        )
    call = outcome.call
    assert (outcome.failure, call.setup, call.ended) == (failure.TIMEOUT, "no_answer", "silence")
    assert 50 <= call.sent == len(asked.asked) <= 52
    assert neighbour.call.ended == "complete"


async def test_a_relay_that_falls_silent_is_left_alone_with_its_losses_kept():
    async with relay(answers=10) as (_, port), relay() as (_, other):
        outcome, _ = await call_pair(
            order(port, peer="relay", duration_s=5),
            order(other, peer="relay", duration_s=5),
            NETWORK,
        )
    call = outcome.call
    assert (outcome.failure, call.setup, call.ended, call.received) == (None, "ok", "silence", 10)
    assert call.lost == call.sent - 10


async def test_a_relay_never_sees_more_than_seventeen_packets_a_second():
    async with relay() as (asked, port), relay() as (_, other):
        await call_pair(
            order(port, peer="relay", duration_s=3),
            order(other, peer="relay", duration_s=3),
            NETWORK,
        )
    times = [at for at, _ in asked.asked]
    assert len(times) == 50
    assert times[-1] - times[0] > 48 * 0.06


async def test_our_own_address_is_nowhere_in_what_a_relay_told_us():
    async with relay() as (_, port):
        outcome, _ = await call_pair(
            order(port, peer="relay", host="127.0.0.1"), order(port, peer="relay"), NETWORK
        )
    assert set(unpack_trace(outcome.call.trace)) == {
        "planned_ns",
        "user_send_ns",
        "kernel_send_ns",
        "far_receive_ns",
        "far_send_ns",
        "kernel_receive_ns",
        "user_receive_ns",
        "size_bytes",
        "fate",
    }
    assert outcome.call.address == "127.0.0.1"


async def test_twenty_flows_at_once_lose_nothing():
    async with far_end() as running:
        orders = [
            order(running.call_ports[n % 2], profile="voip-20", duration_s=1.0, seed=n)
            for n in range(20)
        ]
        outcomes = await call_flows(orders, NETWORK)
    assert [outcome.call.received for outcome in outcomes] == [50] * 20


async def test_a_cancelled_pair_closes_its_sockets_at_once():
    async with far_end() as running:
        first, second = running.call_ports
        calling = asyncio.create_task(
            call_pair(order(first, duration_s=20), order(second, duration_s=20), NETWORK)
        )
        await asyncio.sleep(0.5)
        calling.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asyncio.wait_for(calling, 2)
    gc.collect()  # an open socket would warn here, and a warning fails the test


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ({"profile": "voip-30"}, "profile 'voip-30', expected one of voip-60, voip-20"),
        ({"shape": "skype"}, "shape 'skype', expected one of random, rtp"),
        ({"port": 0}, "port 0, expected 1 to 65535"),
        ({"duration_s": 0.0}, "0.0 s, expected more than 0"),
        ({"peer": "relay", "duration_s": 21.0}, "21.0 s, expected more than 0 and up to 20"),
        ({"peer": "relay", "profile": "voip-20"}, "17 packets a second is the most"),
    ],
)
def test_an_order_that_cannot_be_or_would_be_impolite_is_refused(changes, found):
    with pytest.raises(ValueError, match=found):
        order(**{"port": 3478} | changes)
