"""TCP_INFO: read as far as the kernel filled it."""

import socket
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from probe.fetch import tcp_info
from probe.measurement import TcpInfo


@given(st.binary(max_size=300))
def test_any_length_of_struct_is_read_without_error(raw):
    sample = tcp_info.parse(raw, 1.0)
    assert (sample is None) == (raw == b"")


def test_a_kernel_without_a_field_gives_none_for_it_and_not_zero():
    raw = bytearray(struct.pack("=104x"))
    struct.pack_into("=I", raw, 68, 40_000)
    sample = tcp_info.parse(bytes(raw), 0.5)
    assert sample == TcpInfo(t_s=0.5, rtt_s=0.04, retransmits=0, snd_mss_bytes=0, rcv_mss_bytes=0)


def test_an_unmeasured_round_trip_is_none():
    raw = bytearray(232)
    struct.pack_into("=I", raw, 148, 0xFFFF_FFFF)
    sample = tcp_info.parse(bytes(raw), 0.0)
    assert (sample.rtt_s, sample.min_rtt_s, sample.rcv_rtt_s) == (None, None, None)
    assert sample.rcv_ooopack == 0


def test_rates_are_in_bits():
    raw = bytearray(232)
    struct.pack_into("=Q", raw, 160, 1000)
    assert tcp_info.parse(bytes(raw), 0.0).delivery_rate_bps == 8000


def test_a_real_connection_tells_its_bytes_and_its_round_trip():
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        socket.create_connection(server.getsockname()) as client,
        server.accept()[0] as peer,
    ):
        peer.sendall(b"x" * 1000)
        client.recv(1000, socket.MSG_WAITALL)
        if not tcp_info.read(client):
            pytest.skip("this kernel has no TCP_INFO")
        assert tcp_info.bytes_received(client) == 1000
        assert 0 < tcp_info.rtt_s(client) < 1
    assert tcp_info.read(client) == b""
    assert tcp_info.bytes_received(client) is None
