"""STAMP, read by somebody else's decoder."""

import asyncio
import socket
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from probe.clock import Datagram
from probe.farend import FarEndConfig, serve
from probe.farend.stamp import BASE_BYTES, StampReflector, reflect

S = 1_000_000_000
REQUEST = (
    bytes.fromhex("00000007" + "e9d13c8080000000" + "8101").ljust(BASE_BYTES, b"\0") + b"padding"
)


def test_an_answer_carries_the_senders_fields_and_ours():
    answer = reflect(REQUEST, ttl=61, received_unix_ns=S // 4, now_unix_ns=S // 2)
    assert answer[:4] == answer[24:28] == REQUEST[:4]
    assert answer[28:38] == REQUEST[4:14]
    assert answer[4:12].hex() == "83aa7e8080000000"
    assert answer[16:24].hex() == "83aa7e8040000000"
    assert answer[40] == 61
    assert answer[44:] == b"padding"


def test_scapys_decoder_reads_our_answer():
    stamp = pytest.importorskip("scapy.contrib.stamp", exc_type=ImportError)
    answer = stamp.STAMPSessionReflectorTestUnauthenticated(
        reflect(REQUEST[:BASE_BYTES], ttl=61, received_unix_ns=0, now_unix_ns=S)
    )
    assert (answer.seq, answer.seq_sender, answer.ttl_sender) == (7, 7, 61)
    assert answer.ts_sender == stamp.STAMPSessionSenderTestUnauthenticated(REQUEST).ts
    assert answer.ts - answer.ts_rx == pytest.approx(1.0)
    assert (answer.err_estimate.S, answer.err_estimate.Z, answer.err_estimate.multiplier) == (
        0,
        0,
        1,
    )


@given(st.binary(max_size=200), st.integers(0, 1 << 64))
def test_an_answer_is_as_long_as_its_request_or_none(datagram, now_ns):
    answer = reflect(datagram, ttl=None, received_unix_ns=now_ns, now_unix_ns=now_ns)
    assert (answer is None) == (len(datagram) < BASE_BYTES)
    assert answer is None or len(answer) == len(datagram)


def test_a_client_is_answered_at_a_low_rate():
    reflector = StampReflector(monotonic_ns=lambda: 0, unix_ns=lambda: S)
    datagram = Datagram(REQUEST, ("192.0.2.1", 1), None, 64)
    assert sum(len(reflector.handle(datagram, 0)) for _ in range(500)) == 100


async def test_a_far_end_answers_stamp_where_it_was_asked_to_with_the_ttl_it_saw():
    config = FarEndConfig(host="127.0.0.1", calls=(), https_port=None, stamp=(0,))
    async with serve(config) as running:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            sender.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, 33)
            sender.connect(("127.0.0.1", running.stamp_ports[0]))
            sender.settimeout(0)
            sender.send(REQUEST)
            answer = await asyncio.get_running_loop().sock_recv(sender, 2048)
    assert answer[40] == 33
    unix_s = int.from_bytes(answer[4:8]) - 2_208_988_800
    assert abs(unix_s - time.time()) < 5
