"""What the tests of the namespaces share: presets in a line, senders and receivers of their own.

Both ends read one machine's steady clock, so a packet's one-way delay is known exactly.
"""

import contextlib
import json
import shutil
import statistics
import subprocess
import sys
import time
from typing import NamedTuple

import pytest

from probe.lab.netns import NetnsLab, missing
from probe.lab.rules import Line, Preset

#: What measures beside the project, and the Debian package that brings it.
PEERS = {
    "iperf3": "iperf3",
    "ping": "iputils-ping",
    "curl": "curl",
    "ss": "iproute2",
    "tcpdump": "tcpdump",
}


def lacking():
    """Say what this machine lacks for these tests; None when nothing."""
    packages = [package for tool, package in PEERS.items() if not shutil.which(tool)]
    return missing() or (f"install: apt-get install {' '.join(packages)}" if packages else None)


needs_namespaces = [
    pytest.mark.root,
    pytest.mark.skipif(lacking() is not None, reason=lacking() or ""),
]
#: An address of the world (a neutral web server) on which tests run servers of their own.
PEER = "198.18.1.1"
HOME = "198.18.0.2"
PORT = 7000

SEND = """
import socket, sys, time
source, target, port, count, size, gap_s, head = sys.argv[1:8]
out = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
out.bind((source, int(port)))
start = time.monotonic()
for number in range(int(count)):
    time.sleep(max(0.0, start + number * float(gap_s) - time.monotonic()))
    stamp = number.to_bytes(8, "big") + time.monotonic_ns().to_bytes(8, "big")
    out.sendto((bytes.fromhex(head) + stamp).ljust(int(size), b"x"), (target, int(port)))
"""
RECEIVE = """
import json, socket, sys, time
address, port, silence_s, head = sys.argv[1:5]
sink = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
sink.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_000_000)
sink.bind((address, int(port)))
print("ready", flush=True)
sink.settimeout(float(silence_s) + 1.5)
got, skip = [], len(bytes.fromhex(head))
try:
    while True:
        data = sink.recv(2048)
        now = time.monotonic_ns()
        sink.settimeout(float(silence_s))
        number = int.from_bytes(data[skip:skip + 8], "big")
        got.append((number, (now - int.from_bytes(data[skip + 8:skip + 16], "big")) / 1e9))
except TimeoutError:
    print(json.dumps(got))
"""


class Arrival(NamedTuple):
    """A packet that arrived: its number from 0, and how long it was under way."""

    number: int
    delay_s: float


def numbers(arrivals):
    return [arrival.number for arrival in arrivals]


def preset(*rules, **line):
    """A preset on a fast line with nothing else on it."""
    fast = {"rate_down_bps": 100e6, "rate_up_bps": 100e6, "rtt_s": 0.01, "queue_bytes": 1_000_000}
    return Preset(name="test", title="test", source="test", line=Line(**fast | line), rules=rules)


def lab_with(*rules, **line):
    return NetnsLab(preset(*rules, **line), seed=1)


def udp_flow(lab, *, up=True, port=PORT, head="", silence_s=1.0, **flow):
    """Send a UDP flow one way and tell what arrived, in order of arrival; see ``sending``."""
    target, there = (PEER, "world") if up else (HOME, "home")
    words = [sys.executable, "-c", RECEIVE, target, port, silence_s, head]
    with subprocess.Popen(lab.command(there, map(str, words)), stdout=subprocess.PIPE) as sink:
        assert sink.stdout.readline() == b"ready\n"
        with sending(lab, up=up, port=port, head=head, **flow):
            return [Arrival(*row) for row in json.loads(sink.stdout.readline())]


@contextlib.contextmanager
def sending(lab, *, up=True, count=200, size=500, gap_s=0.002, head="", port=PORT):
    """Send UDP packets meanwhile: ``size`` is the payload, ``head`` (hex) what it begins with."""
    here, source, target = ("home", HOME, PEER) if up else ("world", PEER, HOME)
    words = [sys.executable, "-c", SEND, source, target, port, count, size, gap_s, head]
    with subprocess.Popen(lab.command(here, map(str, words))) as sender:
        yield
    assert sender.returncode == 0


def iperf(lab, *options):
    """Run iperf3 between home and world; returns its JSON report."""
    words = ["iperf3", "-s", "-1", "-B", PEER]
    with subprocess.Popen(lab.command("world", words), stdout=subprocess.DEVNULL) as server:
        wait_for_port(lab, 5201)
        try:
            words = ["iperf3", "-J", "-c", PEER, *options]
            done = lab.run(words, check=True, capture_output=True, timeout=60)
        finally:
            server.terminate()
    return json.loads(done.stdout)


def wait_for_port(lab, port):
    words = lab.command("world", ["ss", "-Hltn", f"sport = :{port}"])
    deadline = time.monotonic() + 10
    while not subprocess.run(words, check=True, capture_output=True).stdout:
        assert time.monotonic() < deadline, f"nothing listens on port {port}"
        time.sleep(0.02)


def ping_s(lab, *options):
    """Ping the world; returns each round trip in seconds."""
    words = ["ping", "-n", *options, PEER]
    text = lab.run(words, check=True, capture_output=True, text=True).stdout
    return [float(part.split()[0]) / 1e3 for part in text.split("time=")[1:]]


def curl(lab, name, *options, path="/bytes/480000"):
    """Fetch from a server of the world; returns exit status, bytes and seconds of the transfer."""
    words = ["curl", "-sS", "-o", "/dev/null", "-w", "%{size_download} %{time_total}", *options]
    words += ["--cacert", lab.environ["SSL_CERT_FILE"], f"https://{name}{path}"]
    done = lab.run(words, capture_output=True, text=True, timeout=60)
    size, seconds = done.stdout.split()
    return done.returncode, int(size), float(seconds)


def median(values):
    return statistics.median(values)
