"""Carries out sessions: pair after pair until the judge has heard enough.

The judge is injected. It sees records and says when to stop; nothing here concludes anything.
"""

from __future__ import annotations

from probe.bench import Bench, Running
from probe.measurement import Measurement
from probe.pairs import carry_out_pair
from probe.plan import Session, max_pairs, pair_bytes


async def carry_out(session: Session, order: int, bench: Bench) -> list[Measurement]:
    """Run one session.

    Args:
        session: what to do.
        order: its place in the run; the lowest goes first on the line.
        bench: network, limits, line, recorder, judge, randomness and the terminal.

    Returns:
        The stored records, in the order they were made; fewer than planned when the judge had
        heard enough or the budget ended.
    """
    async with bench.line.hold(order) as hold:
        running = Running(session, bench.recorder.new_id(), hold, [])
        for number in range(max_pairs(session)):
            if not bench.limits.allows(pair_bytes(session)):
                break
            running.trials.extend(await carry_out_pair(running, number, bench))
            if bench.judge.enough(running.trials):
                break
            await hold.between_pairs()
        return running.trials
