"""Speed and CPU per megabyte against curl, alternating, over TLS on loopback.

Run it with ``python tests/bench/bench_fetch_speed.py``. Aims: at least 0.9 of curl's speed, at most
twice its CPU per megabyte.
"""

import asyncio
import os
import resource
import statistics
import sys
import time

from origin_server import origin_server

from probe.fetch import FetchOrder, fetch
from probe.network import Network

SIZE = 256 << 20
ROUNDS = 11


def with_curl(server):
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    said = server.curl(str(SIZE), "-w", "%{time_pretransfer} %{time_total}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    start_s, end_s = map(float, said.split())
    return SIZE / (end_s - start_s), cpu_s


def with_probe(server, http):
    network = Network.from_options(server.connect_to)
    order = FetchOrder(url=server.url + str(SIZE), http=http, limit_s=60)
    before = time.process_time()
    outcome = asyncio.run(fetch(order, network))
    cpu_s = time.process_time() - before
    assert outcome.failure is None, outcome.failure
    assert outcome.fetch.body_bytes == SIZE
    return SIZE / (outcome.fetch.duration_s - outcome.fetch.request_t_s), cpu_s


def main():
    with origin_server([SIZE]) as server:
        os.environ["SSL_CERT_FILE"] = server.authority
        ways = {
            "curl": lambda: with_curl(server),
            "probe http/1.1": lambda: with_probe(server, "http/1.1"),
            "probe h2": lambda: with_probe(server, "h2"),
        }
        figures = {name: [] for name in ways}
        for _ in range(ROUNDS):
            for name, way in ways.items():
                figures[name].append(way())
    for name, rows in figures.items():
        # Round by round: whatever else the machine does meets both of a round.
        pairs = list(zip(rows, figures["curl"], strict=True))
        speed = statistics.median(row[0] for row in rows) / 1e6
        cpu = statistics.median(row[1] for row in rows) / SIZE * 1e9
        faster = statistics.median(row[0] / curl[0] for row, curl in pairs)
        dearer = statistics.median(row[1] / curl[1] for row, curl in pairs)
        sys.stdout.write(
            f"{name:16} {speed:5.0f} MB/s, {faster:.2f} of curl; "
            f"{cpu:5.2f} ms CPU/MB, {dearer:.2f} of curl\n"
        )


if __name__ == "__main__":
    main()
