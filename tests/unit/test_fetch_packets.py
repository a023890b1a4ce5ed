"""Packets kept as evidence never name the probe."""

import ipaddress
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analysis.packets import PacketsError, segments, with_packets
from probe.fetch.packets import OWN_IPV4, OWN_IPV6, Seen, clean, evidence
from probe.measurement import Connect, Fetch

SERVER = ("198.51.100.7", 443)
OWN = ipaddress.IPv4Address("203.0.113.77")
FLAG_SYN, FLAG_ACK = 2, 16


def tcp(*, outgoing, seq=1, flags=FLAG_ACK, options=b"", payload=b"", ip_options=b"", port=5000):
    far = ipaddress.IPv4Address(SERVER[0])
    ends = (OWN, far) if outgoing else (far, OWN)
    ports = (port, SERVER[1]) if outgoing else (SERVER[1], port)
    words = (20 + len(options)) // 4
    segment = struct.pack(">HHIIBBHHH", *ports, seq, 0, words << 4, flags, 1000, 7, 0)
    segment += options + payload
    head = (20 + len(ip_options)) // 4
    ip = struct.pack(">BBHHHBBH", 0x40 | head, 0, head * 4 + len(segment), 9, 0, 64, 6, 5)
    return ip + ends[0].packed + ends[1].packed + ip_options + segment


def seen(packet, *, outgoing, t_s=1.0):
    return Seen(int(t_s * 1e9), outgoing, packet, len(packet))


@pytest.mark.parametrize("outgoing", [True, False])
def test_the_probes_address_is_replaced_and_the_servers_kept(outgoing):
    packet = tcp(outgoing=outgoing, seq=77, payload=b"secret")
    cleaned = clean(seen(packet, outgoing=outgoing), SERVER)
    assert OWN.packed not in cleaned
    assert OWN_IPV4.packed in cleaned
    assert ipaddress.IPv4Address(SERVER[0]).packed in cleaned
    assert len(cleaned) == 40
    assert struct.unpack_from(">I", cleaned, 24) == (77,)


def test_what_carries_addresses_in_options_is_blanked():
    record_route = b"\x07\x07\x08" + OWN.packed + b"\x01"
    add_address = b"\x1e\x08\x40\x01" + OWN.packed
    timestamps = b"\x08\x0a" + bytes(range(8)) + b"\x01\x01"
    packet = tcp(outgoing=True, ip_options=record_route, options=timestamps + add_address)
    cleaned = clean(seen(packet, outgoing=True), SERVER)
    assert OWN.packed not in cleaned
    assert timestamps in cleaned
    assert cleaned.endswith(b"\x01" * 8)


@given(st.binary(max_size=120), st.booleans(), st.binary(max_size=40), st.binary(max_size=40))
def test_no_packet_whatever_lets_the_address_through(noise, outgoing, ip_options, options):
    ip_options = ip_options[: len(ip_options) // 4 * 4]
    options = options[: len(options) // 4 * 4]
    whole = tcp(outgoing=outgoing, ip_options=ip_options, options=options, payload=OWN.packed)
    for packet in (whole, whole[: len(noise)], noise):
        cleaned = clean(seen(packet, outgoing=outgoing), SERVER)
        # Four bytes of sequence numbers or kept options may happen to spell it.
        assert cleaned is None or OWN.packed not in cleaned[:20]


def test_other_peoples_packets_are_left_out():
    mine = tcp(outgoing=True)
    assert clean(seen(mine, outgoing=True), ("198.51.100.7", 80)) is None
    assert clean(seen(mine, outgoing=True), ("198.51.100.8", 443)) is None
    assert clean(seen(mine, outgoing=False), SERVER) is None


def test_udp_over_ipv6_is_cleaned_too():
    far, own = ipaddress.IPv6Address("2001:db8:1::7"), ipaddress.IPv6Address("2001:db8:2::77")
    udp = struct.pack(">HHHH", 5000, 443, 12, 99) + b"quic"
    packet = struct.pack(">IHBB", 6 << 28, len(udp), 17, 64) + own.packed + far.packed + udp
    cleaned = clean(seen(packet, outgoing=True), (str(far), 443))
    assert own.packed not in cleaned
    assert OWN_IPV6.packed in cleaned
    assert cleaned.endswith(struct.pack(">HHHH", 5000, 443, 12, 0))


def handshake_and(*sizes_at, gap_s=0.1):
    """A connect at 1.0 s with 40 ms round trip, then inward segments (sequence, size)."""
    flow = [
        seen(tcp(outgoing=True, seq=9, flags=FLAG_SYN), outgoing=True, t_s=1.0),
        seen(tcp(outgoing=False, seq=99, flags=FLAG_SYN | FLAG_ACK), outgoing=False, t_s=1.04),
    ]
    for i, (at, size) in enumerate(sizes_at):
        packet = tcp(outgoing=False, seq=100 + at, payload=bytes(size))
        flow.append(seen(packet, outgoing=False, t_s=1.1 + i * gap_s))
    return flow


def record():
    connect = Connect(address=SERVER[0], port=443, t_s=0.01, duration_s=0.04)
    return Fetch(url="https://a.example/", address=SERVER[0], port=443, connects=(connect,))


def test_the_columns_of_the_record_are_read_back_from_the_packets(tmp_path):
    path = tmp_path / "trial.pcap"
    path.write_bytes(evidence(handshake_and((0, 100), (200, 100), (100, 100)), SERVER))
    fetch = with_packets(record(), path)
    assert fetch.timeline.bytes == (0, 100, 100, 300)
    assert fetch.timeline.t_s == pytest.approx((0, 0.11, 0.21, 0.31))
    assert fetch.idle_rtt_s == pytest.approx(0.04)
    assert (fetch.tcp_info[0].rcv_ooopack, fetch.tcp_info[0].data_segs_in) == (1, 3)


def test_a_retransmission_adds_nothing(tmp_path):
    path = tmp_path / "trial.pcap"
    path.write_bytes(evidence(handshake_and((0, 100), (0, 100), (100, 50)), SERVER))
    assert with_packets(record(), path).timeline.bytes == (0, 100, 100, 150)


@pytest.mark.parametrize(
    ("content", "found"),
    [(b"", "no nanosecond pcap"), (b"x" * 60, "no nanosecond pcap")],
)
def test_a_file_that_is_no_capture_says_so(content, found, tmp_path):
    path = tmp_path / "trial.pcap"
    path.write_bytes(content)
    with pytest.raises(PacketsError, match=found):
        list(segments(path, 443))


def test_a_capture_without_a_connection_says_so(tmp_path):
    path = tmp_path / "trial.pcap"
    path.write_bytes(evidence([], SERVER))
    with pytest.raises(PacketsError, match="no TCP connection"):
        with_packets(record(), path)
