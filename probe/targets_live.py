"""Asks every endpoint of a targets file once: does it still answer, with as much as it should.

Meant for a network without censorship, before a file is published or its expiry is moved: an
endpoint that is dead there would look blocked or slowed everywhere else.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from functools import partial
from http import HTTPStatus
from typing import Final, NamedTuple

import msgspec

from probe.endpoints import parse_relay, parse_url
from probe.fetch import FetchOrder, fetch, reach
from probe.limits import Visits
from probe.network import Network
from probe.services import Control, FetchTarget, Targets
from probe.trial import addresses_of, servers_of
from probe.whereabouts import ask_relay

#: Endpoints asked at once; enough to be quick, and no load on anyone.
_AT_ONCE: Final = 4
_LIMIT_S: Final = 30.0


class _Question(NamedTuple):
    """What to ask for which table, how an answer calls it, and at which ``host:port``."""

    owner: str
    shown: str
    at: str
    ask: Callable[[Network], Awaitable[str | None]]


class Answer(msgspec.Struct, frozen=True):
    """What one endpoint said: ``problem`` is None for what it should say.

    ``owner`` is the table that names the endpoint, ``controls.NAME`` or ``services.NAME``.
    """

    owner: str
    endpoint: str
    problem: str | None


async def check_live(targets: Targets, network: Network, visits: Visits) -> tuple[Answer, ...]:
    """Ask every endpoint once.

    Args:
        targets: the file's content.
        network: how names are resolved and whom to trust.
        visits: keeps questions to one address apart.

    Returns:
        An answer per endpoint, in the order of the file; per HTTP version where there are several.
    """
    gate = asyncio.Semaphore(_AT_ONCE)

    async def answer(question: _Question) -> Answer:
        servers = await servers_of(network, question.at)
        async with gate, visits.visit(addresses_of(servers, question.at)):
            return Answer(question.owner, question.shown, await question.ask(network))

    return tuple(await asyncio.gather(*map(answer, _questions(targets))))


def _questions(targets: Targets) -> Iterator[_Question]:
    for name, control in targets.controls.items():
        if control.relay:
            yield _relay(f"controls.{name}", control.relay)
        else:
            yield from _pages(f"controls.{name}", control)
    for name, service in targets.services.items():
        owner = f"services.{name}"
        for target in service.fetch:
            yield from _pages(owner, target)
        for place in service.reach:
            yield _Question(owner, place.address, place.address, partial(_connect, place.address))
        for call in service.call:
            yield from (_relay(owner, relay) for relay in call.relays)


def _pages(owner: str, target: Control | FetchTarget) -> Iterator[_Question]:
    url = target.url or ""
    for version in target.http:
        shown = f"{url} ({version})" if len(target.http) > 1 else url
        order = FetchOrder(url=url, http=version, limit_s=_LIMIT_S, limit_bytes=target.min_bytes)
        yield _Question(owner, shown, str(parse_url(url)), partial(_fetch, order))


def _relay(owner: str, relay: str) -> _Question:
    return _Question(owner, relay, str(parse_relay(relay)), partial(_bind, relay))


async def _fetch(order: FetchOrder, network: Network) -> str | None:
    outcome = await fetch(order, network)
    page, least = outcome.fetch, order.limit_bytes or 0
    if page.location:
        return f"found a redirect to {page.location}, expected the object itself"
    if outcome.failure:
        return f"found {outcome.failure}, expected the object"
    if page.status != HTTPStatus.OK:
        return f"found status {page.status}, expected 200"
    if page.body_bytes < least:
        return f"found {page.body_bytes} bytes, expected at least {least}: see min_bytes"
    return None


async def _connect(address: str, network: Network) -> str | None:
    word, _ = await reach(address, network)
    return f"found {word}, expected a connection" if word else None


async def _bind(relay: str, network: Network) -> str | None:
    answered = await ask_relay(relay, network) is not None
    return None if answered else "found no answer to a STUN Binding request in 2 s"
