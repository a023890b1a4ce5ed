"""What one fetch is asked to do, and what comes back."""

from __future__ import annotations

from typing import Final, Literal, NamedTuple
from urllib.parse import urlsplit

import msgspec

from probe.measurement import Fetch, HttpVersion

_PORTS: Final = {"http": 80, "https": 443}


class OrderError(ValueError):
    """An order that cannot be carried out; says what was found and expected."""


class FetchOrder(msgspec.Struct, frozen=True, kw_only=True):
    """One fetch.

    Attributes:
        url: an ``http`` or ``https`` URL, encoded as it goes on the wire.
        http: the version to speak; ``h2`` and ``h3`` need ``https``.
        method: ``GET``, ``HEAD``, or ``POST`` for an upload.
        limit_s: when the whole trial ends at the latest, in seconds.
        limit_bytes: end once so many body bytes have come; ``None`` for no such limit.
        upload_bytes: how many random bytes a ``POST`` sends.
        sni: the name in the ClientHello, and the one verified; the URL's host when ``None``.
        address: ``ADDRESS`` or ``ADDRESS:PORT`` to connect to, without a look-up.
        redirects: how many redirects to follow; the record is then that of the last answer.
        rtt_beside: time short connections to the same server while the transfer runs; off where
            the transfer itself is one of several.
        check_certificate: off only where the arm's whole point is another name; recorded.
    """

    url: str
    http: HttpVersion = "http/1.1"
    method: Literal["GET", "POST", "HEAD"] = "GET"
    limit_s: float = 30.0
    limit_bytes: int | None = None
    upload_bytes: int = 524_288
    sni: str | None = None
    address: str | None = None
    redirects: int = 0
    check_certificate: bool = True
    rtt_beside: bool = True

    def __post_init__(self) -> None:
        """Refuse an order that no connection could carry out."""
        try:
            parts = urlsplit(self.url)
            usable = parts.scheme in _PORTS and bool(parts.hostname) and parts.port != 0
        except ValueError as error:
            raise OrderError(f"fetch: found the URL {self.url!r}: {error}") from error
        if not usable:
            raise OrderError(f"fetch: found the URL {self.url!r}, expected http(s)://HOST[:PORT]/…")
        if self.http != "http/1.1" and self.method == "POST":
            raise OrderError(f"fetch: found a POST over {self.http}, expected http/1.1 for uploads")
        if self.http != "http/1.1" and parts.scheme != "https":
            raise OrderError(f"fetch: found {self.http} over {self.url!r}, expected an https URL")


class Origin(NamedTuple):
    """Scheme, host and port of a URL, the port filled in."""

    scheme: str
    host: str
    port: int


class FetchOutcome(msgspec.Struct, frozen=True, kw_only=True):
    """What one fetch came to.

    Attributes:
        failure: ``None``, or what went wrong (:mod:`probe.failure`).
        fetch: the record, as far as the trial got.
        loop_lag_s: worst lateness of this process's event loop meanwhile, in seconds.
    """

    failure: str | None
    fetch: Fetch
    loop_lag_s: float | None = None


def origin(url: str) -> Origin:
    """Take a URL's origin.

    Args:
        url: an ``http`` or ``https`` URL.

    Returns:
        Scheme, lower-case host and port.
    """
    parts = urlsplit(url)
    return Origin(parts.scheme, parts.hostname or "", parts.port or _PORTS[parts.scheme])
