"""How endpoints are written."""

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from probe.endpoints import (
    EndpointError,
    HostPort,
    is_host,
    parse_address,
    parse_relay,
    parse_turn,
    parse_url,
)

ADDRESSES = st.ip_addresses(v=4) | st.ip_addresses(v=6)
PORTS = st.integers(1, 65535)


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("https://t.co", ("t.co", 443)),
        ("http://t.co/", ("t.co", 80)),
        ("https://far.example:8443/x?y", ("far.example", 8443)),
        ("https://[2001:db8::1]/", ("2001:db8::1", 443)),
        ("https://xn--e1afmkfd.xn--p1ai/", ("xn--e1afmkfd.xn--p1ai", 443)),
    ],
)
def test_a_url_gives_its_host_and_port(text, parts):
    assert parse_url(text) == parts


@pytest.mark.parametrize(
    "text",
    [
        "",
        "t.co",
        "//t.co/",
        "https://",
        "https://:443/",
        "https://t.co:0/",
        "https://a..b/",
        "https://-a/",
        "https://[::1/",
        "https://me@t.co/",
        "https://t.co/\u00a0",
        "file:///etc/hosts",
    ],
)
def test_what_is_not_a_web_address_is_refused(text):
    with pytest.raises(EndpointError):
        parse_url(text)


@given(ADDRESSES, PORTS)
def test_addresses_survive_being_written_and_read(address, port):
    written = str(HostPort(str(address), port))
    assert parse_address(written) == (str(address), port)
    assert parse_relay(f"stun://{written}") == (str(address), port)
    assert parse_turn(f"turn:{written}?transport=udp") == (str(address), port)


@pytest.mark.parametrize(
    "text",
    [
        "",
        ":",
        "1.2.3.4",
        "1.2.3.4:",
        "1.2.3.4:0",
        "1.2.3.4:65536",
        "1.2.3.4:+80",
        "1.2.3.4:٣",
        "[1.2.3.4]:80",
        "2001:db8::1:80",
        "[fe80::1%eth0]:80",
        "t..co:443",
        "https://t.co:443",
        "a b:443",
        "[t.co]:443",
    ],
)
def test_what_is_not_an_address_and_port_is_refused(text):
    with pytest.raises(EndpointError):
        parse_address(text)


@pytest.mark.parametrize(
    "text", ["stun:a:1", "turn://a:1", "stun://a", "stun://a b:1", "stun://:1"]
)
def test_what_is_not_a_relay_is_refused(text):
    with pytest.raises(EndpointError):
        parse_relay(text)


@pytest.mark.parametrize(
    "text",
    ["turn://a:1", "turns:a:1", "turn:a", "turn:a:1?transport=tcp", "turn:a:1?", "turn:a b:1"],
)
def test_what_is_not_a_turn_server_over_udp_is_refused(text):
    with pytest.raises(EndpointError, match="a TURN server over UDP"):
        parse_turn(text)


@given(st.text())
def test_any_text_is_taken_apart_or_refused(text):
    for parse in (parse_url, parse_address, parse_relay, parse_turn):
        try:
            host, port = parse(text)
        except EndpointError:
            continue
        assert host
        assert 1 <= port <= 65535


@given(ADDRESSES)
def test_every_address_is_a_host(address):
    assert is_host(str(address)) or getattr(address, "scope_id", None)
    assert ipaddress.ip_address(str(address)) == address
