"""Every error a fetch can meet, and the one place that gives it its df-007 word."""

from __future__ import annotations

import ssl
from typing import Final

import aiohttp
from aiohttp.http_exceptions import HttpProcessingError

from probe import failure
from probe.fetch.body import scrub

#: OpenSSL verification results (openssl-verification-options(1), x509_vfy.h).
_WRONG_NAME: Final = frozenset({62, 63, 64})
_UNKNOWN_AUTHORITY: Final = frozenset({2, 18, 19, 20, 21, 27})


class FetchError(Exception):
    """A failure found by the probe itself.

    Attributes:
        word: its df-007 string.
    """

    def __init__(self, word: str) -> None:
        super().__init__(word)
        self.word = word


#: What a fetch may raise and this module has a word for.
EXPECTED: Final = (FetchError, OSError, ssl.SSLError, aiohttp.ClientError, HttpProcessingError)


def describe(  # noqa: PLR0911 - one return per kind of error reads best
    error: BaseException, *, secured: bool = False
) -> str:
    """Name the failure behind an error.

    Args:
        error: what was raised, by us, the operating system, ``ssl`` or aiohttp. What lies behind
            it (``__cause__``) says more than the wrapper, so the innermost cause decides.
        secured: the TLS handshake was over when it happened.

    Returns:
        A df-007 string; ``unknown_failure`` with a text free of addresses where none fits.
    """
    while isinstance(error.__cause__, EXPECTED):
        error = error.__cause__
    if isinstance(error, FetchError):
        return error.word
    if isinstance(error, ssl.SSLError):
        return _describe_tls(error, secured=secured)
    if isinstance(error, ConnectionResetError) and error.errno is None:
        # asyncio's own way of saying that the peer closed during the handshake.
        return failure.EOF
    if isinstance(error, aiohttp.ServerDisconnectedError):
        return failure.EOF
    if isinstance(error, aiohttp.ClientPayloadError | HttpProcessingError):
        return failure.EOF if _cut_short(error) else failure.HTTP_FAILED
    if isinstance(error, aiohttp.ClientResponseError | aiohttp.InvalidURL):
        return failure.HTTP_FAILED
    if isinstance(error, OSError):
        word = failure.from_oserror(error)
        return scrub(word) if word.startswith(failure.UNKNOWN) else word
    return scrub(f"{failure.UNKNOWN} {type(error).__name__}: {error}")


def _describe_tls(error: ssl.SSLError, *, secured: bool) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        if error.verify_code in _WRONG_NAME:
            return failure.TLS_HOSTNAME
        if error.verify_code in _UNKNOWN_AUTHORITY:
            return failure.TLS_AUTHORITY
        return failure.TLS_CERTIFICATE
    if isinstance(error, ssl.SSLEOFError | ssl.SSLZeroReturnError):
        return failure.EOF
    if not secured:
        return failure.TLS_FAILED
    return f"{failure.UNKNOWN} TLS record: {error.reason or 'no reason given'}"


def _cut_short(error: Exception) -> bool:
    """Tell a body that stopped early from one that breaks the protocol.

    aiohttp words it so: a short body is a ``ContentLengthError`` or ``TransferEncodingError`` at
    the end of the stream, both named in the text of the payload error it raises.
    """
    text = repr(error)
    return "Not enough data" in text or "payload is not completed" in text.lower()
