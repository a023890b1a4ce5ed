"""A STAMP reflector, so that routers and other people's tools can measure against a far end.

Stateless and unauthenticated: the reply repeats the sender's number and is exactly as long as the
request. Nobody proves an address here, so it is off unless asked for and answers at a low rate.

Source: RFC 8762, sections 4.2.1 and 4.3.1; timestamps in NTP format (RFC 5905, section 6).
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Final

from probe.clock import Datagram
from probe.farend.limits import Bucket, Buckets
from probe.farend.reflector import client_of

#: A session sender's packet is this long at least.
BASE_BYTES: Final = 44

_SENDER: Final = struct.Struct(">IQH")
_REFLECTOR: Final = struct.Struct(">IQHHQIQHHB3x")
_NTP_EPOCH_S: Final = 2_208_988_800
_NS: Final = 1_000_000_000
#: Not synchronised, NTP format, off by a second or so: 1 x 2^-32 x 2^32 s.
_ERROR_ESTIMATE: Final = 32 << 8 | 1
_CLIENT_PACKETS_PER_S: Final = 100.0
_TOTAL_PACKETS_PER_S: Final = 1000.0
_REMEMBERED_CLIENTS: Final = 1000


class StampReflector:
    """Answers test packets, at a low rate."""

    def __init__(self, *, monotonic_ns: Callable[[], int], unix_ns: Callable[[], int]) -> None:
        """Start with every share full.

        Args:
            monotonic_ns: the clock datagrams are received by.
            unix_ns: the time of day, which is what STAMP carries.
        """
        self._monotonic_ns = monotonic_ns
        self._unix_ns = unix_ns
        self._total = Bucket(_TOTAL_PACKETS_PER_S, _TOTAL_PACKETS_PER_S, monotonic_ns())
        self._clients = Buckets(_CLIENT_PACKETS_PER_S, _REMEMBERED_CLIENTS)

    def handle(self, datagram: Datagram, received_ns: int) -> list[tuple[bytes, tuple[str, int]]]:
        """Answer one datagram received at ``received_ns`` (monotonic): at most one reply."""
        if not self._total.take(received_ns) or not self._clients.take(
            client_of(datagram.address), received_ns
        ):
            return []
        now_unix_ns = self._unix_ns()
        answer = reflect(
            datagram.data,
            ttl=datagram.ttl,
            received_unix_ns=now_unix_ns - (self._monotonic_ns() - received_ns),
            now_unix_ns=now_unix_ns,
        )
        return [] if answer is None else [(answer, datagram.address)]


def reflect(
    datagram: bytes, *, ttl: int | None, received_unix_ns: int, now_unix_ns: int
) -> bytes | None:
    """Answer a test packet.

    Args:
        datagram: what came.
        ttl: time to live it came with; 0 is sent when unknown.
        received_unix_ns: when it came.
        now_unix_ns: the time.

    Returns:
        The answer, as long as the packet; ``None`` for what is too short to be one. What follows
        the base packet (padding, TLVs of RFC 8972) is sent back as it came.
    """
    if len(datagram) < BASE_BYTES:
        return None
    number, sent, error = _SENDER.unpack_from(datagram)
    answer = _REFLECTOR.pack(
        number,
        _ntp(now_unix_ns),
        _ERROR_ESTIMATE,
        0,
        _ntp(received_unix_ns),
        number,
        sent,
        error,
        0,
        ttl or 0,
    )
    return answer + datagram[BASE_BYTES:]


def _ntp(unix_ns: int) -> int:
    seconds, rest_ns = divmod(unix_ns, _NS)
    return (seconds + _NTP_EPOCH_S & 0xFFFFFFFF) << 32 | (rest_ns << 32) // _NS
