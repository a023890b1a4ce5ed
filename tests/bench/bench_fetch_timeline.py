"""The byte timeline against a tcpdump of the same flow, on lab lines free and policed.

Run it as root with ``python tests/bench/bench_fetch_timeline.py``. Aim: for 95 % of the points, the
packets show the same count within 1 ms.
"""

import asyncio
import bisect
import pathlib
import signal
import subprocess
import sys
import tempfile
import time

from scapy.layers.inet import IP, TCP
from scapy.utils import PcapReader

from probe.fetch import FetchOrder, fetch
from probe.lab import presets, world
from probe.lab.netns import NetnsLab
from probe.network import Network

WITHIN_S = 0.001
CASES = ("clean", "twitter-2021")


def arrivals(capture):
    """Follow the server's side of the first flow: when had the kernel how much, in order."""
    flow, start, reached, waiting = None, 0, 0, {}
    times, counts = [], []
    for packet in PcapReader(str(capture)):
        if IP not in packet or TCP not in packet or packet[TCP].sport != world.HTTPS_PORT:
            continue
        tcp = packet[TCP]
        if flow is None:
            flow, start = tcp.dport, tcp.seq + 1
        size = packet[IP].len - packet[IP].ihl * 4 - tcp.dataofs * 4
        if tcp.dport != flow or size <= 0:
            continue
        at = (tcp.seq - start) % (1 << 32)
        waiting[at] = max(waiting.get(at, 0), size)
        for begin in sorted(waiting):
            if begin > reached:
                break
            reached = max(reached, begin + waiting.pop(begin))
        times.append(float(packet.time))
        counts.append(reached)
    return times, counts


def count_at(times, counts, when):
    at = bisect.bisect_right(times, when) - 1
    return counts[at] if at >= 0 else 0


def inside(url, capture):
    """Fetch from the lab's home under a capture; print how many points agree."""
    dump = ["tcpdump", "-i", "any", "-y", "LINUX_SLL", "--immediate-mode", "-s", "96", "-U"]
    flow = ["-w", capture, "tcp", "port", str(world.HTTPS_PORT)]
    dumping = subprocess.Popen([*dump, *flow], stderr=subprocess.PIPE)
    dumping.stderr.readline()
    offsets = []

    def watch(t_s, _count):
        offsets.append(time.time() - t_s)
        return False

    order = FetchOrder(url=url, limit_s=60)
    network = Network.from_options()
    outcome = asyncio.run(fetch(order, network, watch=watch))
    time.sleep(0.5)
    dumping.send_signal(signal.SIGINT)
    dumping.wait()
    assert outcome.failure is None, outcome.failure
    times, counts = arrivals(capture)
    began = min(offsets)
    points = list(zip(outcome.fetch.timeline.t_s, outcome.fetch.timeline.bytes, strict=True))
    agree = sum(
        count_at(times, counts, began + t - WITHIN_S)
        <= count
        <= count_at(times, counts, began + t + WITHIN_S)
        for t, count in points
    )
    sys.stdout.write(
        f"{outcome.fetch.body_bytes} bytes in {outcome.fetch.duration_s:.2f} s, {len(times)} data "
        f"packets: {agree} of {len(points)} points ({agree / len(points):.1%}) within "
        f"{WITHIN_S * 1e3:.0f} ms of the capture\n"
    )


def main():
    known = presets.load()
    for name in CASES:
        with NetnsLab(known[name]) as lab, tempfile.TemporaryDirectory() as folder:
            capture = pathlib.Path(folder) / "flow.pcap"
            url = f"https://{world.site('twitter').names[0]}{world.OBJECT_PATH}"
            sys.stdout.write(f"{name:14} ")
            sys.stdout.flush()
            words = [sys.executable, __file__, url, str(capture)]
            lab.run(words, check=True)


if __name__ == "__main__":
    if sys.argv[1:]:
        inside(*sys.argv[1:])
    else:
        main()
