"""Asks every endpoint of a targets file once: does it still answer, with as much as it should.

Meant for a network without censorship, before a file is published or its expiry is moved: an
endpoint that is dead there would look blocked or slowed everywhere else.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from http import HTTPStatus
from typing import Final, cast

import msgspec

from probe.fetch import FetchOrder, fetch, reach
from probe.measurement import HttpVersion
from probe.network import Network
from probe.services import CallTarget, Control, FetchTarget, Targets
from probe.whereabouts import ask_relay

#: Endpoints asked at once; enough to be quick, and no load on anyone.
_AT_ONCE: Final = 4
_LIMIT_S: Final = 30.0

Ask = Callable[[], Awaitable[str | None]]


class Answer(msgspec.Struct, frozen=True):
    """What one endpoint said: ``problem`` is None for what it should say.

    ``owner`` is the table that names the endpoint, ``controls.NAME`` or ``services.NAME``.
    """

    owner: str
    endpoint: str
    problem: str | None


async def check_live(targets: Targets, network: Network) -> tuple[Answer, ...]:
    """Ask every endpoint once.

    Args:
        targets: the file's content.
        network: how names are resolved and whom to trust.

    Returns:
        An answer per endpoint, in the order of the file; per HTTP version where there are several.
    """
    gate = asyncio.Semaphore(_AT_ONCE)

    async def answer(owner: str, endpoint: str, ask: Ask) -> Answer:
        async with gate:
            return Answer(owner, endpoint, await ask())

    asked = [answer(*question) for question in _questions(targets, network)]
    return tuple(await asyncio.gather(*asked))


def _questions(targets: Targets, network: Network) -> Iterator[tuple[str, str, Ask]]:
    for name, control in targets.controls.items():
        if control.relay:
            yield f"controls.{name}", control.relay, _relay(control.relay, network)
        else:
            yield from _web(f"controls.{name}", control, network)
    for name, service in targets.services.items():
        owner = f"services.{name}"
        for target in service.fetch:
            yield from _web(owner, target, network)
        for place in service.reach:
            yield owner, place.address, _connect(place.address, network)
        for call in service.call:
            yield from _relays(owner, call, network)


def _web(
    owner: str, target: Control | FetchTarget, network: Network
) -> Iterator[tuple[str, str, Ask]]:
    several = len(target.http) > 1
    for version in target.http:
        url = target.url or ""
        shown = f"{url} ({version})" if several else url
        yield owner, shown, _page(url, version, target.min_bytes, network)


def _relays(owner: str, call: CallTarget, network: Network) -> Iterator[tuple[str, str, Ask]]:
    for relay in call.relays:
        yield owner, relay, _relay(relay, network)


def _page(url: str, version: str, least: int, network: Network) -> Ask:
    order = FetchOrder(
        url=url, http=cast("HttpVersion", version), limit_s=_LIMIT_S, limit_bytes=least
    )

    async def ask() -> str | None:
        outcome = await fetch(order, network)
        page = outcome.fetch
        if page.location:
            return f"found a redirect to {page.location}, expected the object itself"
        if outcome.failure:
            return f"found {outcome.failure}, expected the object"
        if page.status != HTTPStatus.OK:
            return f"found status {page.status}, expected 200"
        if page.body_bytes < least:
            return f"found {page.body_bytes} bytes, expected at least {least}: see min_bytes"
        return None

    return ask


def _connect(address: str, network: Network) -> Ask:
    async def ask() -> str | None:
        word, _ = await reach(address, network)
        return f"found {word}, expected a connection" if word else None

    return ask


def _relay(relay: str, network: Network) -> Ask:
    async def ask() -> str | None:
        answered = await ask_relay(relay, network) is not None
        return None if answered else "found no answer to a STUN Binding request in 2 s"

    return ask
