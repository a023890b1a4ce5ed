"""Opens QUIC Initial packets, as anyone on the path can: their keys follow from their own header.

RFC 9001 (version 1) and RFC 9369 (version 2). Pure; any bytes at all are safe input.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.hmac import HMAC
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

from probe.lab.recognise import hello_sni

_HASH_BYTES, _KEY_BYTES, _IV_BYTES, _TAG_BYTES, _SAMPLE_BYTES = 32, 16, 12, 16, 16
_MOST_ID_BYTES = 20
#: Header form and fixed bit of a long header (RFC 9000, section 17.2).
_LONG_HEADER = 0b11
_CRYPTO, _ACK, _ACK_ECN, _PADDING, _PING = 0x06, 0x02, 0x03, 0x00, 0x01


class _Version(msgspec.Struct, frozen=True):
    """What differs between versions: the salt, the labels' prefix, the Initial type's two bits."""

    salt: bytes
    prefix: str
    initial: int


_VERSIONS = {
    1: _Version(bytes.fromhex("38762cf7f55934b34d179ae6a4c80cadccbb7f0a"), "quic ", 0b00),
    0x6B3343CF: _Version(
        bytes.fromhex("0dede3def700a6db819381be6e269dcbf9bd2ed9"), "quicv2 ", 0b01
    ),
}


class _Truncated(Exception):  # noqa: N818 - never leaves this module
    """The bytes end before what they announce."""


class _Reader:
    """Reads numbers off bytes, first to last."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.at = 0

    def take(self, count: int) -> bytes:
        piece = self.data[self.at : self.at + count]
        if len(piece) < count:
            raise _Truncated
        self.at += count
        return piece

    def variable(self) -> int:
        """Read a variable-length integer (RFC 9000, section 16)."""
        first = self.take(1)[0]
        more = self.take((1 << (first >> 6)) - 1)
        return int.from_bytes(bytes([first & 0x3F]) + more, "big")


def quic_sni(datagram: bytes) -> str | None:
    """Read the server name out of a client's first QUIC datagram.

    Args:
        datagram: the UDP payload.

    Returns:
        The name as sent; None when there is none in this datagram, it is not a client's Initial,
        or it does not open. A ClientHello spread over datagrams is read as far as the first goes.
    """
    try:
        message = initial_crypto(datagram)
    except _Truncated:
        return None
    return hello_sni(message) if message else None


def initial_crypto(datagram: bytes) -> bytes | None:
    """Open a client's Initial packet and put its CRYPTO frames together.

    Args:
        datagram: the UDP payload, an Initial packet first.

    Returns:
        The handshake bytes from the stream's beginning up to the first gap; None when it does not
        open.

    Raises:
        _Truncated: the packet ends too soon.
    """
    reader = _Reader(datagram)
    first = reader.take(1)[0]
    version = _VERSIONS.get(int.from_bytes(reader.take(4), "big"))
    if version is None or first >> 6 != _LONG_HEADER or (first >> 4) & 0b11 != version.initial:
        return None
    destination = reader.take(min(reader.take(1)[0], _MOST_ID_BYTES))
    reader.take(reader.take(1)[0])  # source connection id
    reader.take(reader.variable())  # token
    length = reader.variable()
    return _open(datagram[: reader.at + length], reader.at, _client_keys(version, destination))


def _client_keys(version: _Version, destination: bytes) -> tuple[bytes, bytes, bytes]:
    """Derive key, IV and header key of what a client sends (RFC 9001, section 5.2)."""
    extract = HMAC(version.salt, SHA256())
    extract.update(destination)
    secret = _expand(extract.finalize(), "client in", _HASH_BYTES)
    return (
        _expand(secret, f"{version.prefix}key", _KEY_BYTES),
        _expand(secret, f"{version.prefix}iv", _IV_BYTES),
        _expand(secret, f"{version.prefix}hp", _KEY_BYTES),
    )


def _expand(secret: bytes, label: str, size: int) -> bytes:
    """HKDF-Expand-Label of TLS 1.3 (RFC 8446, section 7.1) with an empty context."""
    name = b"tls13 " + label.encode()
    info = struct.pack("!HB", size, len(name)) + name + b"\0"
    return HKDFExpand(SHA256(), size, info).derive(secret)


def _open(packet: bytes, number_at: int, keys: tuple[bytes, bytes, bytes]) -> bytes | None:
    key, iv, header_key = keys
    sample = packet[number_at + 4 : number_at + 4 + _SAMPLE_BYTES]
    if len(sample) < _SAMPLE_BYTES:
        raise _Truncated
    # Header protection is one AES block of the sample (RFC 9001, section 5.4.3).
    block = Cipher(algorithms.AES(header_key), modes.ECB()).encryptor()  # noqa: S305 - as specified
    mask = block.update(sample)
    first = packet[0] ^ (mask[0] & 0x0F)
    number_bytes = (first & 0b11) + 1
    end = number_at + number_bytes
    number = bytes(a ^ b for a, b in zip(packet[number_at:end], mask[1:], strict=False))
    nonce = int.from_bytes(iv, "big") ^ int.from_bytes(number, "big")
    header = bytes([first]) + packet[1:number_at] + number
    if len(packet) < end + _TAG_BYTES:
        raise _Truncated
    try:
        plain = AESGCM(key).decrypt(nonce.to_bytes(_IV_BYTES, "big"), packet[end:], header)
    except InvalidTag:
        return None
    return _contiguous(sorted(_crypto_frames(plain)))


def _contiguous(pieces: list[tuple[int, bytes]]) -> bytes:
    whole = b""
    for offset, piece in pieces:
        if offset > len(whole):
            break
        whole += piece[len(whole) - offset :]
    return whole


def _crypto_frames(plain: bytes) -> Iterator[tuple[int, bytes]]:
    """Find CRYPTO frames among those an Initial may hold (RFC 9000, section 17.2.2)."""
    reader = _Reader(plain)
    while reader.at < len(plain):
        kind = reader.variable()
        if kind == _CRYPTO:
            offset = reader.variable()
            yield offset, reader.take(reader.variable())
        elif kind in (_ACK, _ACK_ECN):
            reader.variable()
            reader.variable()
            ranges = reader.variable()
            for _ in range(1 + 2 * ranges + (3 if kind == _ACK_ECN else 0)):
                reader.variable()
        elif kind not in (_PADDING, _PING):
            return
