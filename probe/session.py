"""Carries out sessions: pair after pair until the judge has heard enough.

The judge is injected. It sees records and says when to stop; nothing here concludes anything.
"""

from __future__ import annotations

from typing import Final

from probe.bench import Bench, Running
from probe.fetch_pairs import freeze_tests, longer_pair, parallel_fetches
from probe.measurement import Measurement
from probe.pairs import carry_out_pair
from probe.session_kinds import FetchSession, Session

#: Trials a judge may ask for when it knows that something is slow but not how.
_FOLLOW_UPS: Final = {
    "longer": longer_pair,
    "parallel": parallel_fetches,
    "freeze": freeze_tests,
}


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
    async with bench.line.hold(order, light=session.brief) as hold:
        running = Running(session, bench.recorder.new_id(), hold, [])
        for number in range(session.most_pairs):
            if not bench.limits.allows(session.pair_bytes):
                break
            running.trials.extend(await carry_out_pair(running, number, bench))
            if number + 1 >= session.least_pairs and bench.judge.enough(running.trials):
                break
            await hold.between_pairs()
        await _follow_up(running, bench)
        return running.trials


async def _follow_up(running: Running, bench: Bench) -> None:
    """Make the trials that would settle how a service is slowed, each kind once."""
    plan = running.plan
    if not isinstance(plan, FetchSession) or not running.trials:
        return
    left = dict(_FOLLOW_UPS)
    if plan.direction == "up" or plan.target.play:
        del left["freeze"]  # requests to a web server: neither is one's question
    if plan.target.play:
        del left["parallel"]
    while (want := bench.judge.want(running.trials)) in left:
        if not bench.limits.allows(plan.pair_bytes):
            return
        make = left.pop(want)
        number = 1 + max(trial.round for trial in running.trials)
        running.trials.extend(await make(running, plan, number, bench))
