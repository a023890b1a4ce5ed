"""Many flows in one process: where does it begin to lose, or to be late?

    python tests/bench/bench_many_flows.py [--seconds 10] [FLOWS ..]

Each flow sends 50 packets a second to a far end in a process of its own, over loopback. Shown:
packets lost, flows that this process was too slow for and flows that the far end was too slow for,
share of one core (set-up, report and packing included, in the work as in the time), round trip by
kernel stamps, and how late packets were handed to the kernel. Between the last number of flows that
loses nothing and the first that does, the limit is searched for by halving; there, what fails may
try once more, as neighbours can spoil a run.
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
#: The search ends when it knows the number to this share of it.
EXACT_RATIO = 0.05
TIMES = ("rtt p50", "rtt p99", "late p50", "late p99")
COLUMNS = ("flows", "packets", "lost", "we slow", "far slow", "core %", *TIMES)


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("flows", type=int, nargs="*", default=[20, 100, 200, 400])
    options = parser.parse_args()
    words = [sys.executable, ENDS, "serve", "127.0.0.1", str(PORT)]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as far_end:
        assert far_end.stdout.readline() == b"ready\n"
        print("".join(f"{word:>10}" for word in COLUMNS))  # noqa: T201 - its output
        good, bad = 0, None
        for flows in sorted(options.flows):
            if not loses_nothing(flows, options.seconds):
                bad = flows
                break
            good = flows
        while bad is not None and bad - good > EXACT_RATIO * bad:
            flows = (good + bad) // 2
            if any(loses_nothing(flows, options.seconds) for _ in range(2)):
                good = flows
            else:
                bad = flows
        print(f"loses nothing up to {good} flows, begins to at {bad}")  # noqa: T201 - as above
        far_end.stdin.close()


def loses_nothing(flows, seconds):
    """Make the flows once and show what came of them."""
    row = figures(flows, make(flows, seconds))
    print("".join(f"{row[word]:>10.0f}" for word in COLUMNS), flush=True)  # noqa: T201 - its output
    return row["lost"] == row["we slow"] == row["far slow"] == 0


def make(flows, seconds):
    orders = [
        CallOrder(host="127.0.0.1", port=PORT, profile="voip-20", duration_s=seconds, seed=index)
        for index in range(flows)
    ]
    words = [sys.executable, ENDS, "call", msgspec.json.encode(orders).decode()]
    done = subprocess.run(words, check=True, stdout=subprocess.PIPE, timeout=60 + 6 * seconds)
    return json.loads(done.stdout)


def figures(flows, made):
    calls = [flow["call"] for flow in made["flows"]]
    failures = [flow["failure"] or "" for flow in made["flows"]]
    sent = sum(call["sent"] for call in calls)
    trips, late = [], []
    for call in calls:
        columns = call["trace"]
        names = ("kernel_receive_ns", "kernel_send_ns", "far_send_ns", "far_receive_ns")
        times = zip(*(columns[name] for name in names), strict=True)
        trips += [(t[0] - t[1]) - (t[2] - t[3]) for t in times if None not in t]
        users = zip(columns["user_send_ns"], columns["planned_ns"], strict=True)
        late += [out - due for out, due in users]
    micro = [quantile(values, q) / 1e3 for values in (trips, late) for q in (0.5, 0.99)]
    return {
        "flows": flows,
        "packets": sent,
        "lost": sum(call["planned"] - call["received"] for call in calls),
        "we slow": sum("this machine" in failure for failure in failures),
        "far slow": sum("far end" in failure for failure in failures),
        "core %": 100 * made["cpu_s"] / made["took_s"],
    } | dict(zip(TIMES, micro, strict=True))


def quantile(values, share):
    return sorted(values)[int(len(values) * share)] if values else float("nan")


if __name__ == "__main__":
    main()
