"""Our packets and counts in the eyes of others: coturn, tshark and iperf3."""

import asyncio
import contextlib
import itertools
import json
import random
import shutil
import socket
import struct
import subprocess
import sys
import time

import numpy as np
import pytest
from two_namespaces import FAR, needs_namespaces, two_namespaces

from analysis.delays import rfc3550
from probe.call import CallOrder, call_pair, stun
from probe.call.shapes import SHAPES, Lane
from probe.call.talk import FarEndTalk
from probe.network import Network

PORT = 40_000
TCPDUMP = "tcpdump -i wire -U -Z root --immediate-mode --time-stamp-precision nano"
COUNT = 50


def needs(tool):
    return pytest.mark.skipif(shutil.which(tool) is None, reason=f"{tool} is not installed")


def free_port():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


@contextlib.contextmanager
def coturn(*options):
    """Run coturn on loopback until the context ends."""
    port = free_port()
    words = f"turnserver -n --listening-ip 127.0.0.1 -p {port} --no-tls --no-dtls --no-cli"
    words += " --log-file stdout --simple-log --pidfile /dev/null --no-tcp --relay-ip 127.0.0.1"
    with subprocess.Popen(
        [*words.split(), *options], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as process:
        try:
            ask(port, stun.binding_request(b"starting-up!"), patience_s=10)
            yield port
        finally:
            process.terminate()


def ask(port, request, patience_s=5.0):
    """Ask a STUN server until it answers."""
    deadline = time.monotonic() + patience_s
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.connect(("127.0.0.1", port))
        sock.settimeout(0.2)
        while True:
            try:
                sock.send(request)
                return sock.recv(2048), sock.getsockname()
            except (TimeoutError, ConnectionRefusedError):
                assert time.monotonic() < deadline, "no answer"
                time.sleep(0.05)


@needs("turnserver")
def test_coturn_answers_our_binding_request_and_we_read_its_answer():
    with coturn("--fingerprint") as port:
        for fingerprint in (False, True):
            message = stun.Message(stun.BINDING_REQUEST, b"transaction!")
            answer, address = ask(port, stun.encode(message, fingerprint=fingerprint))
            assert stun.mapped_address(stun.decode(answer)) == address


@needs("turnserver")
def test_coturn_asks_signals_allocate_for_credentials_as_our_far_end_does():
    signal = SHAPES["signal"]
    request = signal.request(Lane(b"k" * 16, "up", 0.06), 1)
    with coturn("--lt-cred-mech", "--realm", "signal.org", "--fingerprint") as port:
        theirs = stun.decode(ask(port, request)[0])
    ours = stun.decode(signal.answer(Lane(b"k" * 16, "down", 0.06), request, ("127.0.0.1", 5), 0.0))
    assert (theirs.type, theirs.get(stun.REALM)) == (ours.type, ours.get(stun.REALM))
    assert theirs.get(stun.ERROR_CODE)[:4] == ours.get(stun.ERROR_CODE)[:4]
    assert {kind for kind, _ in ours.attributes} == {kind for kind, _ in theirs.attributes}


@needs("turnserver")
async def test_coturn_keeps_up_with_a_relay_flow():
    with contextlib.ExitStack() as stack:
        port = await asyncio.to_thread(stack.enter_context, coturn())
        orders = [
            CallOrder(peer="relay", host="127.0.0.1", port=port, duration_s=2.0) for _ in range(2)
        ]
        outcomes = await call_pair(*orders, Network())
    for outcome in outcomes:
        assert (outcome.failure, outcome.call.setup) == (None, "ok")
        assert (outcome.call.sent, outcome.call.received, outcome.call.lost) == (33, 33, 0)


def pcap(datagrams):
    """Write datagrams, 20 ms apart, as a capture of raw IPv4."""
    out = [struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 101)]
    for index, datagram in enumerate(datagrams):
        udp = struct.pack(">HHHH", PORT, PORT, 8 + len(datagram), 0) + datagram
        ip = struct.pack(">BBHHHBBH", 0x45, 0, 20 + len(udp), index, 0, 64, 17, 0)
        packet = ip + bytes([192, 0, 2, 1, 192, 0, 2, 2]) + udp
        at_us = index * 20_000
        out.append(struct.pack("<IIII", 0, at_us, len(packet), len(packet)) + packet)
    return b"".join(out)


def tshark(path, datagrams, *options):
    path.write_bytes(pcap(datagrams))
    words = ["tshark", "-r", str(path), *options]
    return subprocess.run(words, check=True, capture_output=True, text=True).stdout


def media(shape):
    talk = FarEndTalk(
        shape=shape,
        like=shape,
        sizes=(172,) * COUNT,
        interval_s=0.02,
        random_bytes=random.Random(1).randbytes,
    )
    return [talk.media(seq) for seq in range(COUNT)]


@needs("tshark")
@pytest.mark.parametrize(
    ("shape", "payload_type", "ticks"),
    [("rtp", 111, 960), ("stun-rtp", 111, 960), ("signal", 102, 960), ("whatsapp", 120, 320)],
)
def test_tshark_decodes_our_rtp(tmp_path, shape, payload_type, ticks):
    fields = ("rtp.version", "rtp.p_type", "rtp.seq", "rtp.timestamp", "rtp.ssrc", "rtp.marker")
    words = [word for field in fields for word in ("-e", field)]
    text = tshark(
        tmp_path / "rtp.pcap", media(shape), "-d", f"udp.port=={PORT},rtp", "-T", "fields", *words
    )
    rows = [line.split("\t") for line in text.splitlines()]
    assert {(row[0], row[1]) for row in rows} == {("2", str(payload_type))}
    assert len({row[4] for row in rows}) == 1
    steps = [
        (int(b[2]) - int(a[2]) & 0xFFFF, int(b[3]) - int(a[3]) & 0xFFFFFFFF)
        for a, b in itertools.pairwise(rows)
    ]
    assert set(steps) == {(1, ticks)}
    assert [row[5] in ("1", "True") for row in rows] == [True] + [False] * (COUNT - 1)


@needs("tshark")
def test_tshark_sees_one_stream_without_loss_or_jitter(tmp_path):
    text = tshark(
        tmp_path / "rtp.pcap",
        media("rtp"),
        "-d",
        f"udp.port=={PORT},rtp",
        "-q",
        "-z",
        "rtp,streams",
    )
    row = next(line for line in text.splitlines() if "192.0.2.1" in line)
    assert f" {COUNT} " in row
    assert "0 (0.0%)" in row


@needs("tshark")
# WhatsApp's pings are of a type that tshark does not count as STUN, so only its allocate.
@pytest.mark.parametrize(("shape", "exchanges"), [("stun-rtp", 2), ("signal", 2), ("whatsapp", 1)])
def test_tshark_finds_nothing_wrong_with_our_stun(tmp_path, shape, exchanges):
    up, down = (Lane(b"k" * 16, way, 0.06) for way in ("up", "down"))
    said = []
    for index in range(exchanges):
        request = SHAPES[shape].request(up, index)
        said += [request, SHAPES[shape].answer(down, request, ("192.0.2.1", PORT), 0.0)]
    text = tshark(
        tmp_path / "stun.pcap",
        said,
        *("-d", f"udp.port=={PORT},stun", "-T", "fields", "-e", "stun.cookie"),
        *("-e", "_ws.malformed", "-e", "stun.att.crc32.status"),
    )
    rows = [line.split("\t") for line in text.splitlines()]
    assert [row[0] for row in rows] == ["2112a442"] * len(said)
    assert all(row[1] == "" for row in rows)
    assert "0" not in [row[2] for row in rows]  # 0 is a bad checksum


@needs_namespaces[0]
@needs_namespaces[1]
@needs("iperf3")
@pytest.mark.parametrize("every", [10, 4])
def test_iperf3_counts_the_same_loss_on_the_same_wire(every):
    with two_namespaces() as wire:
        # Every n-th packet of 172 bytes: the same share for both, to the packet.
        wire.rules(wire.far, f"udp length 180 numgen inc mod {every} == 0 counter drop")
        with wire.far_end(3478):
            settings = {"profile": "voip-20", "duration_s": 6.0}
            flow = wire.call(CallOrder(host=FAR, port=3478, **settings))["flows"][0]["call"]
        server = wire.command(wire.far, ["iperf3", "-s", "-1", "-B", FAR])
        with subprocess.Popen(server, stdout=subprocess.DEVNULL):
            time.sleep(0.5)
            words = ["iperf3", "-c", FAR, "-u", "-b", "68800", "-l", "172", "-t", "6", "-J"]
            done = subprocess.run(
                wire.command(wire.near, words), check=True, capture_output=True, timeout=60
            )
    theirs = json.loads(done.stdout)["end"]["sum"]
    ours = flow["lost_up"] / flow["sent"]
    assert ours == pytest.approx(theirs["lost_packets"] / theirs["packets"], rel=0.05)
    assert flow["lost_up"] == 300 // every


#: Sends packets of 1000 bytes at random moments, more than the wire carries: all has to queue.
CROWD = """
import random, socket, sys, time
sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
end = time.monotonic() + 12
while time.monotonic() < end:
    sock.sendto(bytes(1000), (sys.argv[1], 9))
    time.sleep(random.expovariate(20))
"""


def iperf3_packets(path):
    """Read when each packet was sent, by what iperf3 wrote into it, and when it was captured."""
    data = path.read_bytes()
    at, times = 24, []
    while at < len(data):
        seconds, nanoseconds, length = struct.unpack_from("<III", data, at)
        udp = data[at + 16 : at + 16 + length][14 + 20 :]
        if len(udp) == 8 + 172:
            sent_s, sent_us = struct.unpack_from(">II", udp, 8)
            times.append((sent_s + sent_us / 1e6, seconds + nanoseconds / 1e9))
        at += 16 + length
    return np.array(times).T


@needs_namespaces[0]
@needs_namespaces[1]
@needs("iperf3")
@needs("tcpdump")
def test_iperf3_finds_the_same_jitter_in_the_same_packets(tmp_path):
    with two_namespaces() as wire, contextlib.ExitStack() as stack:
        limit = "tc qdisc add dev wire root tbf rate 200kbit burst 1100 latency 500ms"
        subprocess.run(wire.command(wire.near, limit.split()), check=True)
        for where, words in (
            (wire.far, ["iperf3", "-s", "-1", "-B", FAR]),
            (wire.far, [*TCPDUMP.split(), "-w", tmp_path / "seen.pcap", "udp", "port", "5201"]),
            (wire.near, [sys.executable, "-c", CROWD, FAR]),
        ):
            process = subprocess.Popen(
                wire.command(where, words), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
            )
            stack.callback(process.wait)
            stack.callback(process.terminate)
        time.sleep(1.0)
        words = ["iperf3", "-c", FAR, "-u", "-b", "68800", "-l", "172", "-t", "8", "-J"]
        done = subprocess.run(
            wire.command(wire.near, words), check=True, capture_output=True, timeout=60
        )
    theirs = json.loads(done.stdout)["end"]["sum"]
    sent_s, received_s = iperf3_packets(tmp_path / "seen.pcap")
    ours = rfc3550(sent_s, received_s)
    assert len(sent_s) == theirs["packets"] - theirs["lost_packets"] > 100
    # iperf3 takes its times in user space: worth 0.1 ms here, little beside a wire that is full.
    assert 1000 * ours.last_s > 5
    assert 1000 * ours.last_s == pytest.approx(theirs["jitter_ms"], rel=0.05)
