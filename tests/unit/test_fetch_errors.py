"""Every error has one word."""

import errno
import socket
import ssl

import aiohttp
import pytest
from aiohttp.http_exceptions import BadHttpMessage, TransferEncodingError

from probe.fetch.errors import FetchError, describe


def caused(error, cause):
    error.__cause__ = cause
    return error


def certificate_error(code):
    error = ssl.SSLCertVerificationError(1, "certificate verify failed")
    error.verify_code = code
    return error


@pytest.mark.parametrize(
    ("error", "word"),
    [
        (FetchError("dns_bogon_error"), "dns_bogon_error"),
        (socket.gaierror(socket.EAI_NONAME, "no such name"), "dns_nxdomain_error"),
        (ConnectionRefusedError(errno.ECONNREFUSED, "refused"), "connection_refused"),
        (ConnectionResetError(errno.ECONNRESET, "reset"), "connection_reset"),
        (BrokenPipeError(errno.EPIPE, "pipe"), "connection_reset"),
        (ConnectionResetError(), "eof_error"),
        (TimeoutError(), "generic_timeout_error"),
        (OSError(errno.ETIMEDOUT, "timed out"), "generic_timeout_error"),
        (OSError(errno.EHOSTUNREACH, "no host"), "host_unreachable"),
        (OSError(errno.ENETUNREACH, "no net"), "network_unreachable"),
        (certificate_error(62), "ssl_invalid_hostname"),
        (certificate_error(20), "ssl_unknown_authority"),
        (certificate_error(18), "ssl_unknown_authority"),
        (certificate_error(10), "ssl_invalid_certificate"),
        (certificate_error(9), "ssl_invalid_certificate"),
        (ssl.SSLEOFError(8, "eof"), "eof_error"),
        (ssl.SSLError(1, "alert handshake failure"), "ssl_failed_handshake"),
        (aiohttp.ServerDisconnectedError(), "eof_error"),
        (aiohttp.ClientPayloadError("Response payload is not completed: x"), "eof_error"),
        (TransferEncodingError("Not enough data to satisfy transfer length header."), "eof_error"),
        (BadHttpMessage("invalid header"), "http_request_failed"),
        (aiohttp.InvalidURL("x"), "http_request_failed"),
    ],
)
def test_each_error_has_its_word(error, word):
    assert describe(error) == word


def test_the_innermost_cause_decides():
    reset = ConnectionResetError(errno.ECONNRESET, "reset")
    wrapped = caused(aiohttp.ClientPayloadError("Response payload is not completed"), reset)
    assert describe(wrapped) == "connection_reset"
    certificate = certificate_error(62)
    assert describe(caused(aiohttp.ClientOSError(1, "x"), certificate)) == "ssl_invalid_hostname"


def test_a_record_that_breaks_after_the_handshake_is_no_failed_handshake():
    error = ssl.SSLError(1, "x")
    error.reason = "BAD_RECORD_MAC"
    assert describe(error, secured=True) == "unknown_failure TLS record: BAD_RECORD_MAC"


def test_what_has_no_word_keeps_its_text_without_addresses():
    word = describe(OSError(errno.EPERM, "not from 203.0.113.77"))
    assert word.startswith("unknown_failure")
    assert "203" not in word
    assert describe(RuntimeError("odd")) == "unknown_failure RuntimeError: odd"
