"""STUN against the test vectors of RFC 5769 and against itself."""

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from probe.call import stun

PASSWORD = b"VOkJxbRl1RmTxUk/WvJxBt"
TRANSACTION = "b7e7a701bc34d686fa87dfae"
REQUEST = bytes.fromhex(
    "000100582112a442" + TRANSACTION + "80220010" + b"STUN test client".hex() + "002400046e0001ff"
    "80290008932ff9b151263b36" + "00060009" + b"evtj:h6vY   ".hex() + "00080014"
    "9aeaa70cbfd8cb56781ef2b5b2d3f249c1b571a2" + "80280004e57a3bcf"
)
ANSWER_IPV4 = bytes.fromhex(
    "0101003c2112a442"
    + TRANSACTION
    + "8022000b"
    + b"test vector ".hex()
    + "002000080001a147e112a643"
    "000800142b91f599fd9e90c38c7489f92af9ba53f06be7d7" + "80280004c07d4c96"
)
ANSWER_IPV6 = bytes.fromhex(
    "010100482112a442" + TRANSACTION + "8022000b" + b"test vector ".hex() + "002000140002a147"
    "0113a9faa5d3f179bc25f4b5bed2b9d9" + "00080014a382954e4be67bf11784c97c8292c275bfe3ed41"
    "80280004c8fb0b4c"
)
LONG_TERM = bytes.fromhex(
    "000100602112a44278ad3433c6ad72c029da412e"
    "00060012e3839ee38388e383aae38383e382afe382b90000"
    "0015001c" + b"f//499k954d6OL34oL9FSTvy64sA".hex() + "0014000b" + b"example.org".hex() + "00"
    "00080014f67024656dd64a3e02b8e0712e85c9a28ca89666"
)

transactions = st.binary(min_size=12, max_size=12)
messages = st.builds(
    stun.Message,
    st.integers(0, 0x3FFF),
    transactions,
    st.lists(
        st.tuples(
            st.integers(0, 0xFFFF).filter(lambda kind: kind != stun.FINGERPRINT),
            st.binary(max_size=40),
        ),
        max_size=5,
    ).map(tuple),
)


@pytest.mark.parametrize("vector", [REQUEST, ANSWER_IPV4, ANSWER_IPV6])
def test_the_vectors_of_rfc_5769_decode_with_right_fingerprint_and_integrity(vector):
    message = stun.decode(vector)
    assert message.transaction.hex() == TRANSACTION
    assert stun.verify(vector, PASSWORD)
    assert not stun.verify(vector, b"another password")


def test_the_long_term_vector_of_rfc_5769_verifies():
    key = hashlib.md5("マトリックス:example.org:TheMatrIX".encode()).digest()
    assert stun.decode(LONG_TERM).get(stun.REALM) == b"example.org"
    assert stun.verify(LONG_TERM, key)


def test_the_mapped_addresses_of_rfc_5769_are_read():
    assert stun.mapped_address(stun.decode(ANSWER_IPV4)) == ("192.0.2.1", 32853)
    assert stun.mapped_address(stun.decode(ANSWER_IPV6)) == (
        "2001:db8:1234:5678:11:2233:4455:6677",
        32853,
    )


def test_a_binding_request_is_twenty_bytes():
    request = stun.binding_request(bytes.fromhex(TRANSACTION))
    assert request.hex() == "000100002112a442" + TRANSACTION


def test_a_fingerprint_is_the_crc_of_everything_before_it():
    message = stun.Message(stun.BINDING_REQUEST, bytes.fromhex(TRANSACTION))
    assert stun.encode(message, fingerprint=True)[-4:].hex() == "fdf6ae02"


def test_a_flipped_bit_breaks_the_fingerprint():
    damaged = bytearray(REQUEST)
    damaged[30] ^= 1
    with pytest.raises(stun.StunError, match="FINGERPRINT"):
        stun.decode(bytes(damaged))


@pytest.mark.parametrize(
    ("datagram", "found"),
    [
        (b"", "0 bytes"),
        (bytes(20), "cookie"),
        (b"\x80" + REQUEST[1:20], "type"),
        (REQUEST[:-4], "length 88 in a datagram of 104"),
        (bytes.fromhex("000100042112a442" + TRANSACTION + "00060009"), "beyond the end"),
    ],
)
def test_what_is_not_stun_is_refused_with_what_was_found(datagram, found):
    with pytest.raises(stun.StunError, match=found):
        stun.decode(datagram)


@pytest.mark.parametrize("value", [b"", b"\0\1\0", b"\0\3\0\0abcd", b"\0\2\0\0abcd"])
def test_a_malformed_mapped_address_is_refused(value):
    message = stun.Message(stun.BINDING_SUCCESS, bytes(12), ((stun.XOR_MAPPED_ADDRESS, value),))
    with pytest.raises(stun.StunError, match="XOR-MAPPED-ADDRESS"):
        stun.mapped_address(message)


@given(messages, st.booleans())
def test_a_message_survives_the_way_to_bytes_and_back(message, fingerprint):
    back = stun.decode(stun.encode(message, fingerprint=fingerprint))
    assert back.attributes[: len(message.attributes)] == message.attributes
    assert (back.type, back.transaction) == (message.type, message.transaction)


@given(messages, st.binary(max_size=30))
def test_integrity_holds_for_the_key_it_was_made_with(message, key):
    signed = stun.encode(message, key=key, fingerprint=True)
    already = message.get(stun.MESSAGE_INTEGRITY) is not None
    assert already or stun.verify(signed, key)


@given(st.ip_addresses().map(str), st.integers(0, 65535), transactions)
def test_any_address_survives_the_xor(address, port, transaction):
    value = stun.xor_address((address, port), transaction)
    message = stun.Message(stun.BINDING_SUCCESS, transaction, ((stun.XOR_MAPPED_ADDRESS, value),))
    assert stun.mapped_address(message) == (address, port)


@given(st.binary(max_size=200) | st.binary(max_size=100).map(lambda tail: REQUEST[:8] + tail))
def test_no_bytes_at_all_make_the_decoder_stumble(datagram):
    try:
        message = stun.decode(datagram)
    except stun.StunError:
        return
    stun.verify(datagram, b"key")
    assert len(message.transaction) == 12
