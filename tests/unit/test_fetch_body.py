"""Bodies: counted, hashed, never kept, and no address in what is."""

import hashlib
import ipaddress
from urllib.parse import quote

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from probe.fetch.body import Body, scrub

PAGES = st.sampled_from(["<b>{}</b>", "your ip: {}.", "x={}&y", '{{"ip":"{}"}}', "{}"])


def spellings(address):
    """Ways to write an address that some server, host name or library uses."""
    number, octets = int(address), address.packed
    yield from (str(address), str(address).upper(), address.exploded, address.reverse_pointer)
    yield address.exploded.replace(":", "-").replace(".", "-")
    yield "".join(f"%{byte:02x}" for byte in str(address).encode())
    yield quote(quote(str(address), safe=""), safe="").replace(".", "%252E")
    yield "".join(f"&#{byte};" for byte in str(address).encode())
    if address.version == 6:
        yield f"[{address}]:443"
        return
    yield from (f"::ffff:{address}", f"0:0:0:0:0:FFFF:{address}", f"{address}:443")
    yield str(ipaddress.IPv6Address(b"\0" * 10 + b"\xff\xff" + octets))
    yield from (str(number), f"0x{number:08x}", f"{number:08X}", f"p{number:08X}.isp.example")
    yield f"{number:012o}"
    for part in ("{:03d}", "0x{:x}", "0X{:02X}", "{:04o}"):
        yield ".".join(part.format(octet) for octet in octets)


@given(st.ip_addresses(), PAGES, st.data())
def test_no_address_survives_however_it_is_written_and_wherever(address, page, data):
    assume(address.is_global and int(address) >> 24)
    written = data.draw(st.sampled_from(list(spellings(address))))
    assert written not in scrub(page.format(written))
    assert "[address]" in scrub(page.format(written))


@pytest.mark.parametrize(
    "text",
    [
        "host-203-0-113-77.isp.example",
        "203_0_113_77",
        "203%2E0%2e113%2E77",
        "2001:DB8::A",
        "::ffff:203.0.113.77",
        "fe80::1%eth0",
        "2001-0db8-0000-0000-0000-0000-0000-0113.isp.example",
    ],
)
def test_addresses_that_are_not_public_go_too(text):
    assert "[address]" in scrub(text)
    assert "113" not in scrub(text)


@pytest.mark.parametrize(
    "text",
    [
        *("12:30:45", "version 1.2.3", "std::vector", "::", "1234.5.6.7", "Sat, 21 Nov 2026"),
        *("2026-11-21", "0.12345678", "4294967295", "100%25 &amp; more", "a1b2c3d4e5f60718"),
        "018f0000-0000-7000-8000-000000000000",
    ],
)
def test_ordinary_text_is_left_alone(text):
    assert scrub(text) == text


def test_an_address_across_the_end_of_the_head_leaves_no_part_of_itself():
    body = Body()
    body.add(b"-" * 505 + b"203.0.113.77 and more text")
    assert "203" not in body.head()
    assert len(body.head()) == 512


def test_a_page_with_an_address_gives_no_hash_from_which_to_guess_it():
    body = Body()
    body.add(b"x" * 1000 + b" your address is 203.0.113.77")
    assert body.sha256() is None
    assert body.count == 1029


def test_pieces_make_one_hash():
    body = Body()
    for piece in (b"\x89PNG\x00", b"", b"rest"):
        body.add(piece)
    assert body.sha256() == hashlib.sha256(b"\x89PNG\x00rest").hexdigest()
    assert body.head() is None


def test_no_body_has_neither_hash_nor_head():
    assert (Body().sha256(), Body().head(), Body().count) == (None, None, 0)


def test_a_large_body_is_not_kept():
    body = Body()
    for _ in range(200):
        body.add(b"a" * 10_000)
    assert len(body._start) == 65_536


def test_every_public_address_is_found_in_its_own_text():
    for number in range(0, 1 << 32, 99_999_989):
        assert scrub(str(ipaddress.IPv4Address(number))) == "[address]"
