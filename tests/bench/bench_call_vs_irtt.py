"""Our call flow beside irtt, in the same namespaces and the same minute.

    python tests/bench/bench_call_vs_irtt.py [--seconds 10] [--rounds 4] [--hogs 2]

Both send 172 bytes every 20 ms. Rounds alternate, ours then irtt's, first on the machine as it is,
then with ``--hogs`` busy loops. The servers' own time is taken out of the round trip by both.
Lateness: ours against the planned time, irtt's against the grid through its earliest packet (it
does not say what it planned, and leaves out slots it is late for), which flatters it.
"""

import argparse
import contextlib
import json
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


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--hogs", type=int, default=2)
    options = parser.parse_args()
    if reason := missing():
        raise SystemExit(f"found {reason}, expected root on Linux with ip, nft and irtt")
    with two_namespaces() as wire, wire.far_end(PORT), irtt_server(wire):
        for hogs in (0, options.hogs):
            with busy(hogs):
                rounds = [
                    (ours(wire, options.seconds), irtt(wire, options.seconds))
                    for _ in range(options.rounds)
                ]
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


def ours(wire, seconds):
    """Return the samples of one flow, in ns."""
    order = CallOrder(host=FAR, port=PORT, profile="voip-20", duration_s=seconds)
    call = wire.call(order)["flows"][0]["call"]
    columns = call["trace"]
    names = ("kernel_receive_ns", "kernel_send_ns", "far_send_ns", "far_receive_ns")
    trips = [
        None if None in times else (times[0] - times[1]) - (times[2] - times[3])
        for times in zip(*(columns[name] for name in names), strict=True)
    ]
    late = [
        out - planned
        for out, planned in zip(columns["user_send_ns"], columns["planned_ns"], strict=True)
    ]
    return samples(trips, late, call["planned"] - call["sent"])


def irtt(wire, seconds):
    """Return the same of irtt."""
    words = ["irtt", "client", "-i", "20ms", "-l", str(BYTES), "-d", f"{seconds}s", "-q"]
    words += ["-o", "-", FAR]
    done = subprocess.run(
        wire.command(wire.near, words), check=True, capture_output=True, timeout=120
    )
    report = json.loads(done.stdout)
    trips = [trip["delay"].get("rtt") for trip in report["round_trips"]]
    sent = [trip["timestamps"]["client"]["send"]["monotonic"] for trip in report["round_trips"]]
    skipped = round(seconds * 1e9 / INTERVAL_NS) - len(sent)
    # A tenth of the interval early still belongs to the slot.
    early = INTERVAL_NS // 10
    grid = [(at - sent[0] + early) % INTERVAL_NS for at in sent]
    return samples(trips, [at - min(grid) for at in grid], skipped)


def samples(trips, late, skipped):
    ipdv = [abs(b - a) for a, b in pairwise(trips) if a is not None and b is not None]
    return {"rtt": [trip for trip in trips if trip is not None], "ipdv": ipdv, "late": late} | {
        "skipped": skipped,
        "lost": trips.count(None),
    }


def quantile(values, share):
    return sorted(values)[min(int(len(values) * share), len(values) - 1)]


def show(hogs, rounds):
    print(f"\n{hogs} busy loops, {len(rounds)} rounds; microseconds")  # noqa: T201 - its output
    head = (
        "",
        "rtt median",
        "rtt p99",
        "mean |ipdv|",
        "late median",
        "late p99",
        "skipped",
        "lost",
    )
    print("".join(f"{word:>12}" for word in head))  # noqa: T201 - as above
    rows = {}
    for name, runs in zip(("ours", "irtt"), zip(*rounds, strict=True), strict=True):
        pooled = {key: [x for run in runs for x in run[key]] for key in ("rtt", "ipdv", "late")}
        rows[name] = (
            statistics.median(pooled["rtt"]) / 1e3,
            quantile(pooled["rtt"], 0.99) / 1e3,
            statistics.fmean(pooled["ipdv"]) / 1e3,
            statistics.median(pooled["late"]) / 1e3,
            quantile(pooled["late"], 0.99) / 1e3,
            sum(run["skipped"] for run in runs),
            sum(run["lost"] for run in runs),
        )
    rows["ratio"] = tuple(a / b if b else 0.0 for a, b in zip(*rows.values(), strict=True))
    for name, row in rows.items():
        print(f"{name:>12}" + "".join(f"{value:>12.3f}" for value in row))  # noqa: T201 - as above


if __name__ == "__main__":
    main()
