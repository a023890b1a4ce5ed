"""Homes behind NATs of their own, with real conntrack, call each other and a far end."""

import contextlib
import json
import os
import re
import subprocess
import sys
import time

import msgspec
import pytest
from two_namespaces import ENDS, needs_namespaces

from probe.call import CallOrder
from probe.call.peer import PeerOrder

pytestmark = [*needs_namespaces, pytest.mark.usefixtures("homes")]

WORLD = "198.18.50.1"
PORT = 3478
#: Name: address in its home, of its NAT inside, of its NAT in the world.
HOMES = {
    "a": ("198.18.51.2", "198.18.51.1", "198.18.50.11"),
    "b": ("198.18.52.2", "198.18.52.1", "198.18.50.12"),
}
NAT = """
table ip nat {
  chain post { type nat hook postrouting priority 100; oifname "out" masquerade; }
}
table ip filter {
  chain forward { type filter hook forward priority 0; iifname "out" ct state new counter drop; }
  chain input { type filter hook input priority 0; iifname "out" ct state new counter drop; }
}
"""
#: One more thing that a NAT does to what it forwards.
ALSO = """
table ip also {{
  chain forward {{ type filter hook forward priority -1; {rule}; }}
}}
"""


def name(host):
    return f"probe-{host}-{os.getpid()}"


def inside(host, *words):
    return ["ip", "netns", "exec", name(host), *map(str, words)]


def run(*words, **options):
    subprocess.run([str(word) for word in words], check=True, **options)


@pytest.fixture
def homes():
    """Make homes a and b, a NAT before each, and a far end in the world."""
    with contextlib.ExitStack() as stack:
        for host in ("world", *(kind + home for home in HOMES for kind in ("home-", "nat-"))):
            run("ip", "netns", "add", name(host))
            stack.callback(run, "ip", "netns", "del", name(host))
            run("ip", "-n", name(host), "link", "set", "lo", "up")
        run(*inside("world", "ip", "link", "add", "bridge", "type", "bridge"))
        run(*inside("world", "ip", "address", "add", f"{WORLD}/24", "dev", "bridge"))
        run(*inside("world", "ip", "link", "set", "bridge", "up"))
        for home in HOMES:
            connect(home)
        words = inside("world", sys.executable, ENDS, "serve", WORLD, PORT)
        process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        stack.enter_context(process)
        stack.callback(process.stdin.close)
        assert process.stdout.readline() == b"ready\n"
        yield


def connect(home):
    """Join home, NAT and world."""
    host, gateway, public = HOMES[home]
    nat = f"nat-{home}"
    for near, far, device in ((f"home-{home}", nat, "in"), ("world", nat, "out")):
        peer = f"to-{home}" if near == "world" else "out"
        wire = ["type", "veth", "peer", "name", device, "netns", name(far)]
        run(*inside(near, "ip", "link", "add", peer, *wire))
        run(*inside(near, "ip", "link", "set", peer, "up"))
        run(*inside(far, "ip", "link", "set", device, "up"))
    run(*inside("world", "ip", "link", "set", f"to-{home}", "master", "bridge"))
    run(*inside(f"home-{home}", "ip", "address", "add", f"{host}/24", "dev", "out"))
    run(*inside(f"home-{home}", "ip", "route", "add", "default", "via", gateway))
    run(*inside(nat, "ip", "address", "add", f"{gateway}/24", "dev", "in"))
    run(*inside(nat, "ip", "address", "add", f"{public}/24", "dev", "out"))
    run(*inside(nat, "sysctl", "-qw", "net.ipv4.ip_forward=1"))
    run(*inside(nat, "nft", "-f", "-"), input=NAT.encode())


def also(host, rule):
    run(*inside(host, "nft", "-f", "-"), input=ALSO.format(rule=rule).encode())


def forwarded(host):
    """Return how many packets the one more rule has counted."""
    words = inside(host, "nft", "list", "table", "ip", "also")
    listing = subprocess.run(words, check=True, capture_output=True, text=True).stdout
    return int(re.search(r"packets (\d+)", listing)[1])


def call(way):
    """Let both homes call; return the caller's outcome and the text of both."""
    order = PeerOrder(code="blue horse", host=WORLD, port=PORT, patience_s=20, duration_s=3.0)
    text = msgspec.json.encode(order).decode()
    processes = [
        subprocess.Popen(
            inside(f"home-{home}", sys.executable, ENDS, "peer", way, text), stdout=subprocess.PIPE
        )
        for home in HOMES
    ]
    printed = [process.communicate(timeout=90)[0] for process in processes]
    outcomes = sorted(map(json.loads, printed), key=lambda outcome: outcome["role"] or "")
    return outcomes, b"".join(printed).decode()


@pytest.mark.parametrize("way", ["direct", "relayed"])
def test_two_homes_behind_nats_call_each_other_and_no_address_is_kept(way):
    (answerer, caller), printed = call(way)
    assert (answerer["role"], caller["role"]) == ("answer", "call")
    assert (answerer["failure"], caller["failure"]) == (None, None)
    flow = caller["outcome"]["call"]
    assert (flow["sent"], flow["received"], flow["far_received"]) == (50, 50, 50)
    assert "198.18." not in printed


def test_the_relayed_path_still_works_where_the_direct_one_is_cut():
    also("nat-a", f"ip daddr {HOMES['b'][2]} counter drop")
    direct, _ = call("direct")
    assert {outcome["failure"] for outcome in direct} == {"generic_timeout_error"}
    (_, caller), _ = call("relayed")
    assert caller["outcome"]["call"]["received"] == 50


def test_directional_loss_between_two_homes_is_told_apart():
    also("nat-a", "udp length 150-300 numgen inc mod 5 == 0 counter drop")
    (_, caller), _ = call("direct")
    flow = caller["outcome"]["call"]
    assert flow["lost_up"] + flow["lost_down"] >= 15
    assert flow["lost"] == 0


def test_a_line_that_gets_a_new_address_mid_call_loses_the_replies_and_no_knowledge():
    also("nat-a", "udp length 150-300 counter")
    order = CallOrder(host=WORLD, port=PORT, duration_s=4.0, seed=1)
    words = inside("home-a", sys.executable, ENDS, "call", msgspec.json.encode([order]).decode())
    with subprocess.Popen(words, stdout=subprocess.PIPE) as process:
        while process.poll() is None and forwarded("nat-a") < 40:
            time.sleep(0.05)
        # Its address gone, masquerading forgets every flow, as it does at a redial.
        change = f"address del {HOMES['a'][2]}/24 dev out\naddress add 198.18.50.13/24 dev out\n"
        run("ip", "-n", name("nat-a"), "-batch", "-", input=change.encode())
        printed, _ = process.communicate(timeout=60)
    (flow,) = json.loads(printed)["flows"]
    fates = flow["call"]["trace"]["fate"]
    kept, up = fates.count("ok"), fates.count("lost_up")
    assert (flow["failure"], flow["call"]["ended"]) == (None, "complete")
    assert (kept >= 15, up <= 20) == (True, True)
    assert fates == ["ok"] * kept + ["lost_up"] * up + ["lost_down"] * (67 - kept - up)
    assert flow["call"]["far_received"] == 67 - up
    assert b"198.18.5" not in printed.replace(WORLD.encode(), b"")
