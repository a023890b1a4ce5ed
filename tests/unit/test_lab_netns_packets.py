"""Packets read and forged by the middlebox, against scapy and literal bytes."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from probe.lab.netns import dns, packets

scapy = pytest.importorskip("scapy.layers.inet", reason="scapy, the independent reader, is missing")
HOME, WORLD = "198.18.0.2", "198.18.11.1"


def tcp(flags="PA", content=b"hello", *, seq=1000, ack=5000, **fields):
    segment = scapy.TCP(sport=40000, dport=443, flags=flags, seq=seq, ack=ack, **fields)
    return bytes(scapy.IP(src=HOME, dst=WORLD) / segment / content)


def udp(content=b"hello", **fields):
    return bytes(
        scapy.IP(src=HOME, dst=WORLD, **fields) / scapy.UDP(sport=40000, dport=53) / content
    )


def whole(packet):
    """Read a forged packet, with both checksums as they should be computed afresh."""
    read = scapy.IP(packet)
    fresh = read.copy()
    del fresh.chksum
    del fresh.payload.chksum
    assert bytes(scapy.IP(bytes(fresh))) == packet
    return read


def test_ports_are_read_where_a_packet_has_them():
    assert packets.has_ports(tcp())
    assert packets.has_ports(udp())


@pytest.mark.parametrize(
    "packet",
    [
        b"",
        b"\x45",
        bytes(scapy.IP(src=HOME, dst=WORLD) / scapy.ICMP()),
        bytes(scapy.IP(src=HOME, dst=WORLD, options=[scapy.IPOption_NOP()]) / scapy.UDP()),
        udp(flags="MF"),
        udp(frag=100),
        udp()[:27],
        tcp()[:39],
        b"\x60" + bytes(60),
    ],
    ids=["empty", "short", "icmp", "options", "first", "later", "cut_udp", "cut_tcp", "ipv6"],
)
def test_what_has_no_readable_ports_is_told_apart(packet):
    assert not packets.has_ports(packet)


@given(st.binary(max_size=80))
def test_whatever_passes_as_having_ports_can_be_read(data):
    for packet in (data, b"\x45" + data):
        if packets.has_ports(packet):
            packets.payload(packet)
            packets.destination(packets.endpoints(packet))
            packets.udp_answer(packet, b"x")
            if packet[9] == packets.TCP:
                packets.resets(packet)


def test_both_directions_of_a_flow_have_one_key():
    there = packets.endpoints(tcp())
    back = packets.endpoints(
        bytes(scapy.IP(src=WORLD, dst=HOME) / scapy.TCP(sport=443, dport=40000))
    )
    assert packets.reversed_endpoints(back) == there
    assert packets.destination(there) == (WORLD, 443)


def test_a_payload_starts_behind_tcp_options_and_ends_with_the_ip_packet():
    options = [("MSS", 1460), ("NOP", None), ("WScale", 7)]
    assert packets.payload(tcp(options=options) + b"link padding") == b"hello"
    assert packets.payload(udp() + b"link padding") == b"hello"


@pytest.mark.parametrize(("flags", "after"), [("PA", 1005), ("FPA", 1006), ("S", 1006)])
def test_resets_carry_the_number_that_each_end_expects(flags, after):
    to_sender, to_receiver = map(whole, packets.resets(tcp(flags)))
    assert (to_sender.src, to_sender.dst) == (WORLD, HOME)
    assert (to_sender.sport, to_sender.dport, to_sender.seq, to_sender.ack) == (
        443,
        40000,
        5000,
        after,
    )
    assert (to_receiver.src, to_receiver.dst) == (HOME, WORLD)
    assert (to_receiver.sport, to_receiver.dport, to_receiver.seq) == (40000, 443, 1000)
    assert to_sender["TCP"].flags == to_receiver["TCP"].flags == "RA"


def test_a_farewell_comes_from_the_receiver_with_the_end_of_the_stream():
    to_sender, to_receiver = map(whole, packets.resets(tcp(), b"bye"))
    assert (to_sender.src, to_sender.seq, to_sender["TCP"].flags) == (WORLD, 5000, "FPA")
    assert bytes(to_sender["TCP"].payload) == b"bye"
    assert to_receiver["TCP"].flags == "RA"


def test_a_sequence_number_wraps():
    to_sender, _ = packets.resets(tcp(seq=2**32 - 2))
    assert scapy.IP(to_sender).ack == 3


@given(st.binary(max_size=600))
def test_an_answer_comes_from_where_the_question_went(content):
    answer = whole(packets.udp_answer(udp(), content))
    assert (answer.src, answer.sport, answer.dst, answer.dport) == (WORLD, 53, HOME, 40000)
    assert bytes(answer["UDP"].payload) == content


@given(st.binary(min_size=1, max_size=60))
def test_data_with_its_checksum_sums_to_nothing(data):
    even = data + bytes(len(data) % 2)
    assert packets.checksum(even + struct.pack("!H", packets.checksum(even))) == 0


# --- DNS ---


def query(name="abs.twimg.com", qtype="A", **fields):
    layer = pytest.importorskip("scapy.layers.dns")
    return bytes(layer.DNS(id=77, rd=1, qd=layer.DNSQR(qname=name, qtype=qtype), **fields))


def test_a_query_is_read():
    asked = dns.parse(query("Abs.TWIMG.com"))
    assert (asked.id, asked.name, asked.type) == (77, "abs.twimg.com", dns.A)


@pytest.mark.parametrize("message", [b"", bytes(11), query(qr=1), query()[:-3], query(opcode=4)])
def test_what_is_no_query_is_not_read(message):
    assert dns.parse(message) is None


@given(st.binary(max_size=100))
def test_any_bytes_are_a_safe_query(data):
    for message in (data, query()[:12] + data):
        asked = dns.parse(message)
        if asked is not None:
            dns.answer(asked, "198.18.11.1")


def answered(address, **fields):
    layer = pytest.importorskip("scapy.layers.dns")
    return layer.DNS(dns.answer(dns.parse(query(**fields)), address))


def test_an_answer_gives_the_address():
    answer = answered("198.18.11.1")
    assert (answer.id, answer.qr, answer.rcode, answer.ancount) == (77, 1, 0, 1)
    assert answer.an[0].rdata == "198.18.11.1"
    assert answer.an[0].rrname == b"abs.twimg.com."


def test_a_name_that_is_not_there_is_denied():
    answer = answered(None)
    assert (answer.rcode, answer.ancount) == (3, 0)


def test_a_name_without_a_record_of_that_type_is_not_denied():
    answer = answered("198.18.11.1", qtype="AAAA")
    assert (answer.rcode, answer.ancount) == (0, 0)
