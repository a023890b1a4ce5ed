"""The ends of a QUIC connection and their df-007 words: what ``errors`` is for TCP. Pure."""

from __future__ import annotations

from typing import Final

from aioquic.quic.events import ConnectionTerminated
from aioquic.quic.packet import QuicErrorCode
from aioquic.tls import AlertDescription

from probe import failure

#: What the handshake's alerts say about the server's certificate, where the number suffices.
_ALERTS: Final[dict[int, str]] = {
    AlertDescription.certificate_expired: failure.TLS_CERTIFICATE,
    AlertDescription.unsupported_certificate: failure.TLS_CERTIFICATE,
    AlertDescription.unknown_ca: failure.TLS_AUTHORITY,
}
#: ``NO_ERROR`` of QUIC and ``H3_NO_ERROR`` (RFC 9114, section 8.1).
_POLITE: Final = frozenset({0, 0x100})


def describe_end(event: ConnectionTerminated, *, secured: bool) -> str:
    """Name why a connection ended before its answer did.

    Where aioquic has one code for several reasons, its text tells them apart.

    Args:
        event: what aioquic said at the end.
        secured: the handshake was over when it happened.

    Returns:
        A df-007 string.
    """
    if event.reason_phrase == "Idle timeout":
        return failure.TIMEOUT
    if "common protocol version" in event.reason_phrase:
        return failure.QUIC_VERSION
    if not secured:
        return _handshake_failure(event)
    # Only the application's own way of closing has no frame type.
    if event.error_code == 0 or (event.frame_type is None and event.error_code in _POLITE):
        return failure.EOF
    if "content-length does not match" in event.reason_phrase:
        return failure.EOF
    return failure.HTTP_FAILED


def _handshake_failure(event: ConnectionTerminated) -> str:
    alert = event.error_code - QuicErrorCode.CRYPTO_ERROR
    if alert != AlertDescription.bad_certificate:
        return _ALERTS.get(alert, failure.TLS_FAILED)
    if event.reason_phrase.startswith("hostname"):
        return failure.TLS_HOSTNAME
    return failure.TLS_CERTIFICATE if "expired" in event.reason_phrase else failure.TLS_AUTHORITY
