"""The one place where the probe asks for its own address, and what becomes of the answer."""

import asyncio
import socket
from collections.abc import Callable

from probe.call import stun
from probe.network import Network
from probe.whereabouts import ask_relay

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


async def ask(answer: Callable[[stun.Message], bytes | None]) -> str | None:
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_datagram_endpoint(
        lambda: Relay(answer), local_addr=("127.0.0.1", 0), family=socket.AF_INET
    )
    port = transport.get_extra_info("sockname")[1]
    try:
        return await ask_relay(f"stun://127.0.0.1:{port}", Network())
    finally:
        transport.close()


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
