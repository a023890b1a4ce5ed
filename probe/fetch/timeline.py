"""The byte timeline: noted at every poll, kept as a staircase, thinned to a bounded size. Pure."""

from __future__ import annotations

from array import array
from typing import Final, Literal

from probe.measurement import Timeline

#: Points a record keeps at most.
MAX_POINTS: Final = 512


class TimelineBuilder:
    """Takes polls in, gives a staircase out.

    Only the polls on either side of a step are kept: what lies between tells nothing more, and a
    crawl of an hour stays small.

    Args:
        source: what is counted, as :class:`~probe.measurement.Timeline` says.
    """

    def __init__(self, source: Literal["tcp_info", "body"]) -> None:
        self._source = source
        self._t = array("d")
        self._bytes = array("q")

    def add(self, t_s: float, count: int) -> None:
        """Note one poll.

        Args:
            t_s: when, in seconds since the trial began; not before the last one.
            count: bytes so far; a count below the last one is held at the last one.
        """
        if self._bytes and count < self._bytes[-1]:
            count = self._bytes[-1]
        if len(self._bytes) > 1 and count == self._bytes[-1] == self._bytes[-2]:
            self._t[-1] = t_s
            return
        self._t.append(t_s)
        self._bytes.append(count)

    def build(self) -> Timeline:
        """Return the timeline as recorded, of at most :data:`MAX_POINTS` points."""
        t, counts = thin(self._t.tolist(), self._bytes.tolist())
        return Timeline(source=self._source, t_s=tuple(t), bytes=tuple(counts))


def thin(
    t_s: list[float], counts: list[int], limit: int = MAX_POINTS
) -> tuple[list[float], list[int]]:
    """Keep the points that say most, first and last always among them.

    Points are spread evenly along the curve, its length measured as share of the time plus share
    of the bytes: bursts keep their steps and stalls keep their ends.

    Args:
        t_s: times, rising.
        counts: cumulative bytes, never falling; as many as times.
        limit: how many points to keep, at least 2.

    Returns:
        Times and counts of the points kept; each is one that was given.
    """
    if len(t_s) <= limit:
        return t_s, counts
    span_s = (t_s[-1] - t_s[0]) or 1.0
    span_bytes = (counts[-1] - counts[0]) or 1
    kept = [0]
    slot = 0
    for i in range(1, len(t_s) - 1):
        along = ((t_s[i] - t_s[0]) / span_s + (counts[i] - counts[0]) / span_bytes) / 2
        if slot < int(along * (limit - 1)) < limit - 1:
            slot = int(along * (limit - 1))
            kept.append(i)
    kept.append(len(t_s) - 1)
    return [t_s[i] for i in kept], [counts[i] for i in kept]
