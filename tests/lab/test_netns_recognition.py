"""What sets a rule off, with real clients and servers at the ends: names, cookies, queries."""

import subprocess
import sys
import time

import pytest
from netns_tools import curl, lab_with, needs_namespaces, numbers, udp_flow

from probe.lab.rules import DnsTamper, Drop, Match, Police, Reset, Rule

pytestmark = needs_namespaces
RESET_BY_PEER = 35

ASK_STUN = """
import os, socket, sys
sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
sock.settimeout(1)
sock.sendto(bytes.fromhex("000100002112a442") + os.urandom(12), (sys.argv[1], int(sys.argv[2])))
try:
    print(sock.recv(2000)[:2].hex())
except TimeoutError:
    print("silence")
"""


def ask_stun(lab, address, port):
    words = [sys.executable, "-c", ASK_STUN, address, str(port)]
    return lab.run(words, capture_output=True, text=True, check=True).stdout.strip()


def test_a_policer_keyed_to_a_name_leaves_every_other_name_alone():
    police = Police(rate_bps=2e6, bucket_bytes=16_000)
    rule = Rule(name="twitter", match=Match(sni=("*.twimg.com",)), effect=police)
    with lab_with(rule) as lab:
        slow, fast = curl(lab, "abs.twimg.com"), curl(lab, "twitter.com")
        dropped = lab.counters().down.dropped
    assert slow[:2] == fast[:2] == (0, 480_000)
    assert slow[2] > 480_000 * 8 / 2e6 > 1 > fast[2]
    assert set(dropped) == {"twitter"}


def test_the_name_counts_and_not_the_address():
    rule = Rule(name="name", match=Match(sni=("abs.twimg.com",)), effect=Reset())
    with lab_with(rule) as lab:
        lent = curl(lab, "abs.twimg.com", "--connect-to", "abs.twimg.com:443:wiki.example:443")
        plain = curl(lab, "twitter.com")
    assert lent[0] == RESET_BY_PEER
    assert plain[0] == 0


def test_a_reset_ends_the_connection_at_both_ends():
    rule = Rule(name="reset", match=Match(sni=("abs.twimg.com",)), effect=Reset())
    with lab_with(rule) as lab:
        assert curl(lab, "abs.twimg.com")[0] == RESET_BY_PEER
        time.sleep(0.1)
        left = [
            subprocess.run(
                lab.command(place, ["ss", "-Htan", "state", "connected", "sport", "=", ":443"]),
                check=True,
                capture_output=True,
            ).stdout
            for place in ("home", "world")
        ]
        dropped = lab.counters().up.dropped["reset"].packets
    assert left == [b"", b""]
    assert dropped == 1


def test_stun_is_known_by_its_cookie_on_any_port():
    with lab_with(Rule(name="stun", match=Match(payload=("stun",)), effect=Drop())) as lab:
        assert ask_stun(lab, "198.18.1.3", 3478) == "silence"
        assert ask_stun(lab, "198.18.15.1", 1400) == "silence"
        assert numbers(udp_flow(lab, count=20, port=3478)) == list(range(20))
        assert (
            numbers(udp_flow(lab, count=20, port=7001, head="000100002112a442" + 12 * "00")) == []
        )


def test_relays_answer_where_nothing_forbids_it():
    with lab_with() as lab:
        answers = [ask_stun(lab, *where) for where in (("198.18.1.3", 3478), ("198.18.15.1", 1400))]
    assert answers == ["0101", "0101"]


def test_a_forged_answer_says_there_is_no_such_name():
    effect = DnsTamper(answer="nxdomain")
    with lab_with(Rule(name="dns", match=Match(sni=("*.twimg.com",)), effect=effect)) as lab:
        gone, there = (
            lab.run(["getent", "ahostsv4", name], capture_output=True)
            for name in ("abs.twimg.com", "twitter.com")
        )
        dropped = lab.counters().up.dropped["dns"].packets
    assert gone.returncode != 0
    assert there.stdout.startswith(b"198.18.11.1 ")
    assert dropped >= 1


def test_a_forged_answer_leads_elsewhere():
    effect = DnsTamper(answer="address", address="198.18.99.9")
    with lab_with(Rule(name="dns", match=Match(sni=("abs.twimg.com",)), effect=effect)) as lab:
        answer = lab.run(["getent", "ahostsv4", "abs.twimg.com"], capture_output=True).stdout
    assert answer.startswith(b"198.18.99.9 ")


@pytest.mark.parametrize("listed", ["post.example", "wiki.example"])
def test_where_only_listed_names_pass_the_others_do_not(listed):
    match = Match(sni=(listed,), transport="tcp", ports=(443,), invert=True)
    with lab_with(Rule(name="list", match=match, effect=Drop())) as lab:
        assert curl(lab, listed)[0] == 0
        assert curl(lab, "abs.twimg.com", "--max-time", "1")[0] == 28


def test_the_far_end_answers_over_tls():
    with lab_with() as lab:
        assert curl(lab, "far.example", path="/bytes/100000")[:2] == (0, 100_000)


FETCH_H3 = """
import asyncio, sys
from probe.fetch import FetchOrder, fetch
from probe.network import Network
done = asyncio.run(fetch(FetchOrder(url=sys.argv[1], http="h3"), Network.from_options()))
print(done.failure, done.fetch.http, done.fetch.body_bytes, done.fetch.duration_s)
"""


def fetch_h3(lab, name):
    words = [sys.executable, "-c", FETCH_H3, f"https://{name}/bytes/480000"]
    failure, http, size, seconds = lab.run(words, check=True, capture_output=True).stdout.split()
    return failure, http, int(size), float(seconds)


def test_a_policer_keyed_to_a_name_finds_it_in_quic():
    rule = Rule(
        name="video",
        match=Match(sni=("*.googlevideo.com",), transport="udp"),
        effect=Police(rate_bps=1e6, bucket_bytes=16_000),
    )
    with lab_with(rule) as lab:
        slow, fast = (
            fetch_h3(lab, name) for name in ("rr1---sn-lab.googlevideo.com", "wiki.example")
        )
        dropped = lab.counters().down.dropped
    assert slow[:3] == fast[:3] == (b"None", b"h3", 480_000)
    assert slow[3] > 480_000 * 8 / 1e6 * 0.9 > 2 > fast[3]
    assert set(dropped) == {"video"}
