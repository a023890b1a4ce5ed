"""How names are resolved and certificates trusted."""

import ssl

import pytest
from hypothesis import given
from hypothesis import strategies as st

from probe.network import (
    Network,
    NetworkError,
    is_bogon,
    parse_connect_to,
    parse_login,
    public_only,
)


def test_connect_to_entries_are_read_like_curls():
    assert parse_connect_to("A.example:443=127.0.0.1:8443, [2001:db8::1]:80=[::1]:81,") == {
        ("a.example", 443): ("127.0.0.1", 8443),
        ("2001:db8::1", 80): ("::1", 81),
    }


@pytest.mark.parametrize(
    "text",
    [
        "a.example:443",
        "a.example=127.0.0.1:1",
        "a.example:443=b.example:1",
        "a:0=127.0.0.1:1",
        "=",
        "a:443=127.0.0.1:٣",
    ],
)
def test_a_malformed_entry_says_what_was_found_and_expected(text):
    with pytest.raises(NetworkError, match="expected HOST:PORT=ADDRESS:PORT"):
        parse_connect_to(text)


@given(st.text(max_size=60))
def test_any_text_is_either_read_or_refused(text):
    try:
        entries = parse_connect_to(text)
    except NetworkError:
        return
    assert all(0 < port < 65_536 for _, port in entries)


def test_the_environment_is_used_where_no_option_is_given(monkeypatch):
    monkeypatch.setenv("PROBE_CONNECT_TO", "a.example:443=127.0.0.1:1")
    monkeypatch.setenv("PROBE_ALLOW_BOGONS", "1")
    network = Network.from_options()
    assert network.connect_to == {("a.example", 443): ("127.0.0.1", 1)}
    assert network.allow_bogons


def test_a_turn_login_is_read_from_the_environment_and_never_repeated(monkeypatch):
    monkeypatch.setenv("PROBE_TURN_LOGIN", "caller:two:words")
    assert Network.from_options().turn_login == ("caller", "two:words")
    assert parse_login("") is None
    for wrong in ("secret", ":secret", "secret:"):
        with pytest.raises(NetworkError, match="expected USERNAME:CREDENTIAL") as caught:
            parse_login(wrong)
        assert "secret" not in str(caught.value)


async def test_a_mapped_name_needs_no_resolver():
    network = Network.from_options("a.example:443=127.0.0.1:1")
    addresses, answer = await network.resolve("A.Example.", 443)
    assert addresses == (("127.0.0.1", 1),)
    assert (answer.engine, answer.addresses, answer.failure) == ("connect_to", ("127.0.0.1",), None)


async def test_a_literal_address_needs_no_resolver_and_is_never_a_bogon():
    addresses, answer = await Network().resolve("127.0.0.1", 80)
    assert addresses == (("127.0.0.1", 80),)
    assert answer.engine == "literal"


async def test_the_systems_resolver_is_asked_for_names():
    addresses, answer = await Network().resolve("localhost", 80)
    assert ("127.0.0.1", 80) in addresses or ("::1", 80) in addresses
    assert (answer.engine, answer.failure) == ("getaddrinfo", None)
    assert answer.duration_s > 0


async def test_a_name_that_cannot_be_encoded_does_not_exist():
    addresses, answer = await Network().resolve("a" * 64 + ".example", 80)
    assert addresses == ()
    assert answer.failure.startswith("dns_")


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "10.1.2.3",
        "100.64.0.1",
        "0.0.0.0",
        "192.0.2.1",
        "198.18.0.1",
        "169.254.1.1",
        "224.0.0.1",
        "240.0.0.1",
        "::1",
        "::",
        "fe80::1%eth0",
        "fc00::1",
        "::ffff:10.0.0.1",
        "ff02::1",
    ],
)
def test_an_address_no_public_host_can_have_is_a_bogon(address):
    assert is_bogon(address)


@pytest.mark.parametrize(
    "address", ["8.8.8.8", "2606:4700::1", "::ffff:8.8.8.8", "64:ff9b::808:808"]
)
def test_a_public_address_is_none(address):
    assert not is_bogon(address)


def test_bogons_are_dropped_for_public_names_only():
    assert public_only("site.example", ("10.0.0.1", "8.8.8.8")) == ("8.8.8.8",)
    assert public_only("printer.local.", ("10.0.0.1",)) == ("10.0.0.1",)
    assert public_only("localhost", ("127.0.0.1",)) == ("127.0.0.1",)


def test_one_context_is_made_per_need():
    network = Network()
    checking = network.tls_context(("h2",))
    assert checking is network.tls_context(("h2",))
    assert checking.verify_mode is ssl.CERT_REQUIRED
    assert checking.check_hostname
    blind = network.tls_context(("h2",), check_certificate=False)
    assert blind.verify_mode is ssl.CERT_NONE
    assert not Network().contexts
