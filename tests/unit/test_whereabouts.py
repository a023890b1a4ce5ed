"""The one place where the probe asks for its own address, and what becomes of the answer."""

import asyncio
import contextlib
import socket
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import msgspec
from plans import targets

from probe.call import stun
from probe.limits import Limits
from probe.network import Network
from probe.services import Control, Targets
from probe.whereabouts import QUERY_BYTES, ask_outside, ask_relay

OUTSIDE = ("203.0.113.77", 40_000)


class Relay(asyncio.DatagramProtocol):
    """Answers a Binding request with one fixed outside address, or as the test says."""

    def __init__(self, answer: Callable[[stun.Message], bytes | None]) -> None:
        self._answer = answer

    def connection_made(self, transport) -> None:
        self._transport = transport

    def datagram_received(self, data: bytes, address) -> None:
        if (answer := self._answer(stun.decode(data))) is not None:
            self._transport.sendto(answer, address)


@contextlib.asynccontextmanager
async def relaying(answer: Callable[[stun.Message], bytes | None]) -> AsyncIterator[str]:
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_datagram_endpoint(
        lambda: Relay(answer), local_addr=("127.0.0.1", 0), family=socket.AF_INET
    )
    port = transport.get_extra_info("sockname")[1]
    try:
        yield f"stun://127.0.0.1:{port}"
    finally:
        transport.close()


async def ask(answer: Callable[[stun.Message], bytes | None]) -> str | None:
    async with relaying(answer) as relay:
        return await ask_relay(relay, Network())


def limits(path: Path, run_bytes: int) -> Limits:
    return Limits(path / "limits.json", run_bytes, time.monotonic, time.time)


def only(relay: str) -> Targets:
    control = Control(name="S", relay=relay, scope="foreign", source="s")
    return msgspec.structs.replace(targets(), controls={"stun": control})


def success(request: stun.Message) -> bytes:
    mapped = stun.xor_address(OUTSIDE, request.transaction)
    return stun.encode(stun.Message(0x0101, request.transaction, ((0x0020, mapped),)))


async def test_a_relay_says_which_address_it_sees() -> None:
    assert await ask(success) == OUTSIDE[0]


async def test_an_answer_to_another_question_is_not_believed() -> None:
    def other(request: stun.Message) -> bytes:
        return success(stun.Message(request.type, bytes(12)))

    assert await ask(other) is None


async def test_a_silent_relay_leaves_the_vantage_unknown() -> None:
    assert await ask(lambda _: None) is None


async def test_nonsense_from_a_relay_is_no_answer() -> None:
    assert await ask(lambda _: b"nonsense") is None


async def test_the_question_is_a_visit_and_its_bytes_count(tmp_path: Path) -> None:
    kept = limits(tmp_path, QUERY_BYTES)
    async with relaying(success) as relay:
        async with kept.visit(["127.0.0.1"]):
            asked = asyncio.create_task(ask_outside(only(relay), Network(), kept))
            await asyncio.sleep(0.1)
            assert kept.used_bytes == 0
        assert await asked == OUTSIDE[0]
        assert kept.used_bytes == QUERY_BYTES
        assert await ask_outside(only(relay), Network(), kept) is None, "the budget is used up"


async def test_without_a_relay_nobody_is_asked(tmp_path: Path) -> None:
    none = msgspec.structs.replace(targets(), controls={})
    assert await ask_outside(none, Network(), limits(tmp_path, 10**6)) is None
