"""Where the probe sits: country, network and kind of line, and never an address.

The probe's own public address is needed for one look-up in the table that comes with the program.
It is a local variable of this module and nothing else: it is put into no value that is returned,
no error and no log line, and nobody on the network is asked for a location.
"""

from __future__ import annotations

import ipaddress
import re
import socket
from collections.abc import Awaitable, Callable, Mapping
from typing import Final, get_args

import msgspec

from probe.asn_table import NO_ASN, NO_COUNTRY, Table
from probe.exits import UsageError
from probe.measurement import NetworkType, Vantage
from probe.network import is_bogon, is_literal

COUNTRY_SETTING: Final = "PROBE_COUNTRY"
ASN_SETTING: Final = "PROBE_ASN"
TYPE_SETTING: Final = "PROBE_NETWORK_TYPE"
_HIGHEST_ASN: Final = 2**32 - 1
#: Kept for documentation (RFC 5737, RFC 3849): routed by default like any foreign address.
_ELSEWHERE: Final = ((socket.AF_INET, "192.0.2.1"), (socket.AF_INET6, "2001:db8::1"))
#: Networks that rent servers and sell no access lines. A filter near the users does not see them,
#: so what a probe there finds says little about the country.
_HOSTING: Final = frozenset(
    {
        8075,  # Microsoft
        9123,  # Timeweb
        12876,  # Scaleway
        14061,  # DigitalOcean
        14618,  # Amazon
        16509,  # Amazon
        20473,  # The Constant Company (Vultr)
        24940,  # Hetzner
        31898,  # Oracle
        45102,  # Alibaba
        49505,  # Selectel
        51167,  # Contabo
        60781,  # LeaseWeb
        63949,  # Akamai (Linode)
        200350,  # Yandex.Cloud
        396982,  # Google Cloud
    }
)


class SettingError(UsageError):
    """A setting about the vantage that makes no sense: what was found, what was expected."""


class Settings(msgspec.Struct, frozen=True):
    """What the user says about the line; None where they say nothing.

    ``ZZ`` and 0 withhold the country and the network.
    """

    country: str | None = None
    asn: int | None = None
    network_type: NetworkType | None = None


def read_settings(environ: Mapping[str, str]) -> Settings:
    """Read ``PROBE_COUNTRY``, ``PROBE_ASN`` and ``PROBE_NETWORK_TYPE``.

    Args:
        environ: the environment.

    Returns:
        The settings; an empty variable counts as unset.

    Raises:
        SettingError: a value that is no country code, AS number or kind of network.
    """
    country = environ.get(COUNTRY_SETTING, "").upper() or None
    if country and not re.fullmatch("[A-Z]{2}", country):
        raise _wrong(COUNTRY_SETTING, environ, "two letters, like RU, or ZZ to withhold it")
    asn = environ.get(ASN_SETTING, "").upper().removeprefix("AS") or None
    if asn and not (re.fullmatch("[0-9]{1,10}", asn) and int(asn) <= _HIGHEST_ASN):
        raise _wrong(ASN_SETTING, environ, "an AS number, like AS12389, or 0 to withhold it")
    kind = environ.get(TYPE_SETTING, "").lower() or None
    if kind and kind not in get_args(NetworkType):
        raise _wrong(TYPE_SETTING, environ, f"one of {', '.join(get_args(NetworkType))}")
    found = {"country": country, "asn": int(asn) if asn else None, "network_type": kind}
    return msgspec.convert(found, Settings)


def lookup(address: str, table: Table) -> Vantage:
    """Find out where an address sits; the address does not leave this function.

    Args:
        address: the probe's public address.
        table: the table of networks.

    Returns:
        The vantage; an unknown one for a text that is no address, or one that is not public.

    Raises:
        TableError: the table cannot be read.
    """
    if not _is_public(address):
        return Vantage(table=table.date)
    asn, country = table.find(address)
    return _vantage(asn, country, table)


def own_address() -> str | None:
    """Give this machine's own address where it is a public one, IPv4 before IPv6.

    Connecting a UDP socket makes the kernel choose the way out and sends nothing.
    """
    for family, elsewhere in _ELSEWHERE:
        try:
            with socket.socket(family, socket.SOCK_DGRAM) as sock:
                sock.connect((elsewhere, 9))
                address = str(sock.getsockname()[0])
        except OSError:  # no way out in this family: the other one, or the relay, may tell
            continue
        if _is_public(address):
            return address
    return None


async def locate(
    table: Table,
    settings: Settings,
    *,
    ask: Callable[[], Awaitable[str | None]],
    own: Callable[[], str | None] = own_address,
) -> Vantage:
    """Find out where this probe sits.

    Args:
        table: the table of networks.
        settings: what the user said, which goes before everything that is found out.
        ask: asks a neutral relay for this probe's public address (a STUN Binding); None when no
            answer came. Called only where the user left something open and this machine has no
            public address of its own.
        own: gives this machine's own public address, or None.

    Returns:
        The vantage, unknown as far as nobody could tell.

    Raises:
        TableError: the table cannot be read.
    """
    found = Vantage(table=table.date)
    if settings.country is None or settings.asn is None:
        found = lookup(own() or await ask() or "", table)
    asn = found.asn if settings.asn is None else settings.asn
    country = settings.country or found.country
    place = _vantage(asn, country, table)
    return msgspec.structs.replace(place, network_type=settings.network_type or place.network_type)


def _vantage(asn: int, country: str, table: Table) -> Vantage:
    """All that a network's number says; with the number withheld, its name and kind are too."""
    return Vantage(
        country=country or NO_COUNTRY,
        asn=asn,
        network=table.name(asn) if asn != NO_ASN else None,
        network_type="hosting" if asn in _HOSTING else "unknown",
        table=table.date,
    )


def _is_public(address: str) -> bool:
    if not is_literal(address) or is_bogon(address):
        return False
    parsed = ipaddress.ip_address(address)
    # A tunnel's address says where the relay is, not where the line is.
    return parsed.version == 4 or not (parsed.sixtofour or parsed.teredo)  # noqa: PLR2004 - IP version


def _wrong(name: str, environ: Mapping[str, str], expected: str) -> SettingError:
    return SettingError(f"{name}: found {environ[name]!r}, expected {expected}")
