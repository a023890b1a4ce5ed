"""Does the same service still deliver messages while a call to it is under way?

A filter on calls leaves messages alone; a blocked service, or a dead line, does not. So during the
first call of a session the service's chat servers and web side are asked, and the answers are kept
with the call itself.
"""

from __future__ import annotations

import asyncio
from typing import Final

from probe.bench import Bench
from probe.endpoints import parse_url
from probe.fetch import FetchOrder, fetch, reach
from probe.measurement import Check
from probe.session_kinds import REACH_BYTES, CallSession
from probe.trial import addresses_of, servers_of

#: The call is well under way, and past the packets a filter needs to recognise it.
_AFTER_S: Final = 5.0
#: Enough to have seen an answer, too little to load the line beside the call.
_LOOK_BYTES: Final = 4_000
_LIMIT_S: Final = 10.0


async def ask_beside(plan: CallSession, bench: Bench) -> tuple[Check, ...]:
    """Ask the service's other sides during a call.

    Args:
        plan: the call session; names what to ask.
        bench: everything from outside.

    Returns:
        One check an endpoint.
    """
    await asyncio.sleep(min(_AFTER_S, plan.duration_s / 4))
    return tuple([await _ask(endpoint, bench) for endpoint in plan.messaging])


async def _ask(endpoint: str, bench: Bench) -> Check:
    is_web = "://" in endpoint
    at = str(parse_url(endpoint)) if is_web else endpoint
    async with bench.limits.visit(addresses_of(await servers_of(bench.network, at), at)):
        if not is_web:
            failure, body = await reach(endpoint, bench.network, limit_s=_LIMIT_S)
            bench.limits.spend(REACH_BYTES)
            return Check(endpoint=endpoint, failure=failure, duration_s=body.connect_s)
        order = FetchOrder(
            url=endpoint, limit_s=_LIMIT_S, limit_bytes=_LOOK_BYTES, rtt_beside=False
        )
        outcome = await fetch(order, bench.network)
    bench.limits.spend(outcome.fetch.body_bytes + _LOOK_BYTES)
    return Check(endpoint=endpoint, failure=outcome.failure, duration_s=outcome.fetch.duration_s)
