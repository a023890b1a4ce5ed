"""What the judge of one kind of session concludes, before it is put into a finding."""

from __future__ import annotations

from typing import Literal

import msgspec

from analysis.finding import Direction, Mechanism, Rate, Slowdown, Verdict

#: A trial that would settle the mechanism: ``parallel`` connections, a ``longer`` transfer,
#: ``freeze`` tests.
Want = Literal["parallel", "longer", "freeze"]


class Conclusion(msgspec.Struct, frozen=True, kw_only=True):
    """The answer of one session.

    ``decided`` says that more pairs would not change it; ``want`` names a trial that would tell
    more about the mechanism. ``direction`` and ``onset_packet`` are for calls.
    """

    verdict: Verdict
    why: str
    pairs: int
    decided: bool
    log_odds: float = 0.0
    mechanism: Mechanism | None = None
    rate_bps: Rate | None = None
    slowdown: Slowdown | None = None
    want: Want | None = None
    direction: Direction | None = None
    onset_packet: int | None = None
