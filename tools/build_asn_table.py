# ruff: noqa: INP001, T201 - a script that reports to whoever runs it, not a package
"""Build ``data/asn/table.zip`` from two packages of the ip-location-db project.

    npm pack @ip-location-db/asn @ip-location-db/asn-country
    python tools/build_asn_table.py ip-location-db-asn-2*.tgz ip-location-db-asn-country-2*.tgz

The first gives networks and their names (Route Views, the regional registries, DB-IP), the second
the country each block of addresses is registered in (the registries' statistics, NRO). Country by
registration is right for the lines people have at home and wrong for many servers; only the
probe's own line is ever looked up.
"""

from __future__ import annotations

import argparse
import csv
import io
import re
import tarfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TypeVar

from probe.asn_table import NO_ASN, NO_COUNTRY, Row, write_table

OUTPUT = Path(__file__).parents[1] / "data" / "asn" / "table.zip"
SOURCES = [
    "Route Views (routeviews.org), CC BY 4.0",
    "IP to ASN Lite by DB-IP (db-ip.com), CC BY 4.0",
    "Number Resource Organization (nro.net), CC BY 4.0",
]
#: Whole 64-bit networks are the smallest thing the table tells apart in IPv6.
SHIFT = {"ipv4": 0, "ipv6": 64}

T = TypeVar("T")
Range = tuple[int, int, list[str]]


def main() -> None:
    """Read the two packages named on the command line and write the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("networks", type=Path, help="tarball of @ip-location-db/asn")
    parser.add_argument("countries", type=Path, help="tarball of @ip-location-db/asn-country")
    parser.add_argument("-o", "--output", type=Path, default=OUTPUT)
    given = parser.parse_args()
    names: dict[int, str] = {}
    rows = {}
    for family in ("ipv4", "ipv6"):
        networks = list(ranges(given.networks, f"asn-{family}-num.csv", SHIFT[family]))
        countries = ranges(given.countries, f"asn-country-{family}-num.csv", SHIFT[family])
        names |= {int(asn): one_line(name) for _, _, (asn, name) in networks}
        asns = changes(networks, lambda values: int(values[0]), NO_ASN)
        rows[family] = merge(asns, changes(countries, lambda values: values[0], NO_COUNTRY))
        print(f"{family}: {len(rows[family])} rows")
    about = {"date": date_of(given.networks), "sources": SOURCES}
    write_table(given.output, about, rows["ipv4"], rows["ipv6"], names)
    print(f"{len(names)} names; {given.output}: {given.output.stat().st_size} bytes")


def ranges(tarball: Path, name: str, shift: int) -> Iterator[Range]:
    """Read the lines ``first, last, value...`` of one file, both ends cut to the upper bits."""
    with tarfile.open(tarball) as archive:
        member = archive.extractfile(f"package/{name}")
        if member is None:
            raise SystemExit(f"{tarball}: found no {name}, expected the package of that name")
        for first, last, *values in csv.reader(io.TextIOWrapper(member, encoding="utf-8")):
            yield int(first) >> shift, int(last) >> shift, values


def changes(ranges: Iterable[Range], value: Callable[[list[str]], T], none: T) -> dict[int, T]:
    """Turn ranges into the points where the value changes; where two overlap the first wins."""
    points: dict[int, T] = {0: none}
    free = 0
    for first, last, values in ranges:
        if last < free:
            continue
        points[max(first, free)] = value(values)
        free = last + 1
        points[free] = none
    return points


def merge(asns: dict[int, int], countries: dict[int, str]) -> list[Row]:
    """Lay the two over each other, one row per change of either."""
    rows: list[Row] = []
    asn, country = NO_ASN, NO_COUNTRY
    for start in sorted(asns.keys() | countries.keys()):
        asn, country = asns.get(start, asn), countries.get(start, country)
        if not rows or (asn, country) != (rows[-1].asn, rows[-1].country):
            rows.append(Row(start, asn, country))
    return rows


def one_line(name: str) -> str:
    """Take tabs, breaks and control characters out of a network's name."""
    return " ".join("".join(c if c.isprintable() else " " for c in name).split())


def date_of(tarball: Path) -> str:
    """The packages carry their day in the version: 2.3.YYYYMMDDhh."""
    found = re.search(r"-\d+\.\d+\.(\d{4})(\d{2})(\d{2})\d{2}\.tgz$", tarball.name)
    if not found:
        raise SystemExit(f"{tarball.name}: found no date, expected a name as npm pack makes it")
    return "-".join(found.groups())


if __name__ == "__main__":
    main()
