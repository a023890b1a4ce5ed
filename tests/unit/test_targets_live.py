"""The live check of a targets file, against servers on loopback that behave well and badly."""

import asyncio
import contextlib
import socket
import time
from datetime import date

from fetch_peers import answering, peer

from probe.call import stun
from probe.limits import Visits
from probe.network import Network
from probe.targets import CallTarget, Control, FetchTarget, ReachTarget, Service, Targets
from probe.targets_live import Answer, check_live

BIG = b"x" * 100_000


def targets(*, controls=None, **parts):
    """A file with one service, built from what a test says about it."""
    return Targets(
        version=1,
        reviewed=date(2026, 11, 21),
        expires=date(2027, 2, 21),
        controls=controls or {},
        services={"a": Service(name="A", group="social", **parts)},
    )


def page(port):
    return FetchTarget(url=f"http://127.0.0.1:{port}/", min_bytes=64_000, source="made up")


async def answer_to(found):
    """The only answer of a check, and that it names its endpoint."""
    (answer,) = await check_live(found, Network.from_options(), Visits(time.monotonic))
    assert answer.owner in ("services.a", "controls.c")
    return answer.problem


@contextlib.asynccontextmanager
async def relay(answer):
    """A UDP server that answers each datagram with what ``answer`` makes of it, or not at all."""

    class Server(asyncio.DatagramProtocol):
        def connection_made(self, transport):
            self.transport = transport

        def datagram_received(self, data, address):
            if (reply := answer(data, address)) is not None:
                self.transport.sendto(reply, address)

    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_datagram_endpoint(Server, local_addr=("127.0.0.1", 0))
    try:
        yield transport.get_extra_info("sockname")[1]
    finally:
        transport.close()
        await asyncio.sleep(0)


def binding_success(data, address):
    asked = stun.decode(data)
    mapped = (stun.XOR_MAPPED_ADDRESS, stun.xor_address(address, asked.transaction))
    return stun.encode(stun.Message(stun.BINDING_SUCCESS, asked.transaction, (mapped,)))


async def test_a_page_of_enough_bytes_is_well():
    async with peer(answering(BIG)) as port:
        assert await answer_to(targets(fetch=(page(port),))) is None


async def test_a_page_that_is_too_small_says_how_small():
    async with peer(answering(b"x" * 2101)) as port:
        problem = await answer_to(targets(fetch=(page(port),)))
    assert problem == "found 2101 bytes, expected at least 64000: see min_bytes"


async def test_a_page_that_moved_says_where_to():
    moved = answering(b"", status="302 Found", headers=["Location: https://elsewhere.example/x"])
    async with peer(moved) as port:
        problem = await answer_to(targets(fetch=(page(port),)))
    assert problem == (
        "found a redirect to https://elsewhere.example/x, expected the object itself"
    )


async def test_a_page_that_is_gone_gives_its_status():
    async with peer(answering(BIG, status="404 Not Found")) as port:
        problem = await answer_to(targets(fetch=(page(port),)))
    assert problem == "found status 404, expected 200"


async def test_a_server_that_is_gone_gives_the_failure():
    with socket.create_server(("127.0.0.1", 0)) as sock:
        port = sock.getsockname()[1]
    problem = await answer_to(targets(fetch=(page(port),)))
    assert problem == "found connection_refused, expected the object"


async def test_an_address_that_takes_connections_is_well():
    async with peer(answering(b"")) as port:
        assert await answer_to(targets(reach=(ReachTarget(address=f"127.0.0.1:{port}"),))) is None


async def test_an_address_that_refuses_connections_says_so():
    with socket.create_server(("127.0.0.1", 0)) as sock:
        port = sock.getsockname()[1]
    problem = await answer_to(targets(reach=(ReachTarget(address=f"127.0.0.1:{port}"),)))
    assert problem == "found connection_refused, expected a connection"


async def test_a_relay_that_answers_a_binding_request_is_well():
    async with relay(binding_success) as port:
        call = CallTarget(profile="voip-60", relays=(f"stun://127.0.0.1:{port}",), source="made up")
        assert await answer_to(targets(call=(call,))) is None


async def test_a_relay_that_is_silent_says_so():
    async with relay(lambda *_: None) as port:
        silent = Control(
            name="C", relay=f"stun://127.0.0.1:{port}", scope="foreign", source="made up"
        )
        found = targets(controls={"c": silent}, trigger_names=("t.co",))
        assert await answer_to(found) == "found no answer to a STUN Binding request in 2 s"


async def test_every_endpoint_is_asked_and_answers_come_in_the_files_order():
    async with peer(answering(BIG)) as port, peer(answering(b"small")) as small:
        good, bad = (f"http://127.0.0.1:{number}/" for number in (port, small))
        control = Control(name="C", url=bad, scope="foreign", source="", min_bytes=64_000)
        found = targets(
            controls={"c": control},
            fetch=(page(port),),
            reach=(ReachTarget(address=f"127.0.0.1:{port}"),),
        )
        answers = await check_live(found, Network.from_options(), Visits(time.monotonic))
    assert [(answer.owner, answer.endpoint) for answer in answers] == [
        ("controls.c", bad),
        ("services.a", good),
        ("services.a", f"127.0.0.1:{port}"),
    ]
    assert answers[1] == Answer("services.a", good, None)
    assert [answer.problem is None for answer in answers] == [False, True, True]
