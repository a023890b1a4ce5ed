"""Phases of a fetch against ``curl -w`` on a lab line with 40 ms round trip, alternating.

Run it as root with ``python tests/bench/bench_fetch_phases.py [ROUNDS]``. Aim: medians differ by
less than 1 ms or 2 %, whichever is larger, over 200 fetches.
"""

import asyncio
import os
import re
import statistics
import subprocess
import sys

from probe.fetch import FetchOrder, fetch
from probe.lab.netns import NetnsLab
from probe.lab.rules import Line, Preset
from probe.network import Network

RTT_S = 0.04
LINE = Line(rate_down_bps=40e6, rate_up_bps=40e6, rtt_s=RTT_S, queue_bytes=200_000)
PHASES = ("dns", "connect", "tls", "first byte", "all but dns")
CURL = ("time_namelookup", "time_connect", "time_appconnect", "time_pretransfer",
        "time_starttransfer", "time_total")  # fmt: skip


def with_curl(url):
    """Fetch twice in one process, each on a fresh connection.

    The first transfer pays for the start of OpenSSL inside its TLS time, so that only its look-up
    counts; the second, whose look-up comes from curl's cache, gives the rest.
    """
    written = " ".join(f"%{{{name}}}" for name in CURL) + "\n"
    said = subprocess.run(
        ["curl", "-sS", "--http1.1", "--no-sessionid", "-H", "Connection: close",
         "--cacert", os.environ["SSL_CERT_FILE"], "-w", written,
         "-o", os.devnull, "-o", os.devnull, url, url],
        check=True, capture_output=True, text=True,
    ).stdout  # fmt: skip
    first, second = ([float(word) for word in line.split()] for line in said.splitlines())
    looked_up, connected, secured, ready, answered, total = second
    return (
        first[0],
        connected - looked_up,
        secured - connected,
        answered - ready,
        total - looked_up,
    )


def with_probe(url):
    outcome = asyncio.run(fetch(FetchOrder(url=url), Network.from_options()))
    record = outcome.fetch
    assert outcome.failure is None, outcome.failure
    rest_s = record.duration_s - record.dns_s
    return record.dns_s, record.connect_s, record.tls_s, record.ttfb_s, rest_s


def inside(url, rounds):
    """Measure from the lab's home."""
    ways = {"curl": with_curl, "probe": with_probe}
    for way in ways.values():
        way(url)
    rows = {name: [] for name in ways}
    for _ in range(rounds):
        for name, way in ways.items():
            rows[name].append(way(url))
    for at, phase in enumerate(PHASES):
        ours, theirs = (statistics.median(row[at] for row in rows[n]) for n in ("probe", "curl"))
        bound_s = max(0.001, 0.02 * theirs)
        verdict = "within" if abs(ours - theirs) < bound_s else "BEYOND"
        sys.stdout.write(
            f"{phase:12} probe {ours * 1e3:8.2f} ms  curl {theirs * 1e3:8.2f} ms  "
            f"difference {(ours - theirs) * 1e3:+6.2f} ms, {verdict} {bound_s * 1e3:.2f} ms\n"
        )


def main(rounds):
    preset = Preset(name="bench", title="bench", source="this benchmark", line=LINE)
    with NetnsLab(preset) as lab:
        url = re.search(r'"(https://[^"]+)"', lab.targets_file.read_text())[1]
        lab.run([sys.executable, __file__, "inside", url, str(rounds)], check=True)


if __name__ == "__main__":
    if sys.argv[1:2] == ["inside"]:
        inside(sys.argv[2], int(sys.argv[3]))
    else:
        main(int(sys.argv[1]) if sys.argv[1:] else 200)
