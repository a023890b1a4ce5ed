"""Two namespaces joined by a wire, with nftables on either end for the truth about losses."""

import contextlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

NEAR, FAR = "198.18.40.1", "198.18.40.2"
ENDS = str(Path(__file__).with_name("call_ends.py"))


def missing():
    """Say what keeps this machine from making namespaces, ``None`` when nothing does."""
    if os.geteuid() != 0:
        return "not root"
    for tool in ("ip", "nft"):
        if shutil.which(tool) is None:
            return f"{tool} is not installed"
    name = f"probe-try-{os.getpid()}"
    if subprocess.run(["ip", "netns", "add", name], check=False, capture_output=True).returncode:
        return "this kernel or container makes no namespaces"
    subprocess.run(["ip", "netns", "del", name], check=True)
    return None


needs_namespaces = [
    pytest.mark.root,
    pytest.mark.skipif(missing() is not None, reason=missing() or ""),
]


class Wire:
    """The two namespaces; ``near`` holds the probe, ``far`` the far end."""

    def __init__(self, near, far):
        self.near, self.far = near, far

    def command(self, name, words):
        return ["ip", "netns", "exec", name, *map(str, words)]

    def rules(self, name, *rules):
        """Filter what arrives in a namespace; each rule is counted."""
        head = "table inet test {\nchain input {\ntype filter hook input priority 0\n"
        text = "\n".join((head, *rules, "}\n}\n"))
        subprocess.run(self.command(name, ["nft", "-f", "-"]), input=text.encode(), check=True)

    def dropped(self, name):
        """Return the packet counts of the rules, in order."""
        words = self.command(name, ["nft", "-j", "list", "table", "inet", "test"])
        listing = json.loads(subprocess.run(words, check=True, capture_output=True).stdout)
        rules = [entry["rule"] for entry in listing["nftables"] if "rule" in entry]
        return [
            part["counter"]["packets"]
            for rule in rules
            for part in rule["expr"]
            if "counter" in part
        ]

    @contextlib.contextmanager
    def far_end(self, *ports):
        words = self.command(self.far, [sys.executable, ENDS, "serve", FAR, *ports])
        with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
            assert process.stdout.readline() == b"ready\n"
            try:
                yield process
            finally:
                process.stdin.close()

    def call(self, *orders, timeout=120):
        """Make these flows from the near end; returns what ``call_ends`` prints."""
        text = msgspec.json.encode(orders).decode()
        words = self.command(self.near, [sys.executable, ENDS, "call", text])
        done = subprocess.run(words, check=True, stdout=subprocess.PIPE, timeout=timeout)
        return json.loads(done.stdout)


@contextlib.contextmanager
def two_namespaces():
    """Make them, and leave nothing behind."""
    near, far = f"probe-near-{os.getpid()}", f"probe-far-{os.getpid()}"

    def ip(*words):
        subprocess.run(["ip", *words], check=True)

    with contextlib.ExitStack() as stack:
        for name in (near, far):
            ip("netns", "add", name)
            stack.callback(ip, "netns", "del", name)
            ip("-n", name, "link", "set", "lo", "up")
        ip("-n", near, "link", "add", "wire", "type", "veth", "peer", "name", "wire", "netns", far)
        for name, address in ((near, NEAR), (far, FAR)):
            ip("-n", name, "address", "add", f"{address}/24", "dev", "wire")
            ip("-n", name, "link", "set", "wire", "up")
        yield Wire(near, far)
