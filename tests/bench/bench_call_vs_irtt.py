"""Our call flow beside irtt, in the same namespaces and the same minute.

    python tests/bench/bench_call_vs_irtt.py [--seconds 10] [--rounds 5] [--hogs 2]

Both send 172 bytes every 20 ms. Rounds alternate, ours and irtt's by turns first, on the machine
as it is, then with ``--hogs`` busy loops. Both take the server's own time out of the round trip.

Lateness of both is taken at one place: by tcpdump on the wire, each packet's distance from the
20 ms grid through the run's earliest one (so what all packets of a run share does not show).
Skipped are slots in which no packet was on the wire, lost those without an answer.

Each row: median over the rounds, with the least and the greatest; ratios are taken within a round.
"""

import argparse
import contextlib
import json
import os
import re
import signal
import statistics
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "lab"))

from two_namespaces import FAR, missing, two_namespaces

from probe.call import CallOrder

INTERVAL_NS = 20_000_000
BYTES = 172
PORT = 3478
#: What the kernel has not handed to tcpdump yet comes within its time-out of a second.
FLUSH_S = 1.2
TCPDUMP = "tcpdump -i wire -n -tt -q --time-stamp-precision=nano -s 64"


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--hogs", type=int, default=2)
    options = parser.parse_args()
    if reason := missing():
        raise SystemExit(f"found {reason}, expected root on Linux with ip, nft and irtt")
    tools = {"ours": ours, "irtt": irtt}
    with two_namespaces() as wire, wire.far_end(PORT), irtt_server(wire):
        for hogs in (0, options.hogs):
            rounds = []
            with busy(hogs):
                for number in range(options.rounds):
                    order = list(tools)[:: -1 if number % 2 else 1]
                    rounds.append({name: figures(wire, tools[name], options) for name in order})
            show(hogs, rounds)


@contextlib.contextmanager
def irtt_server(wire):
    words = wire.command(wire.far, ["irtt", "server", "-b", FAR])
    with subprocess.Popen(words, stdout=subprocess.DEVNULL) as process:
        time.sleep(0.5)
        try:
            yield
        finally:
            process.terminate()


@contextlib.contextmanager
def busy(count):
    words = [sys.executable, "-c", "while True: pass"]
    processes = [subprocess.Popen(words) for _ in range(count)]
    try:
        yield
    finally:
        for process in processes:
            process.kill()
            process.wait()


@contextlib.contextmanager
def departures(wire):
    """Fill the list with when each media packet left, in ns, once the context has ended."""
    media = f"udp and dst host {FAR} and udp[4:2] == {8 + BYTES}"
    words = wire.command(wire.near, [*TCPDUMP.split(), media])
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    times = []
    with subprocess.Popen(words, **pipes) as process:
        while "listening" not in process.stderr.readline():
            pass
        yield times
        time.sleep(FLUSH_S)
        process.send_signal(signal.SIGINT)
        lines, _ = process.communicate()
    # A line that does not begin with a time goes on about the packet before.
    times += [
        int(word.replace(".", "")) for word in re.findall(r"^\d+\.\d{9}", lines, re.MULTILINE)
    ]


def figures(wire, tool, options):
    """Make one run; return its figures, times in microseconds."""
    with departures(wire) as left:
        trips = tool(wire, options.seconds)
    planned = round(options.seconds * 1e9 / INTERVAL_NS)
    late = lateness(left, planned)
    known = [trip for trip in trips if trip is not None]
    ipdv = [abs(b - a) for a, b in pairwise(trips) if a is not None and b is not None]
    return {
        "rtt median": statistics.median(known) / 1e3,
        "rtt p99": quantile(known, 0.99) / 1e3,
        "mean |ipdv|": statistics.fmean(ipdv) / 1e3,
        "late median": statistics.median(late) / 1e3,
        "late p99": quantile(late, 0.99) / 1e3,
        "skipped": planned - len(left),
        "lost": trips.count(None),
    }


def lateness(left, planned):
    """Return how far each packet is from the grid through the earliest.

    Who skipped a slot (irtt does, where it would be more than half an interval late) does not say
    which: then a packet counts to the slot it is in.
    """
    if len(left) == planned:
        late = [at - slot * INTERVAL_NS for slot, at in enumerate(left)]
        return [at - min(late) for at in late]
    around = sorted(at % INTERVAL_NS for at in left)
    gaps = [b - a for a, b in pairwise([around[-1] - INTERVAL_NS, *around])]
    earliest = around[gaps.index(max(gaps))]
    return [(at - earliest) % INTERVAL_NS for at in left]


def ours(wire, seconds):
    """Make one flow; return its round trips in ns, ``None`` for a lost one."""
    order = CallOrder(host=FAR, port=PORT, profile="voip-20", duration_s=seconds)
    columns = wire.call(order)["flows"][0]["call"]["trace"]
    names = ("kernel_receive_ns", "kernel_send_ns", "far_send_ns", "far_receive_ns")
    return [
        None if None in times else (times[0] - times[1]) - (times[2] - times[3])
        for times in zip(*(columns[name] for name in names), strict=True)
    ]


def irtt(wire, seconds):
    """Return the same of irtt."""
    words = ["irtt", "client", "-i", "20ms", "-l", str(BYTES), "-d", f"{seconds}s", "-q"]
    words += ["-o", "-", FAR]
    done = subprocess.run(
        wire.command(wire.near, words), check=True, capture_output=True, timeout=120
    )
    return [trip["delay"].get("rtt") for trip in json.loads(done.stdout)["round_trips"]]


def quantile(values, share):
    return sorted(values)[min(int(len(values) * share), len(values) - 1)]


def show(hogs, rounds):
    idle = f"load {os.getloadavg()[0]:.1f}"
    print(f"\n{hogs} busy loops, {len(rounds)} rounds, {idle}; microseconds")  # noqa: T201 - its output
    print(f"{'':>12}{'ours':>26}{'irtt':>26}{'ratio':>26}")  # noqa: T201 - as above
    for name in rounds[0]["ours"]:
        pairs = [(made["ours"][name], made["irtt"][name]) for made in rounds]
        ratios = [a / b for a, b in pairs if b]
        cells = [spread(values) for values in (*zip(*pairs, strict=True), ratios)]
        print(f"{name:>12}" + "".join(f"{cell:>26}" for cell in cells))  # noqa: T201 - as above


def spread(values):
    """Write a median with the least and the greatest."""
    if not values:
        return "-"
    digits = 0 if max(values) >= 10 else 3
    words = (f"{x:.{digits}f}" for x in (statistics.median(values), min(values), max(values)))
    return "{} ({}-{})".format(*words)


if __name__ == "__main__":
    main()
