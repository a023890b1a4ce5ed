"""How this process resolves names and trusts certificates: the one way out of the probe.

A name goes through the ``connect_to`` entries first (like curl's ``--connect-to``; a lab uses them
to stand in for the services), then through the system's resolver. Certificates are checked against
the system's store, which honours ``SSL_CERT_FILE``.
"""

from __future__ import annotations

import asyncio
import ipaddress
import os
import socket
import ssl
import threading
import time
from typing import Any, Final

import msgspec

from probe import failure
from probe.endpoints import parse_address
from probe.exits import UsageError
from probe.measurement import DnsAnswer

Address = tuple[str, int]

#: Endings that never name a public host (RFC 6761, RFC 6762, RFC 8375, ICANN on .internal).
_PRIVATE_ENDINGS: Final = (".local", ".localhost", ".internal", ".home.arpa", ".test", ".invalid")


class NetworkError(UsageError):
    """A ``connect_to`` entry that cannot be understood; says what was found and expected."""


class Network(msgspec.Struct, frozen=True, kw_only=True):
    """The resolver and the trust of one process.

    Attributes:
        connect_to: where a (host, port) is reached instead; holds for TCP and UDP.
        allow_bogons: accept addresses for public names that no public host can have.
        turn_login: username and credential for the far end's TURN server; in no file or record.
    """

    connect_to: dict[Address, Address] = {}
    allow_bogons: bool = False
    turn_login: tuple[str, str] | None = None
    contexts: dict[tuple[tuple[str, ...], bool], ssl.SSLContext] = {}

    @classmethod
    def from_options(cls, connect_to: str = "", *, allow_bogons: bool | None = None) -> Network:
        """Build from an option and the environment, the TURN login from ``PROBE_TURN_LOGIN`` alone.

        Args:
            connect_to: ``HOST:PORT=ADDR:PORT`` entries, comma-separated; ``PROBE_CONNECT_TO``
                when empty.
            allow_bogons: as the attribute; ``PROBE_ALLOW_BOGONS=1`` when ``None``.

        Returns:
            The network.

        Raises:
            NetworkError: an entry or the login is malformed.
        """
        entries = connect_to or os.environ.get("PROBE_CONNECT_TO", "")
        if allow_bogons is None:
            allow_bogons = os.environ.get("PROBE_ALLOW_BOGONS", "") == "1"
        return cls(
            connect_to=parse_connect_to(entries),
            allow_bogons=allow_bogons,
            turn_login=parse_login(os.environ.get("PROBE_TURN_LOGIN", "")),
        )

    async def resolve(self, host: str, port: int) -> tuple[tuple[Address, ...], DnsAnswer]:
        """Find where a host is reached.

        Args:
            host: a name or a literal address.
            port: the port that is wanted there.

        Returns:
            The (address, port) pairs to try, in the resolver's order of preference, and the
            answer as recorded: ``engine`` is ``connect_to``, ``literal`` or ``getaddrinfo``, a
            failure is named there, and then there is no pair. ``t_s`` is left 0.
        """
        name = host.lower().rstrip(".")
        if (there := self.connect_to.get((name, port))) is not None:
            return (there,), DnsAnswer(name=host, engine="connect_to", addresses=(there[0],))
        if is_literal(host):
            return ((host, port),), DnsAnswer(name=host, engine="literal", addresses=(host,))
        begun = time.monotonic()
        try:
            found = await _getaddrinfo(host, port)
        except (OSError, UnicodeError) as error:
            # A name that cannot be encoded (IDNA) is a UnicodeError: no such name can exist.
            word = (
                failure.from_oserror(error) if isinstance(error, OSError) else failure.DNS_NXDOMAIN
            )
            return (), DnsAnswer(name=host, failure=word, duration_s=time.monotonic() - begun)
        answer = DnsAnswer(name=host, addresses=found, duration_s=time.monotonic() - begun)
        usable = found if self.allow_bogons else public_only(host, found)
        if not usable:
            word = failure.DNS_BOGON if found else failure.DNS_NO_ANSWER
            return (), msgspec.structs.replace(answer, failure=word)
        return tuple((address, port) for address in usable), answer

    def tls_context(
        self, alpn: tuple[str, ...] = ("http/1.1",), *, check_certificate: bool = True
    ) -> ssl.SSLContext:
        """Return a client context over the system's trust store.

        Args:
            alpn: protocols offered, best first.
            check_certificate: verify the chain and the name; off only for an arm whose whole
                point is another name.

        Returns:
            A context; the same one for the same arguments, as loading the store takes a while.
        """
        context = self.contexts.get((alpn, check_certificate))
        if context is None:
            context = ssl.create_default_context()
            if not check_certificate:
                context.check_hostname = False
                context.verify_mode = ssl.CERT_NONE
            context.set_alpn_protocols(list(alpn))
            self.contexts[alpn, check_certificate] = context
        return context

    def trust_paths(self) -> tuple[str | None, str | None]:
        """Return the file and the folder of the system's trust store, for other TLS stacks."""
        paths = ssl.get_default_verify_paths()
        return paths.cafile, paths.capath


def parse_connect_to(text: str) -> dict[Address, Address]:
    """Read ``HOST:PORT=ADDR:PORT`` entries.

    Args:
        text: entries separated by commas; IPv6 addresses in brackets; may be empty.

    Returns:
        Where each (lower-case host, port) is reached.

    Raises:
        NetworkError: an entry is malformed, or its right side is not a literal address.
    """
    entries: dict[Address, Address] = {}
    for entry in filter(None, (part.strip() for part in text.split(","))):
        wanted, _, there = entry.partition("=")
        try:
            address = parse_address(there)
            ipaddress.ip_address(address.host)
            host, port = parse_address(wanted)
        except ValueError as error:
            raise NetworkError(
                f"connect-to: found {entry!r} ({error}), expected HOST:PORT=ADDRESS:PORT, "
                "for instance example.org:443=127.0.0.1:8443"
            ) from error
        entries[host.lower().rstrip("."), port] = address
    return entries


def parse_login(text: str) -> tuple[str, str] | None:
    """Read ``USERNAME:CREDENTIAL``.

    Args:
        text: the two, the first without a colon; may be empty.

    Returns:
        The two; ``None`` for nothing.

    Raises:
        NetworkError: one of them is missing; what was found is not repeated.
    """
    username, _, credential = text.partition(":")
    if text and not (username and credential):
        raise NetworkError("PROBE_TURN_LOGIN: found no such pair, expected USERNAME:CREDENTIAL")
    return (username, credential) if text else None


def is_literal(host: str) -> bool:
    """Say whether a host is an address already.

    Args:
        host: as it stands in a URL, without brackets.

    Returns:
        True for an IPv4 or IPv6 address.
    """
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def public_only(name: str, addresses: tuple[str, ...]) -> tuple[str, ...]:
    """Drop the answers that a public name cannot truthfully have.

    Args:
        name: what was looked up; one that is not public keeps every answer.
        addresses: what the resolver said.

    Returns:
        The addresses that are globally reachable (IANA special-purpose registries), in order.
    """
    if not is_public(name):
        return addresses
    return tuple(a for a in addresses if not is_bogon(a))


def is_public(host: str) -> bool:
    """Say whether a host is one of the public internet, as far as its name goes.

    Args:
        host: a name or a literal address.

    Returns:
        False for bogons, for names without a dot and for endings that stay at home.
    """
    if is_literal(host):
        return not is_bogon(host)
    name = host.lower().rstrip(".")
    return "." in name and not name.endswith(_PRIVATE_ENDINGS)


def is_bogon(address: str) -> bool:
    """Say whether no public host can be at an address.

    Args:
        address: a literal address; a zone (``%eth0``) is ignored.

    Returns:
        True for loopback, private, shared, link-local, documentation, multicast and the like.
    """
    parsed = ipaddress.ip_address(address.partition("%")[0])
    mapped = getattr(parsed, "ipv4_mapped", None)
    parsed = mapped or parsed
    return not parsed.is_global or parsed.is_multicast


async def _getaddrinfo(host: str, port: int) -> tuple[str, ...]:
    """Ask the system's resolver in a thread that nobody has to wait for.

    The loop's own executor is joined when the program ends, so a silent resolver would hold up
    Ctrl-C by its whole time-out.
    """
    loop = asyncio.get_running_loop()
    answer: asyncio.Future[list[Any]] = loop.create_future()

    def settle(found: list[Any] | None, error: Exception | None) -> None:
        if answer.done():
            return
        if error is not None:
            answer.set_exception(error)
        else:
            answer.set_result(found or [])

    def ask() -> None:
        found, error = None, None
        try:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as raised:
            error = raised
        if not loop.is_closed():
            loop.call_soon_threadsafe(settle, found, error)

    threading.Thread(target=ask, daemon=True, name="resolver").start()
    return tuple(dict.fromkeys(str(info[4][0]) for info in await answer))
