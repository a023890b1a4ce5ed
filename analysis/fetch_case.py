"""A fetch session before the judge."""

from __future__ import annotations

import math
from collections.abc import Sequence

import msgspec

from analysis import judge_fetch, sentences, sequential, slowdown
from analysis.finding import Slowdown
from analysis.judge_fetch import Comparison, Reading
from analysis.pairs import Pair
from analysis.sequential import is_wild
from probe.measurement import Measurement


class FetchCase(msgspec.Struct, frozen=True, kw_only=True):
    """A fetch session before the judge: its trials and what was read from them.

    ``beside`` holds trials that are not compared: several connections at once, freeze tests.
    """

    service: str
    grade: str
    pairs: tuple[Pair, ...]
    beside: tuple[Measurement, ...]
    reading: Reading
    offset: float

    @property
    def compared(self) -> tuple[Comparison, ...]:
        """The pairs that have a log ratio."""
        return self.reading.of("compared")

    @property
    def sides(self) -> str:
        """Both median goodputs, in words."""
        return sentences.against(*judge_fetch.medians_bps(self.compared))

    @property
    def slowdown(self) -> Slowdown | None:
        """How many times slower the pairs were."""
        return slowdown.estimate(self._log_ratios, sequential.scale(self.grade))

    @property
    def is_mild(self) -> bool:
        """Whether the pairs rule out that the target was slow enough to count."""
        return slowdown.is_mild(self._log_ratios, sequential.scale(self.grade))

    @property
    def _log_ratios(self) -> list[float]:
        return [_measured(c, self.offset) for c in self.compared]

    @property
    def share(self) -> str:
        """How many connections were wildly slow, of how many, in words."""
        return f"{len(self.wild)} of {len(self.compared)} connections"

    @property
    def basis(self) -> str:
        """Pairs and grade, in words."""
        return sentences.evidence(len(self.compared), self.grade)

    @property
    def wild(self) -> tuple[Comparison, ...]:
        """The pairs in which the target was slower than noise is likely to make one."""
        scale = self.reading.evidence.scale
        return tuple(c for c in self.compared if c.log_ratio and is_wild(c.log_ratio, scale))

    def narrowed(self) -> FetchCase:
        """Keep the pairs in which the target was slow, where a censor slows only some.

        Returns:
            The case of these pairs, with the evidence of all; itself where all were slow.
        """
        wild = self.wild
        if not self.reading.evidence.partial or len(wild) == len(self.compared):
            return self
        return self.only(wild)

    def only(self, some: Sequence[Comparison]) -> FetchCase:
        """Keep some pairs.

        Args:
            some: of :attr:`compared`.

        Returns:
            The case of these pairs, with the evidence of all.
        """
        both = zip(self.pairs, self.reading.comparisons, strict=True)
        reading = msgspec.structs.replace(self.reading, comparisons=tuple(some))
        return msgspec.structs.replace(
            self, pairs=tuple(pair for pair, seen in both if seen in some), reading=reading
        )


def _measured(comparison: Comparison, offset: float) -> float:
    """Log ratio of goodput as measured: of a cut transfer, of what came until then."""
    assert comparison.log_ratio is not None
    if comparison.log_ratio.low == comparison.log_ratio.high:
        return comparison.log_ratio.low
    target = max(comparison.target_bps, 1.0)
    return math.log(target / max(comparison.control_bps, 1.0)) - offset
