"""How endpoints are written: URLs, ``host:port``, ``stun://`` relays, ``turn:`` servers. Pure.

Each parser raises :class:`EndpointError`, whose text says what was expected, and returns the parts.
"""

from __future__ import annotations

import ipaddress
import re
from typing import NamedTuple
from urllib.parse import urlsplit

_LABEL = r"(?!-)[a-z0-9_-]{1,63}(?<!-)"
_NAME = re.compile(rf"(?={'.{1,253}'}\.?$){_LABEL}(\.{_LABEL})*\.?", re.IGNORECASE)
_PORTS = range(1, 65536)


class EndpointError(ValueError):
    """The text is not an endpoint of this kind; the message says what was expected."""


class HostPort(NamedTuple):
    """A host name or IP address without brackets, and a port; its text has the brackets."""

    host: str
    port: int

    def __str__(self) -> str:
        """Write ``host:port``, as :func:`parse_address` reads it."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def parse_url(text: str) -> HostPort:
    """Take a web address apart.

    Args:
        text: an absolute ``https`` or ``http`` URL.

    Returns:
        Its host and port, the scheme's own port where none is written.

    Raises:
        EndpointError: another scheme, no host, a password in it, white space, or a bad port.
    """
    if re.search(r"[\s\x00-\x20\x7f-\xa0]", text):
        raise EndpointError("a URL without white space")
    try:
        url = urlsplit(text)
        port = url.port
    except ValueError as error:
        raise EndpointError(f"a URL that can be parsed ({error})") from error
    if url.scheme not in ("https", "http"):
        raise EndpointError('a URL that begins with "https://" or "http://"')
    if url.username is not None or url.password is not None:
        raise EndpointError("a URL without a user name or password")
    if not url.hostname or not is_host(url.hostname):
        raise EndpointError("a URL with a host name or address")
    if port == 0:
        raise EndpointError("a port from 1 to 65535")
    return HostPort(url.hostname, port or (443 if url.scheme == "https" else 80))


def parse_address(text: str) -> HostPort:
    """Take a ``host:port`` apart; IPv6 is written ``[ip]:port``.

    Args:
        text: for example ``149.154.167.51:443`` or ``e1.whatsapp.net:5222``.

    Returns:
        The host and the port.

    Raises:
        EndpointError: the host is neither an address nor a name, or the port is missing or out of
            range.
    """
    expected = 'a host and port, like "192.0.2.1:443", "[2001:db8::1]:443" or "t.example:443"'
    host, port = _split(text, expected)
    if not is_host(host):
        raise EndpointError(expected)
    return HostPort(host, port)


def parse_relay(text: str) -> HostPort:
    """Take a ``stun://host:port`` apart (the form of OONI's stunreachability, ts-025).

    Args:
        text: for example ``stun://stun.example:3478``.

    Returns:
        The host and the port.

    Raises:
        EndpointError: another scheme, or the host or the port is missing or malformed.
    """
    expected = 'a relay, like "stun://stun.example:3478"'
    if not text.startswith("stun://"):
        raise EndpointError(expected)
    host, port = _split(text.removeprefix("stun://"), expected)
    if not is_host(host):
        raise EndpointError(expected)
    return HostPort(host, port)


def parse_turn(text: str) -> HostPort:
    """Take a TURN server's address apart (RFC 7065), one that is reached over UDP.

    Args:
        text: for example ``turn:far.example:3478?transport=udp``; the query may be left out.

    Returns:
        The host and the port.

    Raises:
        EndpointError: another scheme or transport, or the host or the port is missing or malformed.
    """
    expected = 'a TURN server over UDP, like "turn:far.example:3478?transport=udp"'
    address, question, query = text.partition("?")
    if not address.startswith("turn:") or (question and query != "transport=udp"):
        raise EndpointError(expected)
    host, port = _split(address.removeprefix("turn:"), expected)
    if not is_host(host):
        raise EndpointError(expected)
    return HostPort(host, port)


def is_host(text: str) -> bool:
    """Whether the text is a host name (RFC 1123, underscores allowed) or an IP address."""
    return _is_address(text) or _NAME.fullmatch(text) is not None


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return "%" not in text


def _split(text: str, expected: str) -> HostPort:
    """Split at the last colon; brackets mark IPv6 and nothing else."""
    host, colon, port = text.rpartition(":")
    bracketed = host.startswith("[") and host.endswith("]")
    if not colon or bracketed != (":" in host) or not re.fullmatch(r"[0-9]{1,5}", port):
        raise EndpointError(expected)
    if int(port) not in _PORTS:
        raise EndpointError("a port from 1 to 65535")
    return HostPort(host[1:-1] if bracketed else host, int(port))
