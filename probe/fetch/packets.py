"""Packets as evidence: the heads of a trial's own packets, without the probe's address. Pure.

What is kept of a packet is its IP and TCP or UDP header. Everything in them that could name the
probe goes: its address (another stands in its place), IP options, TCP options beyond those every
stack sends, and the payload, which the record describes. Checksums that would no longer fit are 0.
"""

from __future__ import annotations

import ipaddress
import struct
from collections.abc import Iterable
from typing import Final, NamedTuple

from probe.network import Address

#: Stand-ins for the probe's own address (RFC 5737, RFC 3849).
OWN_IPV4: Final = ipaddress.IPv4Address("192.0.2.1")
OWN_IPV6: Final = ipaddress.IPv6Address("2001:db8::1")

_TCP: Final = 6
_UDP: Final = 17
_UDP_HEAD: Final = 8
_TCP_HEAD: Final = 20
_IPV4_HEAD: Final = 20
_IPV6_HEAD: Final = 40
#: End, no-op, MSS, window scale, SACK permitted, SACK, timestamps.
_KEPT_OPTIONS: Final = frozenset({0, 1, 2, 3, 4, 5, 8})
_NO_OP: Final = 1
_LINKTYPE_RAW: Final = 101
_SNAPLEN: Final = 256


class Seen(NamedTuple):
    """One packet as the kernel showed it.

    ``t_ns`` is nanoseconds since 1970, ``outgoing`` the direction, ``head`` the packet's first
    bytes from the IP header on, ``size_bytes`` its whole length.
    """

    t_ns: int
    outgoing: bool
    head: bytes
    size_bytes: int


class _Parts(NamedTuple):
    ip: bytes
    transport: bytes
    protocol: int
    source: ipaddress.IPv4Address | ipaddress.IPv6Address
    target: ipaddress.IPv4Address | ipaddress.IPv6Address


def evidence(packets: Iterable[Seen], server: Address) -> bytes:
    """Write the packets of one trial as a capture file.

    Args:
        packets: everything seen meanwhile, in order.
        server: the address and port the trial spoke with.

    Returns:
        A pcap file (nanoseconds, raw IP) of the packets to and from the server, cleaned.
    """
    out = [struct.pack("<IHHiIII", 0xA1B23C4D, 2, 4, 0, 0, _SNAPLEN, _LINKTYPE_RAW)]
    for packet in packets:
        cleaned = clean(packet, server)
        if cleaned is not None:
            seconds, rest_ns = divmod(packet.t_ns, 1_000_000_000)
            out.append(struct.pack("<IIII", seconds, rest_ns, len(cleaned), packet.size_bytes))
            out.append(cleaned)
    return b"".join(out)


def clean(packet: Seen, server: Address) -> bytes | None:
    """Take everything out of a packet that could name the probe.

    Args:
        packet: as seen.
        server: whom the trial spoke with.

    Returns:
        Its headers with the stand-in address; ``None`` if it is not the trial's, or cannot be read
        well enough to be sure of it.
    """
    parts = _split(packet.head)
    if parts is None:
        return None
    ports = struct.unpack_from(">HH", parts.transport)
    far, far_port = (parts.target, ports[1]) if packet.outgoing else (parts.source, ports[0])
    if (far, far_port) != (ipaddress.ip_address(server[0]), server[1]):
        return None
    own = OWN_IPV4 if far.version == OWN_IPV4.version else OWN_IPV6
    ends = (own, far) if packet.outgoing else (far, own)
    addresses = ends[0].packed + ends[1].packed
    if far.version == OWN_IPV4.version:
        ip = parts.ip[:10] + b"\0\0" + addresses + bytes([_NO_OP]) * (len(parts.ip) - _IPV4_HEAD)
    else:
        ip = parts.ip[:8] + addresses
    return ip + _clean_transport(parts)


def _split(head: bytes) -> _Parts | None:
    """Split a packet into its headers; ``None`` for all but whole TCP and UDP headers."""
    version = head[0] >> 4 if head else 0
    if version == 4 and len(head) >= _IPV4_HEAD:  # noqa: PLR2004 - IP version
        size = (head[0] & 15) * 4
        protocol, fragment = head[9], struct.unpack_from(">H", head, 6)[0] & 0x1FFF
        ends = ipaddress.IPv4Address(head[12:16]), ipaddress.IPv4Address(head[16:20])
        if size < _IPV4_HEAD or fragment:
            return None
        return _with_transport(head, size, protocol, *ends)
    if version == 6 and len(head) >= _IPV6_HEAD:  # noqa: PLR2004 - IP version
        both = ipaddress.IPv6Address(head[8:24]), ipaddress.IPv6Address(head[24:40])
        return _with_transport(head, _IPV6_HEAD, head[6], *both)
    return None


def _with_transport(
    head: bytes,
    at: int,
    protocol: int,
    source: ipaddress.IPv4Address | ipaddress.IPv6Address,
    target: ipaddress.IPv4Address | ipaddress.IPv6Address,
) -> _Parts | None:
    if protocol == _UDP:
        size = _UDP_HEAD
    elif protocol == _TCP and len(head) >= at + _TCP_HEAD:
        size = max((head[at + 12] >> 4) * 4, _TCP_HEAD)
    else:
        return None
    transport = head[at : at + size]
    whole = len(transport) == size
    return _Parts(head[:at], transport, protocol, source, target) if whole else None


def _clean_transport(parts: _Parts) -> bytes:
    if parts.protocol == _UDP:
        return parts.transport[:6] + b"\0\0"
    fixed = parts.transport[:16] + b"\0\0" + parts.transport[18:_TCP_HEAD]
    return fixed + _clean_options(parts.transport[_TCP_HEAD:])


def _clean_options(options: bytes) -> bytes:
    """Replace options that may carry addresses (MPTCP, RFC 8684) by no-ops."""
    out = bytearray([_NO_OP]) * len(options)
    at = 0
    while at < len(options):
        kind = options[at]
        if kind in (0, _NO_OP):
            out[at] = kind
            at += 1
            continue
        size = options[at + 1] if at + 1 < len(options) else 0
        if size < 2 or at + size > len(options):  # noqa: PLR2004 - kind and length
            break
        if kind in _KEPT_OPTIONS:
            out[at : at + size] = options[at : at + size]
        at += size
    return bytes(out)
