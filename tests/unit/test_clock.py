"""The timer, the two clocks, and the kernel's stamps."""

import contextlib
import select
import socket
import time

import pytest

from probe.clock import Ticker, WallOffset, enable_arrival, enable_stamps, receive, transmit_stamp

MS = 1_000_000


class Clocks:
    """A monotonic and a wall clock that a test moves."""

    def __init__(self):
        self.monotonic_ns = 5_000 * MS
        self.wall_ns = 1_700_000_000_000 * MS

    def offset(self):
        return WallOffset(lambda: self.monotonic_ns, lambda: self.wall_ns)

    def pass_time(self, ns):
        self.monotonic_ns += ns
        self.wall_ns += ns


@pytest.fixture
def sockets():
    near, far = (socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(2))
    far.bind(("127.0.0.1", 0))
    enable_stamps(near, transmit=True)
    enable_stamps(far, transmit=False)
    near.connect(far.getsockname())
    near.settimeout(0)
    far.settimeout(0)
    yield near, far
    near.close()
    far.close()


def test_a_ticker_ticks_at_its_times_and_tells_how_many_were_missed():
    start_ns = time.monotonic_ns() + 20 * MS
    ticker = Ticker(start_ns, 5 * MS)
    assert ticker.ticks() == 0
    assert select.select([ticker.fileno()], [], [], 5)[0]
    assert time.monotonic_ns() >= start_ns
    assert ticker.ticks() >= 1
    time.sleep(0.03)
    assert ticker.ticks() >= 5
    ticker.close()
    ticker.close()


def test_a_ticker_whose_first_tick_has_passed_ticks_at_once():
    ticker = Ticker(0, 1000 * MS)
    assert select.select([ticker.fileno()], [], [], 5)[0]
    ticker.close()


def test_a_kernel_stamp_comes_to_the_monotonic_clock():
    clocks = Clocks()
    offset = clocks.offset()
    clocks.pass_time(300 * MS)
    assert offset.to_monotonic(clocks.wall_ns) == clocks.monotonic_ns


@pytest.mark.parametrize("step_ns", [3_600_000 * MS, -3_600_000 * MS, 2 * MS])
def test_a_wall_clock_that_is_set_is_noticed_and_followed(step_ns):
    clocks = Clocks()
    offset = clocks.offset()
    clocks.pass_time(300 * MS)
    clocks.wall_ns += step_ns
    offset.watch()
    assert offset.step_ns == step_ns
    assert offset.to_monotonic(clocks.wall_ns) == clocks.monotonic_ns


def test_two_steps_add_up_and_reading_jitter_is_not_a_step():
    clocks = Clocks()
    offset = clocks.offset()
    clocks.wall_ns += 500_000
    offset.watch()
    assert offset.step_ns == 0
    for step_ns in (10 * MS, 20 * MS):
        clocks.wall_ns += step_ns
        offset.watch()
    assert offset.step_ns == pytest.approx(30 * MS, abs=MS)


def test_received_datagrams_carry_the_kernels_stamp(sockets):
    near, far = sockets
    before_ns = time.time_ns()
    near.send(b"hello")
    datagram = receive(far)
    assert (datagram.data, datagram.address) == (b"hello", near.getsockname())
    if datagram.kernel_ns is None:
        pytest.skip("this kernel gives no receive stamps")
    assert before_ns - MS <= datagram.kernel_ns <= time.time_ns() + MS


def test_transmit_stamps_are_numbered_from_zero(sockets):
    near, _ = sockets
    for _ in range(3):
        near.send(b"hello")
    stamps = [transmit_stamp(near) for _ in range(4)]
    if stamps[0] is None:
        pytest.skip("this kernel gives no transmit stamps")
    assert [stamp and stamp[0] for stamp in stamps] == [0, 1, 2, None]
    assert sorted(stamp[1] for stamp in stamps[:3]) == [stamp[1] for stamp in stamps[:3]]


def test_a_socket_tells_how_many_it_had_to_drop(sockets):
    near, far = sockets
    enable_arrival(far)
    far.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
    for _ in range(100):
        near.send(bytes(1000))
    taken = 0
    with contextlib.suppress(BlockingIOError):
        while True:
            assert receive(far).overflowed == 0
            taken += 1
    near.send(b"after")
    assert receive(far).overflowed == 100 - taken > 0


def test_an_empty_socket_has_nothing_to_receive(sockets):
    near, far = sockets
    assert transmit_stamp(near) is None
    with pytest.raises(BlockingIOError):
        receive(far)


def test_a_socket_without_stamps_still_receives():
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as near,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as far,
    ):
        far.bind(("127.0.0.1", 0))
        near.sendto(b"x", far.getsockname())
        assert receive(far).kernel_ns is None
