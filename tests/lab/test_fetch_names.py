"""Look-ups and routes that fail, with the system's own resolver, in a network of the test's own.

Each case runs in a fresh network namespace whose only name server is the one below.
"""

import asyncio
import json
import os
import shutil
import socket
import struct
import subprocess
import sys
import threading

import pytest

pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(
        os.geteuid() != 0 or shutil.which("unshare") is None or shutil.which("ip") is None,
        reason="needs root, unshare and ip to make a network namespace with a resolver of its own",
    ),
]

#: What the name server does with each name: an rcode, and an address or none.
ZONE = {
    "gone.example": (3, None),
    "broken.example": (2, None),
    "refusing.example": (5, None),
    "empty.example": (0, None),
    "bogon.example": (0, "10.1.2.3"),
    "injected.example": (0, "127.0.0.2"),
}

ANSWERS = [
    ("gone.example", {"dns_nxdomain_error"}),
    # The system's resolver has one word for a server that fails and for one that is not there.
    ("broken.example", {"dns_temporary_failure"}),
    ("refusing.example", {"dns_temporary_failure", "dns_non_recoverable_failure"}),
    ("empty.example", {"dns_no_answer"}),
    ("bogon.example", {"dns_bogon_error"}),
    ("injected.example", {"dns_bogon_error"}),
]


def serve_names(sock):
    while True:
        query, client = sock.recvfrom(512)
        labels, at = [], 12
        while query[at]:
            labels.append(query[at + 1 : at + 1 + query[at]].decode())
            at += 1 + query[at]
        question = query[12 : at + 5]
        kind = struct.unpack(">H", query[at + 1 : at + 3])[0]
        rcode, address = ZONE.get(".".join(labels), (3, None))
        found = b""
        if address is not None and kind == 1:
            record = struct.pack(">HHHIH", 0xC00C, 1, 1, 60, 4)
            found = record + socket.inet_aton(address)
        head = query[:2] + struct.pack(">HHHHH", 0x8180 | rcode, 1, bool(found), 0, 0)
        sock.sendto(head + question + found, client)


def inside(kind, target):
    """Run in the namespace: fetch or reach one target, print what came of it."""
    from probe.fetch import FetchOrder, fetch, reach  # noqa: PLC0415 - only the child needs it
    from probe.network import Network  # noqa: PLC0415 - as above

    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind(("127.0.0.1", 53))
    threading.Thread(target=serve_names, args=(sock,), daemon=True).start()
    if kind == "reach":
        word, _ = asyncio.run(reach(target, Network()))
        sys.stdout.write(json.dumps({"failure": word, "addresses": []}))
        return
    outcome = asyncio.run(fetch(FetchOrder(url=target, limit_s=20), Network()))
    answers = [address for answer in outcome.fetch.dns for address in answer.addresses]
    connects = len(outcome.fetch.connects)
    sys.stdout.write(
        json.dumps({"failure": outcome.failure, "addresses": answers, "connects": connects})
    )


def run_inside(tmp_path, kind, target):
    resolver = tmp_path / "resolv.conf"
    resolver.write_text("nameserver 127.0.0.1\noptions timeout:1 attempts:1\n")
    script = (
        f"ip link set lo up && mount --bind {resolver} /etc/resolv.conf && "
        f"exec {sys.executable} {__file__} {kind} {target}"
    )
    done = subprocess.run(
        ["unshare", "--net", "--mount", "sh", "-c", script],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
    )
    if "unshare:" in done.stderr or "mount:" in done.stderr:
        pytest.skip(f"this machine makes no namespaces: {done.stderr.strip()}")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize(("name", "words"), ANSWERS)
def test_what_the_resolver_said_is_told_apart(name, words, tmp_path):
    result = run_inside(tmp_path, "fetch", f"http://{name}/")
    assert result["failure"] in words
    assert result["connects"] == 0


def test_a_bogon_answer_is_kept_as_evidence_and_not_connected_to(tmp_path):
    result = run_inside(tmp_path, "fetch", "http://bogon.example/")
    assert result["addresses"] == ["10.1.2.3"]


@pytest.mark.parametrize("address", ["192.0.2.1:443", "[2001:db8::1]:443"])
def test_a_machine_with_no_route_says_so_and_not_that_it_was_blocked(address, tmp_path):
    result = run_inside(tmp_path, "reach", address)
    assert result["failure"] == "network_unreachable"


if __name__ == "__main__":
    inside(*sys.argv[1:])
