"""What can go wrong in a trial, as one vocabulary: the failure strings of OONI df-007.

A failure says what the network did, never what it means. ``None`` is success. Every lower layer's
error is mapped to one of these words in the module that owns that layer (``probe.fetch.errors``,
``probe.call``), and nowhere else.

    dns        dns_nxdomain_error  dns_no_answer  dns_servfail_error  dns_refused_error
               dns_server_misbehaving  dns_temporary_failure  dns_non_recoverable_failure
               dns_bogon_error
    tcp, any   connection_refused  connection_reset  connection_aborted
               connection_already_closed  eof_error  generic_timeout_error
    route      host_unreachable  network_unreachable  network_down  network_reset
    tls        ssl_failed_handshake  ssl_invalid_hostname  ssl_unknown_authority
               ssl_invalid_certificate
    http       http_request_failed  http_unexpected_status_code  http_unexpected_redirect_url
               http_invalid_redirect_location_host
    quic       quic_incompatible_version
    ours       interrupted  unknown_failure <text>

Source: OONI specification df-007 (errors).
"""

from __future__ import annotations

import errno
import socket
from typing import Final

DNS_NXDOMAIN: Final = "dns_nxdomain_error"
DNS_NO_ANSWER: Final = "dns_no_answer"
DNS_SERVFAIL: Final = "dns_servfail_error"
DNS_REFUSED: Final = "dns_refused_error"
DNS_MISBEHAVING: Final = "dns_server_misbehaving"
DNS_TEMPORARY: Final = "dns_temporary_failure"
DNS_NON_RECOVERABLE: Final = "dns_non_recoverable_failure"
DNS_BOGON: Final = "dns_bogon_error"
REFUSED: Final = "connection_refused"
RESET: Final = "connection_reset"
ABORTED: Final = "connection_aborted"
ALREADY_CLOSED: Final = "connection_already_closed"
EOF: Final = "eof_error"
TIMEOUT: Final = "generic_timeout_error"
HOST_UNREACHABLE: Final = "host_unreachable"
NETWORK_UNREACHABLE: Final = "network_unreachable"
NETWORK_DOWN: Final = "network_down"
NETWORK_RESET: Final = "network_reset"
TLS_FAILED: Final = "ssl_failed_handshake"
TLS_HOSTNAME: Final = "ssl_invalid_hostname"
TLS_AUTHORITY: Final = "ssl_unknown_authority"
TLS_CERTIFICATE: Final = "ssl_invalid_certificate"
HTTP_FAILED: Final = "http_request_failed"
HTTP_STATUS: Final = "http_unexpected_status_code"
HTTP_REDIRECT: Final = "http_unexpected_redirect_url"
HTTP_REDIRECT_HOST: Final = "http_invalid_redirect_location_host"
QUIC_VERSION: Final = "quic_incompatible_version"
INTERRUPTED: Final = "interrupted"
UNKNOWN: Final = "unknown_failure"

#: Failures that say "this machine has no way out", never "someone is in the way".
LOCAL: Final = frozenset({NETWORK_UNREACHABLE, NETWORK_DOWN})

_BY_ERRNO: Final = {
    errno.ECONNREFUSED: REFUSED,
    errno.ECONNRESET: RESET,
    errno.EPIPE: RESET,
    errno.ECONNABORTED: ABORTED,
    errno.ETIMEDOUT: TIMEOUT,
    errno.EHOSTUNREACH: HOST_UNREACHABLE,
    errno.ENETUNREACH: NETWORK_UNREACHABLE,
    errno.EADDRNOTAVAIL: NETWORK_UNREACHABLE,
    errno.ENETDOWN: NETWORK_DOWN,
    errno.ENETRESET: NETWORK_RESET,
}

_BY_GAI: Final = {
    socket.EAI_NONAME: DNS_NXDOMAIN,
    socket.EAI_NODATA: DNS_NO_ANSWER,
    socket.EAI_AGAIN: DNS_TEMPORARY,
    socket.EAI_FAIL: DNS_NON_RECOVERABLE,
}


def from_oserror(error: OSError) -> str:
    """Name the failure behind a socket or resolver error.

    Args:
        error: what the operating system or the resolver raised.

    Returns:
        A df-007 string; ``unknown_failure`` with the text for what has no word.
    """
    if isinstance(error, socket.gaierror):
        return _BY_GAI.get(error.errno or 0, f"{UNKNOWN} {error}")
    if isinstance(error, TimeoutError) and error.errno is None:
        return TIMEOUT
    return _BY_ERRNO.get(error.errno or 0, f"{UNKNOWN} {error}")
