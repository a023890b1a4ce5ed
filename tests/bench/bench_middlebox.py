"""What the lab's middlebox carries, and what it adds to a round trip; needs root.

    python tests/bench/bench_middlebox.py

Added round trip: pings across a line of no delay, less pings of the same namespaces with the
router forwarding by itself. Throughput: one kernel TCP connection, 30 ms round trip, through a
clean line and through the rules of a preset. CPU is the middlebox's own, per packet.
"""

import json
import os
import platform
import statistics
import subprocess
import sys
import time
from pathlib import Path

from probe.lab import presets
from probe.lab.netns import NetnsLab
from probe.lab.rules import Line, Preset

PEER = "198.18.1.1"
SECONDS = 5


def say(line):
    sys.stdout.write(line + "\n")


def preset(rtt_s, rules=()):
    line = Line(rate_down_bps=2e9, rate_up_bps=2e9, rtt_s=rtt_s, queue_bytes=8_000_000)
    return Preset(name="bench", title="bench", source="bench", line=line, rules=rules)


def pings_s(lab):
    words = ["ping", "-n", "-c", "400", "-i", "0.005", PEER]
    text = lab.run(words, check=True, capture_output=True, text=True).stdout
    return [float(part.split()[0]) / 1e3 for part in text.split("time=")[1:]]


def forward_without_middlebox(lab):
    for device, table in (("home0", "100"), ("world0", "101")):
        words = ["ip", "rule", "del", "iif", device, "lookup", table]
        subprocess.run(lab.command("isp", words), check=True)


def carried(lab, *options):
    """One TCP transfer; gives bits per second, packets a second and CPU seconds a packet."""
    middlebox = lab._middlebox.pid
    with subprocess.Popen(lab.command("world", ["iperf3", "-s", "-1"]), stdout=subprocess.DEVNULL):
        time.sleep(0.5)
        before, cpu = lab.counters(), cpu_s(middlebox)
        words = ["iperf3", "-J", "-c", PEER, "-t", str(SECONDS), *options]
        report = json.loads(lab.run(words, check=True, capture_output=True).stdout)
        after, cpu = lab.counters(), cpu_s(middlebox) - cpu
    packets = sum(
        after.way(way).passed.packets - before.way(way).passed.packets for way in ("up", "down")
    )
    return report["end"]["sum_received"]["bits_per_second"], packets / SECONDS, cpu / packets


def cpu_s(pid):
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def show_round_trip():
    with NetnsLab(preset(0.0)) as lab:
        through = pings_s(lab)
        forward_without_middlebox(lab)
        direct = pings_s(lab)
    added = statistics.median(through) - statistics.median(direct)
    say(
        f"round trip   {statistics.median(through) * 1e3:.3f} ms through the middlebox, "
        f"{statistics.median(direct) * 1e3:.3f} ms without: {added * 1e3:.3f} ms added (median)"
    )
    with NetnsLab(preset(0.04)) as lab:
        held = sorted(pings_s(lab))
    say(
        f"40 ms line   median {statistics.median(held) * 1e3:.2f} ms, "
        f"from {held[0] * 1e3:.2f} to {held[-1] * 1e3:.2f}, p95 {held[379] * 1e3:.2f}"
    )


def show_throughput():
    censored = presets.load()["twitter-2021"].rules
    for title, rules in (("clean line", ()), ("with rules", censored)):
        with NetnsLab(preset(0.03, rules)) as lab:
            for way, options in (("down", ("-R",)), ("up", ())):
                rate_bps, rate_pps, cpu_s_each = carried(lab, *options)
                say(
                    f"{title}   {way:4}  {rate_bps / 1e6:6.0f} Mbit/s  {rate_pps:7.0f} packets/s  "
                    f"{cpu_s_each * 1e6:5.1f} us of CPU a packet"
                )


if __name__ == "__main__":
    say(f"{platform.release()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")
    show_round_trip()
    show_throughput()
