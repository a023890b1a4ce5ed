"""Identifiers of records, runs and sessions: UUIDs of version 7 (RFC 9562, section 5.7)."""

from __future__ import annotations

import secrets
import uuid
from collections.abc import Callable


def uuid7(unix_s: float, bits: Callable[[int], int] = secrets.randbits) -> str:
    """Make an identifier that sorts by time.

    The time inside is cut to whole seconds: an identifier must not carry a finer time than the
    record does, because fine times can tie a record to a packet capture of the volunteer's line.

    Args:
        unix_s: seconds since 1970 (UTC).
        bits: returns that many random bits.

    Returns:
        The UUID in its usual text form.
    """
    milliseconds = int(unix_s) * 1000
    value = (
        (milliseconds & (1 << 48) - 1) << 80 | 0x7 << 76 | bits(12) << 64 | 0b10 << 62 | bits(62)
    )
    return str(uuid.UUID(int=value))
