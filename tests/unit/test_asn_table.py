"""The table of networks: what is packed is found again, and the shipped one knows the world."""

import io
import ipaddress
import zipfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from probe.asn_table import Row, TableError, read_table, write_table
from probe.resources import asn_table

ABOUT = {"date": "2026-06-17", "sources": []}


def written(path, ipv4=(), ipv6=(), names=None):
    write_table(path, ABOUT, ipv4, ipv6, names or {})
    return read_table(path)


@pytest.fixture(scope="module")
def shipped():
    return read_table(asn_table())


def v4(text):
    return int(ipaddress.ip_address(text))


def v6(text):
    return int(ipaddress.ip_address(text)) >> 64


def test_a_row_holds_up_to_the_next_one(tmp_path):
    rows = [Row(v4("192.0.2.0"), 64496, "RU"), Row(v4("192.0.3.0"), 0, "ZZ")]
    table = written(tmp_path / "t.zip", rows)
    assert table.find("192.0.2.0") == (64496, "RU")
    assert table.find("192.0.2.255") == (64496, "RU")
    assert table.find("192.0.3.0") == (0, "ZZ")


def test_an_address_before_the_first_row_is_unknown(tmp_path):
    table = written(tmp_path / "t.zip", [Row(v4("192.0.2.0"), 64496, "RU")])
    assert table.find("192.0.1.255") == (0, "ZZ")


def test_a_table_without_rows_knows_nothing(tmp_path):
    table = written(tmp_path / "t.zip")
    assert table.find("192.0.2.0") == (0, "ZZ")
    assert table.find("2001:db8::1") == (0, "ZZ")
    assert table.name(64496) is None


def test_ipv6_is_told_apart_down_to_a_64_bit_network(tmp_path):
    rows = [Row(v6("2001:db8::"), 64496, "RU"), Row(v6("2001:db8:0:1::"), 64497, "FI")]
    table = written(tmp_path / "t.zip", ipv6=rows)
    assert table.find("2001:db8::ffff:ffff:ffff:ffff") == (64496, "RU")
    assert table.find("2001:db8:0:1::") == (64497, "FI")


def test_a_mapped_address_is_looked_up_as_what_it_maps(tmp_path):
    table = written(tmp_path / "t.zip", [Row(v4("192.0.2.0"), 64496, "RU")])
    assert table.find("::ffff:192.0.2.1") == (64496, "RU")


def test_names_keep_their_letters_and_quotes(tmp_path):
    names = {64496: 'Россия "Связь"', 64497: "B, Inc. 'x'"}
    table = written(tmp_path / "t.zip", names=names)
    assert [table.name(asn) for asn in (64495, 64496, 64497, 64498)] == [
        None,
        *names.values(),
        None,
    ]


def test_what_is_no_address_is_refused(tmp_path):
    with pytest.raises(ValueError, match="does not appear to be"):
        written(tmp_path / "t.zip").find("twitter.com")


def test_the_same_rows_give_the_same_bytes():
    files = io.BytesIO(), io.BytesIO()
    for file in files:
        write_table(file, ABOUT, [Row(1, 2, "RU")], [Row(3, 4, "FI")], {2: "Two"})
    assert files[0].getvalue() == files[1].getvalue()


ROWS = st.builds(
    lambda starts, asns: [
        Row(start, asn, ("RU", "FI", "ZZ")[asn % 3])
        for start, asn in zip(sorted(starts), asns, strict=False)
    ],
    st.sets(st.integers(0, 2**32 - 1), max_size=40),
    st.lists(st.integers(0, 2**32 - 1), min_size=40, max_size=40),
)


# One file is written over and over; the machine may be busy with other work.
@settings(
    deadline=None,
    max_examples=50,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(ROWS, st.integers(0, 2**32 - 1))
def test_any_table_answers_as_a_plain_search_through_its_rows_does(
    tmp_path, monkeypatch, rows, key
):
    monkeypatch.setattr("probe.asn_table._ROWS_A_BLOCK", 7)
    table = written(tmp_path / "t.zip", rows)
    for wanted in {key, *(row.start for row in rows), *(max(row.start - 1, 0) for row in rows)}:
        before = [row for row in rows if row.start <= wanted]
        expected = before[-1][1:] if before else (0, "ZZ")
        assert table.find(str(ipaddress.IPv4Address(wanted))) == expected


def test_a_missing_table_says_what_to_do(tmp_path):
    with pytest.raises(TableError, match="install it again"):
        read_table(tmp_path / "none.zip")


def test_a_file_that_is_no_archive_is_refused(tmp_path):
    (tmp_path / "t.zip").write_text("not a table")
    with pytest.raises(TableError, match="cannot be read"):
        read_table(tmp_path / "t.zip")


@pytest.mark.parametrize("name", ["notes.txt", "ipv5/1", "ipv4/first"])
def test_another_archive_is_refused(tmp_path, name):
    with zipfile.ZipFile(tmp_path / "t.zip", "w") as archive:
        archive.writestr(name, "")
    with pytest.raises(TableError, match="another archive"):
        read_table(tmp_path / "t.zip")


def test_a_table_damaged_after_it_was_opened_is_refused(tmp_path):
    path = tmp_path / "t.zip"
    table = written(path, [Row(v4("192.0.2.0"), 64496, "RU")])
    path.write_bytes(path.read_bytes()[:40])
    with pytest.raises(TableError):
        table.find("192.0.2.1")


@pytest.mark.parametrize(
    ("address", "asn", "country"),
    [
        ("149.154.167.51", 62041, "AG"),  # Telegram's data centre, registered in Antigua
        ("157.240.21.51", 32934, "US"),  # Meta
        ("5.255.255.70", 13238, "RU"),  # Yandex
        ("2a02:6b8::1", 13238, "RU"),
        ("192.168.1.1", 0, "ZZ"),
        ("224.0.0.1", 0, "ZZ"),
        ("255.255.255.255", 0, "ZZ"),
        ("::1", 0, "ZZ"),
    ],
)
def test_the_shipped_table_knows_addresses_of_known_owners(shipped, address, asn, country):
    assert shipped.find(address) == (asn, country)


def test_the_shipped_table_names_russian_access_networks(shipped):
    assert "Rostelecom" in shipped.name(12389)
    assert "MTS" in shipped.name(8359)


def test_the_shipped_table_is_small_and_comes_with_its_credits():
    folder = asn_table().parent
    assert asn_table().stat().st_size < 3_500_000
    credit = (folder / "NOTICE").read_text()
    assert all(
        name in credit for name in ("routeviews.org", "db-ip.com", "nro.net", "licenses/by/4.0")
    )
    date = read_table(asn_table()).date
    assert date in (folder / "README.md").read_text()


def test_the_table_is_found_in_an_install_as_in_a_checkout(tmp_path, monkeypatch):
    package = tmp_path / "probe"
    monkeypatch.setattr("probe.resources._PACKAGE", package)
    assert asn_table() == tmp_path / "data" / "asn" / "table.zip"
    (package / "_asn").mkdir(parents=True)
    assert asn_table() == package / "_asn" / "table.zip"
    assert isinstance(asn_table(), Path)
