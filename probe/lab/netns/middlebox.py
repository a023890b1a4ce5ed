"""The process in the middle: reads packets from two TUN devices, asks the engine, writes them.

Started by ``probe.lab.netns.lab`` inside the isp's namespace. Standard input brings the preset and
the seed as one line of JSON, then one line per request for the counts; when it ends, so does the
process: a lab that was killed leaves no middlebox behind. Standard output answers line by line.
"""

from __future__ import annotations

import gc
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from select import select

import msgspec

from probe.lab.netns.engine import Engine, Orders
from probe.lab.netns.plumbing import TUN_DOWN, TUN_QUEUE_PACKETS, TUN_UP
from probe.lab.netns.tun import open_tun
from probe.lab.rules import Direction

#: Packets read from one device before timers and the other device get their turn.
_BATCH = 32
_PACKET_BYTES = 2048
#: A low real-time priority: what the emulated line does must not depend on who else is busy.
_PRIORITY = 1


def main() -> None:
    """Run until standard input ends."""
    orders = msgspec.json.decode(sys.stdin.buffer.readline(), type=Orders)
    up, down = (open_tun(device, TUN_QUEUE_PACKETS) for device in (TUN_UP, TUN_DOWN))
    # Each direction is read from its own device and leaves by the other's.
    out = {"up": down, "down": up}
    engine = Engine(orders.preset, orders.seed, lambda way, packet: os.write(out[way], packet))
    _be_punctual()
    answer = _answerer(engine)
    answer()
    _carry({up: "up", down: "down"}, engine, sys.stdin.fileno(), answer)


def _carry(
    sources: dict[int, Direction], engine: Engine, requests: int, answer: Callable[[], None]
) -> None:
    read, clock = os.read, time.monotonic
    watched = [*sources, requests]
    while True:
        due = engine.next_at()
        # select(2) takes microseconds; epoll would round up to whole milliseconds.
        ready, _, _ = select(watched, (), (), None if due is None else max(0.0, due - clock()))
        engine.run(clock())
        for fd in ready:
            if fd == requests:
                if not read(fd, 4096):
                    return
                answer()
                continue
            direction = sources[fd]
            try:
                for _ in range(_BATCH):
                    engine.arrive(direction, read(fd, _PACKET_BYTES), clock())
            except BlockingIOError:
                continue


def _answerer(engine: Engine) -> Callable[[], None]:
    def answer() -> None:
        engine.tally.overrun_packets = sum(map(_overrun, (TUN_UP, TUN_DOWN)))
        os.write(sys.stdout.fileno(), msgspec.json.encode(engine.tally) + b"\n")

    return answer


def _overrun(device: str) -> int:
    """Read how many packets the kernel dropped because a device's queue was full."""
    return int(Path(f"/sys/class/net/{device}/statistics/tx_dropped").read_text())


def _be_punctual() -> None:
    """Take what hurts punctuality out of the way, as far as the machine lets us."""
    gc.disable()  # no cycles are made per packet, and a collection would delay hundreds
    Path("/proc/self/timerslack_ns").write_text("1")
    try:
        os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(_PRIORITY))
    except PermissionError:
        sys.stderr.write("no real-time priority (CAP_SYS_NICE): delays may be late\n")


if __name__ == "__main__":
    main()
