"""Where losses begin in a transfer.

What a full bucket lets pass tells nothing of what comes once it is empty.
"""

from __future__ import annotations

import msgspec

from analysis import fetches
from probe.measurement import Fetch


class Onset(msgspec.Struct, frozen=True):
    """Where losses begin: seconds, segments that had passed, share out of order from there on."""

    t_s: float
    segments: int
    ratio: float


def onset(fetch: Fetch) -> Onset | None:
    """Find where losses begin in a transfer.

    Args:
        fetch: the transfer, with samples of TCP_INFO.

    Returns:
        ``None`` where nothing came out of order, the kernel did not say, or had nothing in order
        to show before.
    """
    if fetches.is_proxied(fetch) or fetch.direction == "up":
        return None
    counted = [
        (info.t_s, info.data_segs_in, info.rcv_ooopack)
        for info in fetch.tcp_info
        if info.data_segs_in is not None and info.rcv_ooopack is not None
    ]
    first = next((n for n, (_, _, strays) in enumerate(counted) if strays), 0)
    if first == 0:
        return None
    (t_s, segments, strays), (_, all_segments, all_strays) = counted[first], counted[-1]
    before = segments - strays
    return Onset(t_s, before, all_strays / max(all_segments - before, 1))
