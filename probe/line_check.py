"""Is the line up, and does it lead abroad? The neutral hosts are asked before the first session."""

from __future__ import annotations

import asyncio
from typing import Final

from probe import failure
from probe.bench import Bench
from probe.endpoints import parse_url
from probe.fetch import FetchOrder, fetch
from probe.fetch_trial import HANDSHAKE_BYTES
from probe.measurement import NeutralHosts, Reach
from probe.recorder import Outcome, Trial
from probe.services import Control
from probe.targets import Targets
from probe.trial import addresses_of, servers_of

#: Failures that only a host, or someone on the way to it, can have caused: the line works.
_ANSWERED: Final = (
    *(failure.REFUSED, failure.RESET, failure.EOF, failure.HTTP_FAILED, failure.HTTP_STATUS),
    *(failure.TLS_FAILED, failure.TLS_HOSTNAME, failure.TLS_AUTHORITY, failure.TLS_CERTIFICATE),
)
_LINE_LIMIT_S: Final = 8.0


async def check_line(targets: Targets, bench: Bench) -> NeutralHosts:
    """Ask every neutral host for its headers, so that a dead line is known as one.

    Args:
        targets: names the controls.
        bench: everything from outside; its recorder keeps the answer for the records to come.

    Returns:
        What they said; the attempts are stored as records of the service ``line``.
    """
    session = bench.recorder.new_id()
    controls = targets.neutral_hosts
    words = await asyncio.gather(
        *(_ask(number, control, session, bench) for number, control in enumerate(controls))
    )
    said: dict[str, str] = {}
    for control, word in zip(controls, words, strict=True):
        if word == "ok" or control.scope not in said:
            said[control.scope] = word
    bench.recorder.neutral = neutral = NeutralHosts(**said)
    return neutral


def is_down(neutral: NeutralHosts) -> bool:
    """Say whether no neutral host gave any sign of life."""
    said = {neutral.domestic, neutral.foreign} - {None}
    return bool(said) and "ok" not in said


def line_sentence(neutral: NeutralHosts) -> str:
    """Say in one line what is wrong with the line.

    Args:
        neutral: of a line that is down, or on which only domestic hosts answer.
    """
    if neutral.only_domestic:
        return (
            f"Neutral hosts answer in the country, and none abroad ({neutral.foreign}): what has "
            "its control abroad gets one short look."
        )
    why = {neutral.domestic, neutral.foreign} - {None}
    local = not why.isdisjoint(failure.LOCAL)
    cause = "this machine has no route to the internet" if local else "no neutral host answered"
    return (
        f"The line is down: {cause} ({', '.join(sorted(map(str, why)))}). Nothing was measured; "
        "try again when it is up."
    )


async def _ask(number: int, control: Control, session: str, bench: Bench) -> str:
    """Ask one neutral host; return ``ok`` for whatever somebody must have said, or the failure."""
    order = FetchOrder(
        url=control.url or "",
        http=control.http[0],
        method="HEAD",
        limit_s=_LINE_LIMIT_S,
        rtt_beside=False,
    )
    endpoint = parse_url(order.url)
    servers = await servers_of(bench.network, str(endpoint))
    async with bench.limits.visit(addresses_of(servers, order.url)):
        started_s = bench.recorder.wall()
        outcome = await fetch(order, bench.network)
    bench.limits.spend(HANDSHAKE_BYTES)
    trial = Trial(
        session=session,
        service="line",
        kind="reach",
        round=number,
        arm="control",
        control_kind=None,
        endpoint=str(endpoint),
    )
    seen = Reach(
        address=endpoint.host,
        port=endpoint.port,
        connect_s=outcome.fetch.connect_s,
        answer_s=outcome.fetch.ttfb_s,
        rtt_s=outcome.fetch.idle_rtt_s,
    )
    bench.recorder.record(trial, Outcome(started_s=started_s, failure=outcome.failure, reach=seen))
    return outcome.failure if outcome.failure and outcome.failure not in _ANSWERED else "ok"
