"""A call from probe to probe: two volunteers who share a code, directly and through the far end.

Both run the same function. The far end tells them who answers and who calls; the one that answers
reflects on the socket that the other one has found its way to, so every loss on the way between
the two homes has a direction, as with the far end itself. The relayed path is measured first, the
direct one after it, each on ports of its own. Neither address enters a record.
"""

from __future__ import annotations

import asyncio
import errno
import os
import socket
import time
from typing import Final, Literal

import msgspec

from probe import failure
from probe.call.flow import Address
from probe.call.meeting import Answer, MeetTalk
from probe.call.order import CallOrder, CallOutcome
from probe.call.pair import Resolver, call_flows
from probe.clock import Datagram, WallOffset
from probe.farend.cookies import Cookies
from probe.farend.reflector import Reflector
from probe.farend.udp import AnsweringSocket
from probe.measurement import DnsAnswer

Role = Literal["answer", "call"]
Way = Literal["relayed", "direct"]
Stage = Literal["far_end", "meeting", "path", "call"]

_ASK_AGAIN_S: Final = 0.5
_PUNCH_AGAIN_S: Final = 0.1
#: A cookie is good for a minute at least.
_COOKIE_S: Final = 50.0
#: Long enough for both to begin, short enough that a NAT that will not be punched costs little.
_PUNCH_LIMIT_S: Final = 8.0
#: After the report, in case it was lost and is asked for again.
_LINGER_S: Final = 2.0
#: Opening, waiting for the last replies and reporting, beyond the media.
_CALL_MARGIN_S: Final = 20.0


class PeerOrder(msgspec.Struct, frozen=True, kw_only=True):
    """A call between probes.

    Attributes:
        code: what both users have agreed on; good for one call.
        host: the far end.
        port: one of its UDP ports for calls.
        patience_s: how long to wait for the other one.
        profile: as in :class:`CallOrder`; so are the rest. The caller's count.
    """

    code: str
    host: str
    port: int
    patience_s: float = 120.0
    profile: str = "voip-60"
    shape: str = "random"
    duration_s: float = 20.0
    seed: int = 0


class PeerOutcome(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one way between the two.

    Attributes:
        role: whether this probe answered or called; ``None`` when the other one never came.
        failure: ``None``, or why there was no call on this way.
        stage: how far it came: reaching the far end, meeting the other probe there, finding a
            path to it, the call.
        outcome: the caller's flow; ``None`` for the one that answers, and without a call.
    """

    role: Role | None
    failure: str | None
    stage: Stage = "call"
    outcome: CallOutcome | None = None


class _Met(msgspec.Struct, frozen=True):
    role: Role
    peer: Address
    local_port: int


async def call_peer(order: PeerOrder, network: Resolver, way: Way) -> PeerOutcome:
    """Meet the other probe and call it, or be called, over one way.

    Args:
        order: the call; both probes give the same code and way.
        network: how the far end's name is resolved.
        way: ``relayed`` through the far end, or ``direct`` by hole punching.

    Returns:
        What came of it.
    """
    addresses, answer = await network.resolve(order.host, order.port)
    if not addresses:
        return PeerOutcome(role=None, failure=answer.failure, stage="far_end")
    meeting = _Meeting(order.code, way)
    try:
        met = await meeting.find(addresses[0], order.patience_s)
    except TimeoutError:
        return PeerOutcome(role=meeting.role, failure=failure.TIMEOUT, stage=meeting.stage)
    except OSError as error:
        why = failure.from_oserror(error)
        return PeerOutcome(role=meeting.role, failure=why, stage=meeting.stage)
    if met.role == "answer":
        done = await _reflect(met, order.duration_s + _CALL_MARGIN_S)
        return PeerOutcome(role="answer", failure=None if done else failure.TIMEOUT)
    outcome = await _call(order, met)
    return PeerOutcome(role="call", failure=outcome.failure, outcome=outcome)


class _Meeting:
    """The way to the other probe, and how far along it this one is."""

    def __init__(self, code: str, way: Way) -> None:
        self.stage: Stage = "far_end"
        self.role: Role | None = None
        self._way = way
        self._talk = MeetTalk(code, relay=way == "relayed", random_bytes=os.urandom)

    async def find(self, far_end: Address, patience_s: float) -> _Met:
        """Find the other one, and for the direct way open the path to it.

        Raises:
            TimeoutError: the other one never came, or no packet of its got through.
            OSError: there is no way to the far end, or it has no room for this code.
        """
        family = socket.AF_INET6 if ":" in far_end[0] else socket.AF_INET
        with socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as sock:
            sock.bind(("", 0))
            local_port: int = sock.getsockname()[1]
            async with asyncio.timeout(patience_s):
                answer = await self._ask(sock, far_end)
            self.stage = "path"
            self.role = "call" if answer.role == "call" else "answer"
            if self._way == "relayed":
                return _Met(self.role, far_end, local_port)
            if answer.peer is None:
                raise TimeoutError
            async with asyncio.timeout(_PUNCH_LIMIT_S):
                await _punch(sock, self._talk, answer.peer)
            return _Met(self.role, answer.peer, local_port)

    async def _ask(self, sock: socket.socket, far_end: Address) -> Answer:
        """Ask until the other one is there."""
        loop = asyncio.get_running_loop()
        talk = self._talk
        cookie: bytes | None = None
        renew_at_s = 0.0
        while True:
            if cookie is not None:
                await loop.sock_sendto(sock, talk.meet(cookie), far_end)
            if loop.time() >= renew_at_s:
                await loop.sock_sendto(sock, talk.hello(), far_end)
            next_s = loop.time() + _ASK_AGAIN_S
            while (data := await _from(sock, far_end, next_s - loop.time())) is not None:
                if (fresh := talk.cookie(data)) is not None:
                    cookie, renew_at_s = fresh, loop.time() + _COOKIE_S
                    self.stage = "meeting"
                    break
                answer = talk.answer(data)
                if answer is not None and answer.role == "full":
                    raise ConnectionRefusedError(errno.ECONNREFUSED, "no room for this code")
                if answer is not None and answer.role != "wait":
                    return answer


async def _punch(sock: socket.socket, talk: MeetTalk, peer: Address) -> None:
    """Send to the other one until each has heard the other."""
    heard = been_heard = False
    loop = asyncio.get_running_loop()
    while not (heard and been_heard):
        await loop.sock_sendto(sock, talk.punch(heard=heard), peer)
        data = await _from(sock, peer, _PUNCH_AGAIN_S)
        knows_us = None if data is None else talk.punched(data)
        if knows_us is not None:
            heard, been_heard = True, been_heard or knows_us
    # The last word may be lost; said a few times, the other one hears that it was heard.
    for _ in range(3):
        await loop.sock_sendto(sock, talk.punch(heard=True), peer)


async def _from(sock: socket.socket, sender: Address, patience_s: float) -> bytes | None:
    """Return the next datagram of this sender, ``None`` when none comes in time."""
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(patience_s):
            while True:
                data, address = await loop.sock_recvfrom(sock, 2048)
                if address[:2] == sender:
                    return data
    except TimeoutError:
        return None


async def _reflect(met: _Met, limit_s: float) -> bool:
    """Be the far end of one call; return whether it came to its report."""
    reflector = Reflector(
        cookies=Cookies(os.urandom(32)),
        random_bytes=os.urandom,
        monotonic_ns=time.monotonic_ns,
        unix_s=time.time,
    )

    over = asyncio.Event()

    def answer(datagram: Datagram, received_ns: int) -> list[tuple[bytes, Address]]:
        if datagram.address != met.peer:
            return []
        replies = reflector.handle(datagram.data, datagram.address, received_ns)
        if reflector.is_over():
            over.set()
        return [(reply, datagram.address) for reply in replies]

    host = "::" if ":" in met.peer[0] else "0.0.0.0"  # noqa: S104 - the peer decides which way
    listener = AnsweringSocket((host, met.local_port), answer, WallOffset())
    try:
        async with asyncio.timeout(limit_s):
            await over.wait()
        await asyncio.sleep(_LINGER_S)
    except TimeoutError:
        return False
    finally:
        listener.close()
    return True


async def _call(order: PeerOrder, met: _Met) -> CallOutcome:
    flow = CallOrder(
        host="peer",
        port=met.peer[1],
        profile=order.profile,
        shape=order.shape,
        duration_s=order.duration_s,
        seed=order.seed,
        local_port=met.local_port,
    )
    (outcome,) = await call_flows((flow,), _Known(met.peer))
    # Whose address this is, is nobody's business but the two users'.
    call = msgspec.structs.replace(outcome.call, address=None, port=0)
    return msgspec.structs.replace(outcome, call=call)


class _Known:
    """A resolver for an address that is known already."""

    def __init__(self, address: Address) -> None:
        self._address = address

    async def resolve(self, host: str, port: int) -> tuple[tuple[Address, ...], DnsAnswer]:
        del port
        return (self._address,), DnsAnswer(name=host, engine="literal")
