"""What packets give away: real ClientHellos, published layouts, and any bytes at all."""

import ssl
import struct

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from probe.lab.recognise import (
    hello_sni,
    is_quic,
    is_rtp,
    is_stun,
    is_telegram,
    is_tls,
    is_whatsapp,
    shapes,
    tls_sni,
)

COOKIE = bytes.fromhex("2112a442")
BINDING = bytes.fromhex("00010000") + COOKIE + bytes(12)
#: Layout of a Telegram reflector hello: tag, twelve FF, FE FF FF FF, query id.
HELLO = bytes(range(16)) + b"\xff" * 12 + b"\xfe\xff\xff\xff" + bytes(8)


def client_hello(name):
    """What OpenSSL really sends first."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    context = ssl.create_default_context()
    context.check_hostname = False
    connection = context.wrap_bio(incoming, outgoing, server_hostname=name)
    with pytest.raises(ssl.SSLWantReadError):
        connection.do_handshake()
    return outgoing.read()


def stun(kind, *attributes):
    body = b"".join(
        struct.pack(">HH", number, len(value)) + value + bytes(-len(value) % 4)
        for number, value in attributes
    )
    return struct.pack(">HH", kind, len(body)) + COOKIE + bytes(12) + body


@pytest.mark.parametrize("name", ["abs.twimg.com", "t.co", "a" * 60 + ".example"])
def test_the_name_in_a_real_client_hello_is_read(name):
    assert tls_sni(client_hello(name)) == name


def test_a_client_hello_without_a_name_has_none():
    assert tls_sni(client_hello(None)) is None


def test_a_hello_cut_off_after_the_name_still_gives_it_and_before_it_does_not():
    hello = client_hello("twitter.com")
    end = hello.index(b"twitter.com") + len("twitter.com")
    assert tls_sni(hello[:end]) == "twitter.com"
    assert all(tls_sni(hello[:cut]) is None for cut in range(end))


@pytest.mark.parametrize("offset", [0, 1, 5])
def test_a_wrong_content_type_version_or_handshake_type_hides_the_name(offset):
    hello = bytearray(client_hello("twitter.com"))
    hello[offset] ^= 0x40
    assert tls_sni(bytes(hello)) is None


def test_bit_inverted_bytes_look_like_nothing():
    inverted = bytes(byte ^ 0xFF for byte in client_hello("twitter.com"))
    assert shapes(inverted, "tcp") == frozenset()


def test_a_name_type_or_list_length_that_is_wrong_hides_the_name():
    hello = client_hello("twitter.com")
    at = hello.index(b"twitter.com")
    for offset in (-5, -4, -3):  # list length (two bytes), name type
        broken = bytearray(hello)
        broken[at + offset] ^= 1
        assert tls_sni(bytes(broken)) is None


def test_stun_is_told_by_its_cookie():
    assert is_stun(BINDING)
    assert not is_stun(BINDING[:4] + bytes(4) + BINDING[8:])
    assert not is_stun(b"\x40" + BINDING[1:])
    assert not is_stun(BINDING[:19])


@pytest.mark.parametrize("kind", [0x0800, 0x0801, 0x0802])
def test_whatsapp_is_told_by_its_message_types(kind):
    assert is_whatsapp(stun(kind))


@pytest.mark.parametrize("attribute", [0x4000, 0x4004, 0x4007])
def test_whatsapp_is_told_by_its_attributes_wherever_they_stand(attribute):
    assert is_whatsapp(stun(0x0003, (0x0016, b"12345"), (attribute, b"x")))


@pytest.mark.parametrize("other", [BINDING, stun(0x0003, (0x0019, b"1234")), stun(0x0804)])
def test_other_stun_is_not_whatsapp(other):
    assert is_stun(other)
    assert not is_whatsapp(other)


def test_a_reflector_hello_is_telegram():
    assert len(HELLO) == 40
    assert is_telegram(HELLO)


@pytest.mark.parametrize("run", [11, 13, 16])
def test_a_run_of_another_length_is_not_telegram(run):
    assert not is_telegram(bytes(16) + b"\xff" * run + bytes(24))


def test_a_short_packet_is_not_telegram():
    assert not is_telegram(HELLO[:39])


def test_rtp_is_told_by_version_type_and_length():
    header = struct.pack(">BBHII", 0x80, 120, 1, 2, 3)
    assert is_rtp(header)
    assert is_rtp(b"\x90" + header[1:])
    assert not is_rtp(b"\x40" + header[1:])
    assert not is_rtp(b"\x80\xc8" + header[2:])  # a sender report
    assert not is_rtp(b"\x81" + header[1:])  # one contributor announced, none there
    assert not is_rtp(header[:11])


def test_quic_is_told_by_form_bit_and_version():
    assert is_quic(b"\xc3\x00\x00\x00\x01\x08\x00")
    assert is_quic(b"\xd3\x6b\x33\x43\xcf\x08\x00")
    assert not is_quic(b"\x43\x00\x00\x00\x01\x08\x00")
    assert not is_quic(b"\xc3\x00\x00\x00\x00\x08\x00")


def test_shapes_belong_to_their_transport():
    assert shapes(stun(0x0801), "udp") == {"stun", "whatsapp"}
    assert shapes(stun(0x0801), "tcp") == frozenset()
    assert shapes(client_hello("t.co"), "tcp") == {"tls"}


@given(st.binary(max_size=300), st.sampled_from(["tcp", "udp"]))
@example(b"\x16\x03\x01", "tcp")
@example(BINDING + b"\x40", "udp")
def test_any_bytes_are_safe(payload, transport):
    shapes(payload, transport)
    tls_sni(payload)
    hello_sni(payload)
    assert is_tls(payload) or tls_sni(payload) is None


HELLO_TWITTER = client_hello("twitter.com")


@given(st.integers(0, len(HELLO_TWITTER) - 1), st.integers(0, 255))
def test_a_hello_with_any_byte_changed_gives_the_name_another_or_none(at, value):
    changed = HELLO_TWITTER[:at] + bytes([value]) + HELLO_TWITTER[at + 1 :]
    name = tls_sni(changed)
    assert name is None or name.isascii()
