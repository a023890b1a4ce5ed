"""Reads and writes the few header fields of IPv4, TCP and UDP that a middlebox needs. Pure.

Layouts: RFC 791 (IPv4), RFC 9293 (TCP), RFC 768 (UDP), RFC 1071 (checksum).
"""

from __future__ import annotations

import struct
from ipaddress import IPv4Address

TCP, UDP = 6, 17
FIN, SYN, RST, PSH, ACK = 0x01, 0x02, 0x04, 0x08, 0x10
_IPV4_HEADER_BYTES = 20
_TCP_HEADER_BYTES = 20
_UDP_HEADER_BYTES = 8
_TTL = 64


def has_ports(packet: bytes) -> bool:
    """Tell whether the functions below may be used on a packet.

    Args:
        packet: an IP packet.

    Returns:
        True for unfragmented TCP or UDP over IPv4 without IP options (which no stack sends).
    """
    return (
        len(packet) >= _IPV4_HEADER_BYTES + _UDP_HEADER_BYTES
        and packet[0] == 0x45  # noqa: PLR2004 - version 4, five words of header
        # More-fragments flag and offset: only a whole packet has both ports and an end.
        and not (packet[6] & 0x3F or packet[7])
        and (
            packet[9] == UDP
            or (packet[9] == TCP and len(packet) >= _IPV4_HEADER_BYTES + _TCP_HEADER_BYTES)
        )
    )


def endpoints(packet: bytes) -> bytes:
    """Cut out source, destination (4 bytes each) and their ports (2 bytes each)."""
    return packet[12:24]


def reversed_endpoints(key: bytes) -> bytes:
    """Turn what ``endpoints`` gives into that of the packets going the other way."""
    return key[4:8] + key[0:4] + key[10:12] + key[8:10]


def destination(key: bytes) -> tuple[str, int]:
    """Read the address and port that packets with these ``endpoints`` are going to."""
    return str(IPv4Address(key[4:8])), int.from_bytes(key[10:12], "big")


def payload(packet: bytes) -> bytes:
    """Cut out what TCP or UDP carries."""
    end = (packet[2] << 8) | packet[3]
    if packet[9] == UDP:
        return packet[_IPV4_HEADER_BYTES + _UDP_HEADER_BYTES : end]
    return packet[_IPV4_HEADER_BYTES + (packet[32] >> 4) * 4 : end]


def tcp_flags(packet: bytes) -> int:
    """Read the flags of a TCP packet: ``SYN``, ``ACK``, ..."""
    flags: int = packet[33]
    return flags


def resets(packet: bytes, farewell: bytes = b"") -> tuple[bytes, bytes]:
    """Forge the two packets that end the connection of a packet that is then not passed on.

    Args:
        packet: a TCP packet of an open connection.
        farewell: bytes for its sender in the name of its receiver, with the end of the stream, in
            the place of a RST.

    Returns:
        The RST for its sender and the RST for its receiver, each with the sequence number that
        end expects next, so that both are obeyed (RFC 9293, 3.5.3; RFC 5961, 3.2).
    """
    source, target, from_port, to_port = _addresses(packet)
    seq, ack = struct.unpack_from("!II", packet, _IPV4_HEADER_BYTES + 4)
    control = sum(1 for flag in (SYN, FIN) if tcp_flags(packet) & flag)
    after = (seq + len(payload(packet)) + control) % 2**32
    parting = PSH | FIN if farewell else RST
    return (
        _segment(target, source, (to_port, from_port), (ack, after), parting, farewell),
        _segment(source, target, (from_port, to_port), (seq, ack), RST),
    )


def udp_answer(packet: bytes, content: bytes) -> bytes:
    """Forge the answer to a UDP packet, as if its receiver had sent it.

    Args:
        packet: the question.
        content: the answer's payload.

    Returns:
        A whole IPv4 packet for the asker.
    """
    source, target, from_port, to_port = _addresses(packet)
    size = _UDP_HEADER_BYTES + len(content)
    header = struct.pack("!HHHH", to_port, from_port, size, 0)
    body = header + content
    total = checksum(_pseudo_header(target, source, UDP, size) + body)
    # A computed zero is sent as all ones: zero means "no checksum" (RFC 768).
    body = header[:6] + struct.pack("!H", total or 0xFFFF) + content
    return _ipv4(target, source, UDP, body)


def checksum(data: bytes) -> int:
    """Compute the Internet checksum (RFC 1071): 16-bit ones' complement of the sum."""
    if len(data) % 2:
        data += b"\0"
    total: int = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def _addresses(packet: bytes) -> tuple[bytes, bytes, int, int]:
    from_port, to_port = struct.unpack_from("!HH", packet, _IPV4_HEADER_BYTES)
    return packet[12:16], packet[16:20], from_port, to_port


def _pseudo_header(source: bytes, target: bytes, protocol: int, size: int) -> bytes:
    return source + target + struct.pack("!BBH", 0, protocol, size)


def _segment(  # noqa: PLR0917 - the fields of one header
    source: bytes,
    target: bytes,
    ports: tuple[int, int],
    numbers: tuple[int, int],
    flags: int,
    content: bytes = b"",
) -> bytes:
    def header(total: int) -> bytes:
        offset = (_TCP_HEADER_BYTES // 4) << 4
        return struct.pack("!HHIIBBHHH", *ports, *numbers, offset, flags | ACK, 0, total, 0)

    bare = header(0) + content
    total = checksum(_pseudo_header(source, target, TCP, len(bare)) + bare)
    return _ipv4(source, target, TCP, header(total) + content)


def _ipv4(source: bytes, target: bytes, protocol: int, body: bytes) -> bytes:
    def header(total: int) -> bytes:
        size = _IPV4_HEADER_BYTES + len(body)
        fixed = struct.pack("!BBHHHBBH", 0x45, 0, size, 0, 0x4000, _TTL, protocol, total)
        return fixed + source + target

    return header(checksum(header(0))) + body
