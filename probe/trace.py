"""Packed columns of a packet trace: whole numbers with gaps, small enough to keep every packet.

A column is delta-coded against the last value that was there, written as little-endian int64,
compressed with zlib and spelled in base64. Stdlib only: both the probe and the analysis use it.
"""

from __future__ import annotations

import base64
import binascii
import struct
import zlib
from collections.abc import Container, Mapping, Sequence
from itertools import accumulate
from typing import Final, get_args

from probe.measurement import Fate, Trace

#: Fates in the order their index stands for in the ``fate`` column.
FATES: Final[tuple[Fate, ...]] = get_args(Fate)
#: Every column a full trace may have.
COLUMNS: Final = (
    "planned_ns",
    "user_send_ns",
    "kernel_send_ns",
    "far_receive_ns",
    "far_send_ns",
    "kernel_receive_ns",
    "user_receive_ns",
    "size_bytes",
    "fate",
)
#: A call of an hour at 50 packets/s is 180,000; anything larger is not a trace of ours.
MAX_PACKETS: Final = 1_000_000

_NONE: Final = -(1 << 63)
_LIMIT: Final = (1 << 62) - 1


class TraceError(ValueError):
    """A column that cannot be packed or read; the text says what was found."""


def pack(column: Sequence[int | None]) -> str:
    """Pack one column.

    Args:
        column: one whole number per sent packet, ``None`` where it did not happen.

    Returns:
        Base64 text.

    Raises:
        TraceError: a value is beyond +-(2^62 - 1), or there are too many packets.
    """
    if len(column) > MAX_PACKETS:
        raise TraceError(f"found {len(column)} packets, expected at most {MAX_PACKETS}")
    last = 0
    deltas = []
    for value in column:
        if value is None:
            deltas.append(_NONE)
            continue
        if abs(value) > _LIMIT:
            raise TraceError(f"found the value {value}, expected at most {_LIMIT} in size")
        deltas.append(value - last)
        last = value
    raw = struct.pack(f"<{len(deltas)}q", *deltas)
    return base64.b64encode(zlib.compress(raw, 6)).decode("ascii")


def unpack(column: str) -> list[int | None]:
    """Read one packed column.

    Args:
        column: what :func:`pack` returned.

    Returns:
        The column as it was.

    Raises:
        TraceError: the text is not a packed column, or one of more than ``MAX_PACKETS`` or with
            values that :func:`pack` refuses.
    """
    reader = zlib.decompressobj()
    try:
        raw = reader.decompress(base64.b64decode(column, validate=True), 8 * MAX_PACKETS)
    except (binascii.Error, zlib.error, ValueError) as error:
        raise TraceError(f"found a column that does not unpack ({error})") from error
    if not reader.eof or reader.unused_data:
        raise TraceError(
            f"found a column that is cut off, has a tail, or holds more than {MAX_PACKETS} packets"
        )
    if len(raw) % 8:
        raise TraceError(f"found {len(raw)} bytes in a column, expected a multiple of 8")
    deltas = struct.unpack(f"<{len(raw) // 8}q", raw)
    gaps = _NONE in deltas
    steps = (0 if delta == _NONE else delta for delta in deltas) if gaps else deltas
    sums = list(accumulate(steps))
    if sums and (max(sums) > _LIMIT or min(sums) < -_LIMIT):
        raise TraceError(f"found a value beyond {_LIMIT}, expected none of that size")
    if not gaps:
        return [*sums]
    return [None if delta == _NONE else at for delta, at in zip(deltas, sums, strict=True)]


def pack_trace(columns: Mapping[str, Sequence[int | None]]) -> Trace:
    """Pack a whole trace.

    Args:
        columns: by name, one of ``COLUMNS``; all of equal length.

    Returns:
        The trace as a record keeps it.

    Raises:
        TraceError: a column is unknown, or lengths differ.
    """
    lengths = {len(column) for column in columns.values()} or {0}
    unknown = sorted(set(columns) - set(COLUMNS))
    if unknown or len(lengths) > 1:
        raise TraceError(
            f"found columns {sorted(columns)} of lengths {sorted(lengths)}, "
            f"expected equal lengths and names among {', '.join(COLUMNS)}"
        )
    packed = {name: pack(column) for name, column in columns.items()}
    return Trace(packets=lengths.pop(), columns=packed)


def unpack_trace(trace: Trace, wanted: Container[str] | None = None) -> dict[str, list[int | None]]:
    """Read a trace.

    Args:
        trace: from a record.
        wanted: names of columns to read; all, also those this version does not know, if ``None``.

    Returns:
        Those it has, by name, each ``trace.packets`` long.

    Raises:
        TraceError: a column does not unpack or has another length.
    """
    columns = {
        name: unpack(column)
        for name, column in trace.columns.items()
        if wanted is None or name in wanted
    }
    for name, column in columns.items():
        if len(column) != trace.packets:
            raise TraceError(
                f"found {len(column)} entries in {name}, expected {trace.packets}: one per packet"
            )
    return columns
