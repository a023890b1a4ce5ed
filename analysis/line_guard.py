"""What the state of the whole line says against a session's conclusion."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from analysis.conclusion import Conclusion
from probe.measurement import Measurement

#: What a target that fails, or a control that does, comes to where only listed sites pass.
_UNTOLD: Final = ("inconclusive", "blocked", "slow_line")


def heed(conclusion: Conclusion, service: str, trials: Sequence[Measurement]) -> Conclusion:
    """Let the line, as neutral hosts and the budget showed it, speak against a conclusion.

    Args:
        conclusion: of a session.
        service: its name, for the sentence.
        trials: the session's.

    Returns:
        ``inconclusive`` with the reason where only listed sites pass, whatever fails there; an
        open session whose budget ran out says that too; else the conclusion as it is.
    """
    walled = next((t.neutral for t in trials if t.neutral.only_domestic), None)
    untold = conclusion.verdict in _UNTOLD or conclusion.mechanism == "no_setup"
    if walled is not None and untold:
        return Conclusion(
            verdict="inconclusive",
            pairs=conclusion.pairs,
            decided=True,
            why=f"Not sure about {service}: only listed sites pass on this line, for neutral hosts "
            f"in the country answered and none abroad did ({walled.foreign}).",
        )
    spent = any(t.out_of_budget for t in trials)
    if spent and conclusion.verdict == "inconclusive" and not conclusion.decided:
        why = f"{conclusion.why} The byte budget ended the session."
        return msgspec.structs.replace(conclusion, why=why)
    return conclusion
