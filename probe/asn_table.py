"""The table that turns an address into a network and a country, without asking anyone.

It is a zip archive, so that ordinary tools can look into it and each part is compressed alone; a
look-up unpacks one block of one family and one block of names, and the rest stays packed.

    about.json        {"date": "2026-06-17", "sources": [...]}
    ipv4/START        rows from this address on, START in decimal with leading zeros
    ipv6/START        the same for the upper 64 bits of IPv6 addresses
    names/ASN         lines "ASN<tab>name" from this number on

A row says that from its start up to the next row's start the network is this AS in this country;
AS 0 means that no network announces it, ``ZZ`` that no country is known. A block of n rows holds n
start differences (8 bytes each), n AS numbers (4 bytes each), little-endian, and n country codes
(2 bytes each).
"""

from __future__ import annotations

import ipaddress
import json
import struct
import zipfile
import zlib
from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import accumulate, pairwise
from pathlib import Path
from typing import IO, Any, Final, NamedTuple, TypeVar

import msgspec

from probe.exits import CommandError

NO_ASN: Final = 0
NO_COUNTRY: Final = "ZZ"
_ROWS_A_BLOCK: Final = 4096
_ROW_BYTES: Final = 8 + 4 + 2
#: Decimal digits of 2**64, so that the names of blocks sort as their numbers do.
_DIGITS: Final = 20
T = TypeVar("T")


class TableError(CommandError):
    """The table cannot be read; the text says what was found and what to do."""


class Row(NamedTuple):
    """From ``start`` on, up to the next row's start: this AS, this country."""

    start: int
    asn: int
    country: str


class Table(msgspec.Struct, frozen=True):
    """A table on disk. ``date`` is the day of its sources, ``YYYY-MM-DD``.

    ``blocks`` holds, per part, the first key of each block, rising.
    """

    path: Path
    date: str
    blocks: dict[str, tuple[int, ...]]

    def find(self, address: str) -> tuple[int, str]:
        """Look an address up.

        Args:
            address: IPv4 or IPv6, as text.

        Returns:
            AS number and country; ``(0, "ZZ")`` where the table knows nothing.

        Raises:
            ValueError: the text is not an address.
            TableError: the table cannot be read.
        """
        part, key = _key(address)
        packed = self._block(part, key)
        rows = len(packed) // _ROW_BYTES
        differences = struct.unpack_from(f"<{rows}Q", packed)
        index = bisect_right(list(accumulate(differences)), key) - 1
        if index < 0:
            return NO_ASN, NO_COUNTRY
        (asn,) = struct.unpack_from("<I", packed, 8 * rows + 4 * index)
        country = packed[12 * rows + 2 * index :][:2].decode("ascii")
        return asn, country

    def name(self, asn: int) -> str | None:
        """Give the name of a network.

        Args:
            asn: its AS number.

        Returns:
            The name, or None where the table has none.

        Raises:
            TableError: the table cannot be read.
        """
        lines = self._block("names", asn).decode("utf-8").splitlines()
        names = dict(line.split("\t", 1) for line in lines)
        return names.get(str(asn))

    def _block(self, part: str, key: int) -> bytes:
        """Unpack the block that would hold a key; empty when the key is before the first."""
        starts = self.blocks[part]
        index = bisect_right(starts, key) - 1
        if index < 0:
            return b""
        with _opened(self.path) as archive:
            return archive.read(_member(part, starts[index]))


def read_table(path: Path) -> Table:
    """Open a table.

    Args:
        path: the archive.

    Returns:
        The table; only its index is read.

    Raises:
        TableError: the file is missing or is not such a table.
    """
    blocks: dict[str, list[int]] = {"ipv4": [], "ipv6": [], "names": []}
    with _opened(path) as archive:
        try:
            date = str(json.loads(archive.read("about.json"))["date"])
            for name in archive.namelist():
                part, _, start = name.partition("/")
                if start:
                    blocks[part].append(int(start))
        except (KeyError, ValueError) as error:
            raise TableError(f"found {path} to be another archive ({error!r})") from error
    return Table(path, date, {part: tuple(sorted(starts)) for part, starts in blocks.items()})


def write_table(
    file: Path | IO[bytes],
    about: Mapping[str, Any],
    ipv4: Sequence[Row],
    ipv6: Sequence[Row],
    names: Mapping[int, str],
) -> None:
    """Pack a table; the same rows give the same bytes.

    Args:
        file: where to write it.
        about: what the table says about itself; ``date`` is required.
        ipv4: rows by rising start.
        ipv6: rows by rising start, the start being the upper 64 bits.
        names: network names by AS number, each one line.
    """
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        _add(archive, "about.json", json.dumps(about, indent=2).encode())
        for part, rows in (("ipv4", ipv4), ("ipv6", ipv6)):
            for block in _split(rows):
                _add(archive, _member(part, block[0].start), _packed(block))
        for names_block in _split(sorted(names.items())):
            lines = "\n".join(f"{asn}\t{name}" for asn, name in names_block)
            _add(archive, _member("names", names_block[0][0]), lines.encode())


def _key(address: str) -> tuple[str, int]:
    """The part to look in and the number to look for; mapped IPv4 is looked up as IPv4."""
    parsed = ipaddress.ip_address(address)
    if isinstance(parsed, ipaddress.IPv6Address) and parsed.ipv4_mapped:
        parsed = parsed.ipv4_mapped
    if isinstance(parsed, ipaddress.IPv6Address):
        return "ipv6", int(parsed) >> 64
    return "ipv4", int(parsed)


@contextmanager
def _opened(path: Path) -> Iterator[zipfile.ZipFile]:
    try:
        with zipfile.ZipFile(path) as archive:
            yield archive
    except (OSError, zipfile.BadZipFile, zlib.error) as error:
        raise TableError(
            f"found that {path} cannot be read ({error}), expected the table of networks that "
            "comes with the program: install it again"
        ) from error


def _split(items: Sequence[T]) -> list[Sequence[T]]:
    return [items[at : at + _ROWS_A_BLOCK] for at in range(0, len(items), _ROWS_A_BLOCK)]


def _packed(rows: Sequence[Row]) -> bytes:
    starts = [row.start for row in rows]
    differences = [starts[0], *(b - a for a, b in pairwise(starts))]
    numbers = struct.pack(f"<{len(rows)}Q", *differences)
    asns = struct.pack(f"<{len(rows)}I", *(row.asn for row in rows))
    return numbers + asns + "".join(row.country for row in rows).encode("ascii")


def _member(part: str, start: int) -> str:
    return f"{part}/{start:0{_DIGITS}d}"


def _add(archive: zipfile.ZipFile, name: str, data: bytes) -> None:
    archive.writestr(zipfile.ZipInfo(name), data, zipfile.ZIP_DEFLATED, 9)
