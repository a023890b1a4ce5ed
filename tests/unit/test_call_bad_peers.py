"""Peers and networks that misbehave, over real sockets: every packet gets a fate."""

import asyncio
import contextlib
import itertools
import random
import socket
import time

import pytest
from call_in_memory import make_reflector

from probe.call import CallOrder, stun
from probe.call.pair import call_flows
from probe.call.udp import UdpSocket
from probe.clock import WallOffset
from probe.farend import FarEndConfig, serve
from probe.farend.udp import AnsweringSocket
from probe.network import Network
from probe.trace import FATES, unpack_trace

MS = 1_000_000


class Middle:
    """A box on loopback between probe and far end: a socket of its own for each flow.

    ``pass_up`` and ``pass_down`` are given the datagram and how many came before it on that way,
    and return what goes on: any number of datagrams.
    """

    def __init__(self, far_port, pass_up=None, pass_down=None):
        self.far = ("127.0.0.1", far_port)
        self.pass_up = pass_up or (lambda data, _: [data])
        self.pass_down = pass_down or (lambda data, _: [data])
        self.outer = {}
        self.counts = {"up": 0, "down": 0}
        self.loop = asyncio.get_running_loop()
        self.inner = self.open(self.from_probe)
        self.inner.bind(("127.0.0.1", 0))
        self.port = self.inner.getsockname()[1]

    def open(self, reader, *words):
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        self.loop.add_reader(sock, reader, sock, *words)
        return sock

    def from_probe(self, sock):
        data, address = sock.recvfrom(2048)
        if address not in self.outer:
            self.outer[address] = self.open(self.from_far_end, address)
        for datagram in self.pass_up(data, self.counts["up"]):
            self.outer[address].sendto(datagram, self.far)
        self.counts["up"] += 1

    def from_far_end(self, sock, address):
        data = sock.recv(2048)
        for datagram in self.pass_down(data, self.counts["down"]):
            self.inner.sendto(datagram, address)
        self.counts["down"] += 1

    def rebind(self):
        """Forget every mapping, as a NAT does that restarts."""
        for sock in self.outer.values():
            self.loop.remove_reader(sock)
            sock.close()
        self.outer.clear()

    def leave(self):
        """Let the kernel say that nobody is here."""
        self.loop.remove_reader(self.inner)
        self.inner.close()

    def come_back(self):
        self.inner = self.open(self.from_probe)
        self.inner.bind(("127.0.0.1", self.port))

    def close(self):
        self.rebind()
        self.leave()


@contextlib.asynccontextmanager
async def middle(**ways):
    async with serve(FarEndConfig(host="127.0.0.1", calls=(0,), https_port=None)) as running:
        box = Middle(running.call_ports[0], **ways)
        try:
            yield box
        finally:
            box.close()


async def call_through(box, flows=2, **changes):
    order = CallOrder(host="127.0.0.1", port=box.port, duration_s=1.2, seed=1, **changes)
    outcomes = await call_flows([order] * flows, Network())
    return [(outcome, fates(outcome)) for outcome in outcomes]


def fates(outcome):
    return [FATES[index] for index in unpack_trace(outcome.call.trace)["fate"]]


def is_media(data):
    """Tell media replies from those of the opening and the report."""
    return 140 <= len(data) != 480


async def test_a_nat_that_rebinds_mid_call_costs_the_replies_and_no_knowledge():
    async with middle() as box:
        asyncio.get_running_loop().call_later(0.7, box.rebind)
        results = await call_through(box)
    for outcome, fate in results:
        kept = fate.count("ok")
        assert 5 <= kept <= 15
        assert fate == ["ok"] * kept + ["lost_down"] * (20 - kept)
        assert (outcome.failure, outcome.call.ended) == (None, "complete")
        assert outcome.call.far_received == 20


async def test_replies_sent_twice_are_duplicates_and_lose_nothing():
    async with middle(pass_down=lambda data, _: [data, data]) as box:
        results = await call_through(box)
    for outcome, fate in results:
        assert fate == ["duplicate"] * 20
        assert (outcome.call.received, outcome.call.duplicates) == (20, 20)


async def test_packets_sent_twice_on_the_way_up_are_counted_by_the_far_end():
    async with middle(pass_up=lambda data, _: [data, data]) as box:
        results = await call_through(box)
    for outcome, fate in results:
        assert fate == ["ok"] * 20
        assert outcome.call.duplicates == 20


async def test_noise_truncation_and_stretching_on_the_way_down_are_losses_and_nothing_worse():
    rng = random.Random(5)

    def spoil(data, _):
        if not is_media(data):
            return [data]
        noise = rng.randbytes(len(data))
        return [rng.choice((data, data[:-7], data + b"x", data + bytes(60_000), noise))]

    async with middle(pass_down=spoil) as box:
        results = await call_through(box)
    for outcome, fate in results:
        assert set(fate) <= {"ok", "lost_down"}
        assert outcome.call.received == fate.count("ok") < 20
        assert outcome.failure is None


async def test_replies_that_come_in_another_order_are_each_their_own_packets():
    held = []

    def swap(data, _):
        if not is_media(data):
            return [data]
        held.append(data)
        return [held.pop(), held.pop()] if len(held) == 2 else []

    async with middle(pass_down=swap) as box:
        [(_, fate)] = await call_through(box, flows=1)
    assert fate == ["ok"] * 20


async def test_a_reply_held_back_beyond_all_patience_is_late_and_heard_of_all_the_same():
    held = []

    def hold_the_first(data, _):
        if not is_media(data):
            return [data]
        held.append(data)
        return [data, held[0]] if len(held) == 20 else [data] * (len(held) > 1)

    async with middle(pass_down=hold_the_first) as box:
        [(outcome, fate)] = await call_through(box, flows=1)
    assert fate == ["late"] + ["ok"] * 19
    assert (outcome.call.late, outcome.call.received) == (1, 20)


async def test_replies_of_an_earlier_call_mean_nothing_to_the_next():
    kept = []

    def keep(data, _):
        kept.append(data)
        return [data]

    async with middle(pass_down=keep) as box:
        await call_through(box, flows=1)
        earlier = [data for data in kept if is_media(data)]
        box.pass_down = lambda data, before: [earlier[before % len(earlier)], data]
        [(outcome, fate)] = await call_through(box, flows=1)
    assert fate == ["ok"] * 20
    assert (outcome.call.received, outcome.call.duplicates) == (20, 0)


async def test_replies_from_another_address_are_nobodys():
    async with middle() as box:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:

            def elsewhere(data, before):
                if not is_media(data) or before % 2:
                    return [data]
                (probe,) = box.outer
                stranger.sendto(data, probe)
                return []

            box.pass_down = elsewhere
            [(outcome, fate)] = await call_through(box, flows=1)
    assert (fate.count("ok"), fate.count("lost_down")) == (10, 10)
    assert outcome.call.received == 10


async def test_a_port_that_is_gone_for_a_moment_costs_those_packets_only():
    loop = asyncio.get_running_loop()
    async with middle() as box:
        loop.call_later(0.5, box.leave)
        loop.call_later(0.8, box.come_back)
        results = await call_through(box)
    for outcome, fate in results:
        gone, first = fate.count("lost_up"), fate.index("lost_up")
        assert fate == ["ok"] * first + ["lost_up"] * gone + ["ok"] * (20 - first - gone)
        assert (outcome.failure, outcome.call.ended) == (None, "complete")


async def test_a_peer_that_falls_silent_mid_call_leaves_losses_without_a_direction():
    async with middle(pass_up=lambda data, before: [data] if before < 15 else []) as box:
        [(outcome, fate)] = await call_through(box, flows=1)
    kept = fate.count("ok")
    assert 10 <= kept <= 15
    assert fate == ["ok"] * kept + ["lost"] * (20 - kept)
    assert (outcome.failure, outcome.call.ended) == (None, "complete")


async def test_a_far_end_that_claims_to_have_held_packets_for_seconds_costs_its_times_only():
    lies_ns = itertools.cycle((0, 4_000 * MS))
    reflector = make_reflector(lambda: time.monotonic_ns() + next(lies_ns))

    def answer(datagram, received_ns):
        replies = reflector.handle(datagram.data, datagram.address, received_ns)
        return [(reply, datagram.address) for reply in replies]

    far_end = AnsweringSocket(("127.0.0.1", 0), answer, WallOffset())
    [(outcome, fate)] = await call_through(far_end, flows=1)
    far_end.close()
    assert fate == ["ok"] * 20
    columns = unpack_trace(outcome.call.trace)
    for name in ("far_receive_ns", "far_send_ns"):
        assert columns[name].count(None) == 10


async def test_of_a_relays_answers_only_the_whole_ones_to_what_was_asked_count():
    kinds = itertools.cycle(("ok", "cut", "forged", "twice"))

    def answer(datagram, _):
        asked = stun.decode(datagram.data).transaction
        mapped = ((stun.XOR_MAPPED_ADDRESS, stun.xor_address(datagram.address, asked)),)
        whole = stun.encode(stun.Message(stun.BINDING_SUCCESS, asked, mapped))
        forged = stun.encode(stun.Message(stun.BINDING_SUCCESS, b"another call", mapped))
        sent = {"ok": [whole], "cut": [whole[:-3]], "forged": [forged], "twice": [whole, whole]}
        return [(reply, datagram.address) for reply in sent[next(kinds)]]

    relay = AnsweringSocket(("127.0.0.1", 0), answer, WallOffset())
    [(outcome, fate)] = await call_through(relay, flows=1, peer="relay")
    relay.close()
    assert fate == ["ok", "lost", "lost", "duplicate"] * 5
    assert (outcome.failure, outcome.call.received, outcome.call.duplicates) == (None, 10, 5)


async def test_a_lossy_opening_is_repeated_until_it_is_through():
    async with middle(
        pass_up=lambda data, before: [data] if before >= 3 else [],
        pass_down=lambda data, before: [data] if before >= 3 else [],
    ) as box:
        results = await call_through(box)
    for outcome, fate in results:
        assert outcome.call.setup == "ok"
        assert outcome.call.setup_s > 0.9
        assert fate == ["ok"] * 20


class Listening:
    """A listener that keeps what it is told."""

    def __init__(self):
        self.left, self.came = [], []

    def on_left(self, number, kernel_ns):
        self.left.append((number, kernel_ns))

    def on_datagram(self, data, user_ns, kernel_ns):
        self.came.append((data, user_ns, kernel_ns))

    def on_error(self, error):
        raise error


async def test_a_socket_tells_what_this_process_was_too_slow_to_take():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as peer:
        peer.bind(("127.0.0.1", 0))
        sock = UdpSocket(peer.getsockname(), WallOffset(), Listening())
        sock._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
        sock.send(b"here")
        _, address = peer.recvfrom(10)
        for _ in range(100):
            peer.sendto(bytes(1000), address)
        await asyncio.sleep(0.1)
        assert sock.overflowed == 0
        peer.sendto(b"after", address)
        await asyncio.sleep(0.1)
        sock.close()
    assert sock.overflowed > 50


@pytest.mark.parametrize("step_ns", [-3_600_000 * MS, 50 * MS, 3_600_000 * MS])
async def test_a_wall_clock_set_mid_call_moves_no_stamp(step_ns):
    """The step is made by lying about the wall clock before it, not after: kernels cannot lie."""
    lie = {"ns": -step_ns}
    wall = WallOffset(wall_ns=lambda: time.time_ns() + lie["ns"])
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as echo:
        echo.bind(("127.0.0.1", 0))
        listener = Listening()
        sock = UdpSocket(echo.getsockname(), wall, listener)
        lie["ns"] = 0
        sent_ns = sock.send(b"ping")
        sock.take_stamp()
        echo.sendto(*echo.recvfrom(10))
        await asyncio.sleep(0.05)
        sock.close()
    assert wall.step_ns == pytest.approx(step_ns, abs=MS)
    (_, user_ns, kernel_ns), (_, left_ns) = listener.came[0], listener.left[0]
    assert sent_ns <= left_ns + MS
    assert left_ns - MS <= kernel_ns <= user_ns + MS


@pytest.mark.parametrize("step_ns", [-3_600_000 * MS, 50 * MS, 3_600_000 * MS])
async def test_a_call_during_which_the_wall_clock_is_set_is_whole_and_says_so(step_ns):
    lie = {"ns": -step_ns}
    wall = WallOffset(wall_ns=lambda: time.time_ns() + lie["ns"])
    async with middle() as box:
        asyncio.get_running_loop().call_later(0.8, lie.update, {"ns": 0})
        order = CallOrder(host="127.0.0.1", port=box.port, duration_s=1.2, seed=1)
        (outcome,) = await call_flows([order], Network(), wall)
    assert fates(outcome) == ["ok"] * 20
    assert outcome.clock_step_s == pytest.approx(step_ns / 1e9, abs=1e-3)
    columns = unpack_trace(outcome.call.trace)
    names = ("user_send_ns", "kernel_send_ns", "kernel_receive_ns", "user_receive_ns")
    for out, left, came, back in zip(*(columns[name] for name in names), strict=True):
        assert left is None or out - MS <= left <= back + MS
        assert came is None or out - MS <= came <= back + MS
    if outcome.stamps:
        assert columns["kernel_receive_ns"][-1] is not None
