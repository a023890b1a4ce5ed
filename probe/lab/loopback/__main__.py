"""The lab's own process: reads one order on standard input, runs until standard input ends.

A process of its own, so that the emulation's work never shows in the probe's timing. Standard
input ends when whoever started it closes it, or dies.
"""

from __future__ import annotations

import asyncio
import signal
import sys
from pathlib import Path

import msgspec

from probe.lab.loopback.order import Order, Ready
from probe.lab.loopback.running import run_lab


async def _main() -> None:
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ended.set)
    line = await loop.run_in_executor(None, sys.stdin.buffer.readline)
    order = msgspec.json.decode(line, type=Order)
    loop.add_reader(sys.stdin.fileno(), ended.set)
    async with run_lab(order.preset, order.seed, Path(order.directory)) as running:
        ready = Ready(targets_file=str(running.targets_file), environ=running.environ)
        sys.stdout.buffer.write(msgspec.json.encode(ready) + b"\n")
        sys.stdout.flush()
        await ended.wait()


if __name__ == "__main__":
    asyncio.run(_main())
