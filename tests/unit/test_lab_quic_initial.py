"""QUIC Initial packets opened as an observer does, against the RFC's own example."""

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import given
from hypothesis import strategies as st

from probe.lab.quic_initial import quic_sni

# RFC 9001, appendix A.1 and A.2: the keys, the plain CRYPTO frame, and what protects the header.
KEY = bytes.fromhex("1f369613dd76d5467730efcbe3b1a22d")
IV = bytes.fromhex("fa044b2f42a3fd3b46fb255c")
HEADER = bytes.fromhex("c300000001088394c8f03e5157080000449e00000002")
MASK = bytes.fromhex("437b9aec36")
SAMPLE = bytes.fromhex("d1b1c98dd7689fb8ec11d242b123dc9b")
CRYPTO_FRAME = bytes.fromhex(
    "060040f1010000ed0303ebf8fa56f12939b9584a3896472ec40bb863cfd3e868"
    "04fe3a47f06a2b69484c00000413011302010000c000000010000e00000b6578"
    "616d706c652e636f6dff01000100000a00080006001d00170018001000070005"
    "04616c706e000500050100000000003300260024001d00209370b2c9caa47fba"
    "baf4559fedba753de171fa71f50f1ce15d43e994ec74d748002b000302030400"
    "0d0010000e0403050306030203080408050806002d00020101001c0002400100"
    "3900320408ffffffffffffffff05048000ffff07048000ffff08011001048000"
    "75300901100f088394c8f03e51570806048000ffff"
)
PLAIN_BYTES = 1162


def protect(plain: bytes) -> bytes:
    """Seal a packet with the RFC's keys and mask: nothing here is computed by what is tested."""
    nonce = (int.from_bytes(IV, "big") ^ 2).to_bytes(12, "big")
    sealed = AESGCM(KEY).encrypt(nonce, plain, HEADER)
    number = bytes(a ^ b for a, b in zip(HEADER[-4:], MASK[1:], strict=True))
    return bytes([HEADER[0] ^ (MASK[0] & 0x0F)]) + HEADER[1:-4] + number + sealed


RFC_PACKET = protect(CRYPTO_FRAME.ljust(PLAIN_BYTES, b"\0"))


def test_the_example_packet_is_the_rfcs():
    assert RFC_PACKET[:22].hex() == "c000000001088394c8f03e5157080000449e7b9aec34"
    assert RFC_PACKET[22:38] == SAMPLE
    assert len(RFC_PACKET) == 1200


def test_the_rfcs_own_client_initial_opens_to_its_name():
    assert quic_sni(RFC_PACKET) == "example.com"


def test_what_follows_in_the_same_datagram_does_not_matter():
    assert quic_sni(RFC_PACKET + b"\xe0 coalesced") == "example.com"


def test_one_flipped_bit_closes_it():
    broken = bytearray(RFC_PACKET)
    broken[600] ^= 1
    assert quic_sni(bytes(broken)) is None


@given(cut=st.integers(0, 1199))
def test_a_cut_packet_is_no_error(cut):
    assert quic_sni(RFC_PACKET[:cut]) is None


@given(st.binary(max_size=1500))
def test_any_bytes_are_safe(data):
    quic_sni(data)


@given(st.binary(max_size=1500))
def test_any_bytes_behind_a_long_header_are_safe(data):
    quic_sni(b"\xc3\x00\x00\x00\x01" + data)


@pytest.mark.parametrize("version", [1, 0x6B3343CF])
def test_a_client_of_each_version_is_read(version):
    quic = pytest.importorskip("aioquic.quic.connection", reason="aioquic is not installed")
    values = pytest.importorskip("aioquic.quic.configuration")
    configuration = values.QuicConfiguration(
        server_name="rr1---sn-lab.googlevideo.com",
        supported_versions=[version],
        original_version=version,
    )
    client = quic.QuicConnection(configuration=configuration)
    client.connect(("198.18.12.1", 443), now=0.0)
    datagrams = [data for data, _ in client.datagrams_to_send(now=0.0)]
    assert "rr1---sn-lab.googlevideo.com" in [quic_sni(data) for data in datagrams]
