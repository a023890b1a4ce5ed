"""Several flows at the same time, so that whatever hits the line hits all of them alike."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Sequence
from typing import Any, Final, Protocol

from probe.call.flow import Address, Flow
from probe.call.ledger import Ledger
from probe.call.order import WEBRTC, CallOrder, CallOutcome
from probe.call.profiles import INTERVAL_S, packets, sizes
from probe.call.steady import steady
from probe.call.talk import FarEndTalk, RelayTalk, Talk
from probe.call.webrtc import WebRtcTrial
from probe.clock import WallOffset
from probe.loop_lag import LoopLag
from probe.measurement import Call, DnsAnswer
from probe.trace import pack_trace

_NS: Final = 1_000_000_000
#: Between the last set-up and the first packet: time for every flow to arm its timer.
_LEAD_NS: Final = 50_000_000
#: A flow wakes this long before a packet is due, as a halted processor needs up to 0.2 ms to start;
#: watching the clock until then takes all flows together at most this share of a processor.
_WATCH_NS: Final = 250_000
_WATCH_RATIO: Final = 0.03
_RELAY_BYTES: Final = 20


class Resolver(Protocol):
    """What finds a host's addresses: ``probe.network.Network``."""

    async def resolve(self, host: str, port: int) -> tuple[tuple[Address, ...], DnsAnswer]:
        """Return (address, port) pairs and the answer as recorded."""


async def call_pair(
    first: CallOrder, second: CallOrder, network: Resolver
) -> tuple[CallOutcome, CallOutcome]:
    """Make two flows at once, the second half an interval after the first.

    Args:
        first: the flow whose packets have the app's shape.
        second: the flow it is compared with. When its shape is ``random`` it copies the first's
            exchanges and sizes, so that only the bytes differ; and the other way round.
        network: how names are resolved.

    Returns:
        What became of each, in order.

    Raises:
        ValueError: the shape of one does not fit the sizes of the other.
    """
    outcomes = await call_flows((first, second), network)
    return outcomes[0], outcomes[1]


async def call_flows(
    orders: Sequence[CallOrder], network: Resolver, wall: WallOffset | None = None
) -> tuple[CallOutcome, ...]:
    """Make flows at once, spread evenly over their interval.

    Args:
        orders: what to make.
        network: how names are resolved.
        wall: brings kernel stamps to the monotonic clock; ``None`` for the system's own clocks.

    Returns:
        What became of each, in order.

    Raises:
        ValueError: the shape of one does not fit the sizes they share.
    """
    own = (order.shape for order in orders if order.shape not in ("random", WEBRTC))
    like = next(own, "random")
    wall = wall or WallOffset()
    trials = [_make(order, like, wall, _watch_ns(orders)) for order in orders]
    try:
        with steady():
            async with LoopLag() as lag:
                await asyncio.gather(*(trial.set_up(network) for trial in trials))
                start_ns = time.monotonic_ns() + _LEAD_NS
                await asyncio.gather(
                    *(
                        trial.media(start_ns + trial.interval_ns * index // len(trials))
                        for index, trial in enumerate(trials)
                    )
                )
                await asyncio.gather(*(trial.finish() for trial in trials))
    finally:
        for trial in trials:
            await trial.close()
    wall.watch()
    return tuple(trial.outcome(lag.worst_s, wall.step_ns / _NS) for trial in trials)


class _Phases(Protocol):
    """What the flows made at once have in common: set up, sent, finished and closed together."""

    interval_ns: int

    async def set_up(self, network: Any) -> None: ...

    async def media(self, start_ns: int) -> None: ...

    async def finish(self) -> None: ...

    async def close(self) -> None: ...

    def outcome(self, loop_lag_s: float | None, clock_step_s: float) -> CallOutcome: ...


def _watch_ns(orders: Sequence[CallOrder]) -> int:
    interval_s = min(INTERVAL_S[order.profile] for order in orders)
    return min(_WATCH_NS, round(_WATCH_RATIO * interval_s * _NS / len(orders)))


def _make(order: CallOrder, like: str, wall: WallOffset, watch_ns: int) -> _Phases:
    return WebRtcTrial(order) if order.shape == WEBRTC else _Trial(order, like, wall, watch_ns)


class _Trial:
    """An order and everything made for it."""

    def __init__(self, order: CallOrder, like: str, wall: WallOffset, watch_ns: int) -> None:
        relay = order.peer == "relay"
        interval_s = INTERVAL_S[order.profile]
        count = packets(order.profile, order.duration_s)
        lengths = (_RELAY_BYTES,) * count
        talk: Talk
        if relay:
            talk = RelayTalk(os.urandom)
        else:
            lengths = sizes(order.profile, like, count, order.seed)
            talk = FarEndTalk(
                shape=order.shape,
                like=like,
                sizes=lengths,
                interval_s=interval_s,
                random_bytes=os.urandom,
            )
        self.order = order
        self.interval_ns = round(interval_s * _NS)
        planned_ns = tuple(index * self.interval_ns for index in range(count))
        self.ledger = Ledger(planned_ns, lengths, far_end=not relay)
        self.flow = Flow(
            talk,
            self.ledger,
            wall,
            relay=relay,
            local_port=order.local_port,
            watch_ns=watch_ns,
        )

    async def set_up(self, network: Resolver) -> None:
        addresses, answer = await network.resolve(self.order.host, self.order.port)
        if addresses:
            await self.flow.set_up(addresses)
        else:
            self.flow.failure = answer.failure

    async def media(self, start_ns: int) -> None:
        await self.flow.media(start_ns)

    async def finish(self) -> None:
        await self.flow.finish()

    async def close(self) -> None:
        self.flow.close()

    def outcome(self, loop_lag_s: float | None, clock_step_s: float) -> CallOutcome:
        flow, order = self.flow, self.order
        call = Call(
            peer=order.peer,
            host=order.host,
            address=None if flow.address is None else flow.address[0],
            port=order.port,
            profile=order.profile,
            shape=order.shape if order.peer == "far_end" else "stun",
            interval_s=self.interval_ns / _NS,
            planned=len(self.ledger.planned_ns),
            setup=flow.setup,
            setup_s=flow.setup_s,
            ended=flow.ended,
            trace=pack_trace(self.ledger.columns()),
            **self.ledger.counts(),
        )
        return CallOutcome(
            failure=flow.failure,
            call=call,
            stamps=self.ledger.stamps(),
            loop_lag_s=loop_lag_s,
            clock_step_s=clock_step_s,
        )
