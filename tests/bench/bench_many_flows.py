"""Many flows in one process: where does it begin to lose, or to be late?

    python tests/bench/bench_many_flows.py [--seconds 10] [FLOWS ..]

Each flow sends 50 packets a second to a far end in a process of its own, over loopback. Shown:
packets lost, flows that say the far end could not keep up, share of one core (set-up, report and
packing included), round trip by kernel stamps, and how late packets were handed to the kernel.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path

import msgspec

from probe.call import CallOrder

ENDS = str(Path(__file__).parents[1] / "lab" / "call_ends.py")
PORT = 45_301


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("flows", type=int, nargs="*", default=[20, 100, 200, 400])
    options = parser.parse_args()
    words = [sys.executable, ENDS, "serve", "127.0.0.1", str(PORT)]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as far_end:
        assert far_end.stdout.readline() == b"ready\n"
        head = (
            "flows",
            "packets",
            "lost",
            "told",
            "core",
            "rtt p50",
            "rtt p99",
            "late p50",
            "late p99",
        )
        print("".join(f"{word:>10}" for word in head))  # noqa: T201 - its output
        for flows in options.flows:
            show(flows, measure(flows, options.seconds), options.seconds)
        far_end.stdin.close()


def measure(flows, seconds):
    orders = [
        CallOrder(host="127.0.0.1", port=PORT, profile="voip-20", duration_s=seconds, seed=index)
        for index in range(flows)
    ]
    words = [sys.executable, ENDS, "call", msgspec.json.encode(orders).decode()]
    done = subprocess.run(words, check=True, stdout=subprocess.PIPE, timeout=30 + 3 * seconds)
    return json.loads(done.stdout)


def show(flows, made, seconds):
    calls = [flow["call"] for flow in made["flows"]]
    sent = sum(call["sent"] for call in calls)
    planned = sum(call["planned"] for call in calls)
    trips, late = [], []
    for call in calls:
        columns = call["trace"]
        names = ("kernel_receive_ns", "kernel_send_ns", "far_send_ns", "far_receive_ns")
        times = zip(*(columns[name] for name in names), strict=True)
        trips += [(t[0] - t[1]) - (t[2] - t[3]) for t in times if None not in t]
        users = zip(columns["user_send_ns"], columns["planned_ns"], strict=True)
        late += [out - due for out, due in users]
    trips.sort()
    late.sort()
    micro = [values[int(len(values) * q)] / 1e3 for values in (trips, late) for q in (0.5, 0.99)]
    lost = planned - sent + sum(call["sent"] - call["received"] for call in calls)
    share = f"{made['cpu_s'] / seconds:.0%}"
    told = sum(flow["failure"] is not None for flow in made["flows"])
    head = f"{flows:>10}{sent:>10}{lost:>10}{told:>10}{share:>10}"
    print(head + "".join(f"{m:>10.0f}" for m in micro))  # noqa: T201 - as above


if __name__ == "__main__":
    main()
