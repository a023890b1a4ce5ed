"""Where the probe sits, and that its address goes nowhere."""

import io
import ipaddress
import logging
import pickle
import socket

import msgspec
import pytest

from probe import vantage
from probe.asn_table import Row, read_table, write_table
from probe.measurement import Vantage
from probe.vantage import SettingError, Settings, locate, lookup, own_address, read_settings

OWN = "95.24.7.77"
OTHER = "87.250.250.242"


@pytest.fixture
def table(tmp_path):
    """A table in which the probe's address belongs to AS 64496 in Russia."""
    starts = [("95.24.0.0", 64496, "RU"), ("95.25.0.0", 0, "ZZ"), ("185.2.0.0", 14061, "NL")]
    rows = sorted(Row(int(ipaddress.ip_address(a)), asn, country) for a, asn, country in starts)
    names = {64496: "Example Line", 14061: "DigitalOcean, LLC"}
    write_table(tmp_path / "t.zip", {"date": "2026-06-17"}, rows, [], names)
    return read_table(tmp_path / "t.zip")


HERE = Vantage(country="RU", asn=64496, network="Example Line", table="2026-06-17")
NOWHERE = Vantage(table="2026-06-17")


def asking(answer):
    """A relay that gives one answer, and says how often it was asked."""

    async def ask():
        ask.times += 1
        return answer

    ask.times = 0
    return ask


def test_a_public_address_gives_country_network_and_the_tables_date(table):
    assert lookup(OWN, table) == HERE


@pytest.mark.parametrize(
    "address",
    [
        "-",
        "localhost",
        "127.0.0.1",
        "10.1.2.3",
        "192.168.0.1",
        "100.64.0.1",
        "169.254.1.1",
        "224.0.0.1",
        "::1",
        "fe80::1",
        "fd00::1",
        "2001:db8::1",
        "2002:5f18:74d::1",
        "2001:0:5f18:74d::1",
        "::ffff:10.1.2.3",
    ],
)
def test_an_address_that_is_not_public_gives_nothing_away(table, address):
    assert lookup(address, table) == NOWHERE


def test_a_network_that_rents_servers_is_called_hosting(table):
    assert lookup("185.2.0.1", table).network_type == "hosting"


async def test_the_machines_own_public_address_is_enough(table):
    ask = asking(OTHER)
    assert await locate(table, Settings(), ask=ask, own=lambda: OWN) == HERE
    assert ask.times == 0


async def test_behind_a_home_router_the_relay_is_asked_once(table):
    ask = asking(OWN)
    assert await locate(table, Settings(), ask=ask, own=lambda: None) == HERE
    assert ask.times == 1


async def test_without_any_answer_the_vantage_is_unknown(table):
    assert await locate(table, Settings(), ask=asking(None), own=lambda: None) == NOWHERE


async def test_an_answer_that_is_no_address_is_as_good_as_none(table):
    assert await locate(table, Settings(), ask=asking("?"), own=lambda: None) == NOWHERE


async def test_where_the_user_says_both_nothing_is_asked_or_read(table):
    ask = asking(OWN)

    def own():
        raise AssertionError("looked for an address that nobody needs")

    said = Settings(country="FI", asn=14061, network_type="mobile")
    found = await locate(table, said, ask=ask, own=own)
    assert found == Vantage(
        country="FI",
        asn=14061,
        network="DigitalOcean, LLC",
        network_type="mobile",
        table="2026-06-17",
    )
    assert ask.times == 0


async def test_what_the_user_says_goes_before_what_is_found(table):
    found = await locate(table, Settings(country="KZ"), ask=asking(OWN), own=lambda: None)
    assert (found.country, found.asn) == ("KZ", 64496)


async def test_withholding_the_network_withholds_its_name_and_kind(table):
    found = await locate(table, Settings(asn=0), ask=asking("185.2.0.1"), own=lambda: None)
    assert found == Vantage(country="NL", table="2026-06-17")


async def test_withholding_the_country_leaves_the_network(table):
    found = await locate(table, Settings(country="ZZ"), ask=asking(OWN), own=lambda: None)
    assert (found.country, found.asn) == ("ZZ", 64496)


async def test_the_address_is_in_nothing_that_comes_out(table, caplog, capfd):
    caplog.set_level(logging.DEBUG)
    found = await locate(table, Settings(), ask=asking(OWN), own=lambda: None)
    looked_up = lookup(OWN, table)
    number = int(ipaddress.ip_address(OWN))
    outputs = [
        repr(found),
        repr(looked_up),
        msgspec.json.encode(found).decode(),
        repr(pickle.dumps(found)),
        repr(table),
        caplog.text,
        *capfd.readouterr(),
        repr({name: value for name, value in vars(vantage).items() if name != "__builtins__"}),
    ]
    for text in outputs:
        assert OWN not in text
        assert str(number) not in text
        assert f"{number:x}" not in text
        assert OWN.rpartition(".")[0] not in text


async def test_the_address_is_in_no_error(table):
    table.path.unlink()
    with pytest.raises(Exception, match="install it again") as caught:
        await locate(table, Settings(), ask=asking(OWN), own=lambda: None)
    assert OWN not in str(caught.value)
    assert OWN not in repr(caught.value)


def test_looking_for_the_own_address_gives_a_public_one_or_none():
    found = own_address()
    assert found is None or ipaddress.ip_address(found).is_global


def test_behind_ipv4_nat_a_public_ipv6_address_is_the_machines_own(monkeypatch):
    monkeypatch.setattr(
        socket, "socket", Kernel({socket.AF_INET: "10.0.0.2", socket.AF_INET6: "2a00::9"})
    )
    assert own_address() == "2a00::9"


def test_a_machine_without_a_way_out_has_no_address_of_its_own(monkeypatch):
    monkeypatch.setattr(socket, "socket", Kernel({}))
    assert own_address() is None


class Kernel:
    """Stands for the kernel's routing table, which a test cannot change; it cannot send."""

    def __init__(self, sources):
        self.sources = sources

    def __call__(self, family, kind):
        assert kind == socket.SOCK_DGRAM
        return Route(self.sources.get(family))


class Route(io.BytesIO):
    def __init__(self, source):
        super().__init__()
        self.source = source

    def connect(self, _):
        if self.source is None:
            raise OSError("Network is unreachable")

    def getsockname(self):
        return (self.source, 40000)


def test_settings_are_read_from_the_environment():
    environ = {"PROBE_COUNTRY": "ru", "PROBE_ASN": "AS12389", "PROBE_NETWORK_TYPE": "Fixed"}
    assert read_settings(environ) == Settings(country="RU", asn=12389, network_type="fixed")


def test_settings_left_empty_count_as_unset():
    assert read_settings({"PROBE_COUNTRY": "", "PROBE_ASN": ""}) == Settings()


def test_country_and_network_can_be_withheld():
    assert read_settings({"PROBE_COUNTRY": "ZZ", "PROBE_ASN": "0"}) == Settings(country="ZZ", asn=0)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("PROBE_COUNTRY", "Russia", "PROBE_COUNTRY: found 'Russia', expected two letters"),
        ("PROBE_ASN", "Rostelecom", "PROBE_ASN: found 'Rostelecom', expected an AS number"),
        ("PROBE_ASN", "4294967296", "PROBE_ASN: found '4294967296', expected an AS number"),
        ("PROBE_ASN", "-1", "PROBE_ASN: found '-1', expected an AS number"),
        ("PROBE_NETWORK_TYPE", "dsl", "expected one of fixed, mobile, hosting, unknown"),
    ],
)
def test_a_setting_that_makes_no_sense_is_refused(name, value, message):
    with pytest.raises(SettingError, match=message):
        read_settings({name: value})
