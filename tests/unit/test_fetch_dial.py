"""From a name to a connection: every look-up and every connect in the record."""

import socket

import pytest
from fetch_peers import answering, peer

from probe.endpoints import EndpointError
from probe.fetch import FetchOrder, OrderError, fetch, reach
from probe.fetch.order import origin
from probe.network import Network


class Answers(Network, frozen=True):
    """A network whose resolver gives set addresses."""

    given: tuple = ()

    async def resolve(self, _host, port):
        _, answer = await super().resolve("localhost", port)
        return self.given, answer


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


async def test_a_refused_connect_ends_the_trial_with_the_phase_it_reached():
    outcome = await fetch(FetchOrder(url=f"http://127.0.0.1:{free_port()}/"), Network())
    record = outcome.fetch
    assert outcome.failure == "connection_refused"
    assert record.dns_s is not None
    assert (record.connect_s, record.tls_s, record.request_t_s, record.ttfb_s) == (None,) * 4
    assert [connect.failure for connect in record.connects] == ["connection_refused"]
    assert record.duration_s > 0


async def test_the_second_address_is_tried_when_the_first_refuses_and_both_are_recorded():
    async with peer(answering(b"x")) as port:
        network = Answers(given=(("127.0.0.1", free_port()), ("127.0.0.1", port)))
        outcome = await fetch(FetchOrder(url="http://site.example/"), network)
    assert outcome.failure is None
    assert [c.failure for c in outcome.fetch.connects] == ["connection_refused", None]
    assert outcome.fetch.port == port


async def test_an_address_that_is_silent_gives_the_next_a_turn_and_is_called_off():
    # A full accept queue drops SYNs: the connect hangs as behind a box that drops.
    with socket.create_server(("127.0.0.1", 0), backlog=0) as full:
        hung = [socket.socket() for _ in range(3)]
        for sock in hung:
            sock.settimeout(0)
            sock.connect_ex(full.getsockname())
        async with peer(answering(b"x")) as port:
            network = Answers(given=(full.getsockname(), ("127.0.0.1", port)))
            outcome = await fetch(FetchOrder(url="http://site.example/"), network)
        for sock in hung:
            sock.close()
    assert outcome.failure is None
    assert {c.port: c.failure for c in outcome.fetch.connects} == {
        full_port(outcome, port): "interrupted",
        port: None,
    }
    assert outcome.fetch.connect_s < 0.25


def full_port(outcome, other):
    return next(c.port for c in outcome.fetch.connects if c.port != other)


async def test_a_name_that_has_no_address_names_the_resolvers_failure():
    outcome = await fetch(FetchOrder(url="http://nowhere.invalid/"), Network())
    assert outcome.failure in {"dns_nxdomain_error", "dns_temporary_failure"}
    assert outcome.fetch.dns[0].failure == outcome.failure
    assert outcome.fetch.dns_s is None


async def test_a_given_address_is_used_without_a_look_up():
    async with peer(answering(b"x")) as port:
        order = FetchOrder(url="http://site.example/", address=f"127.0.0.1:{port}")
        outcome = await fetch(order, Network())
    assert outcome.failure is None
    assert [answer.engine for answer in outcome.fetch.dns] == ["literal"]


async def test_reach_tells_connect_time_and_the_kernels_round_trip():
    async with peer(answering(b"x")) as port:
        network = Network.from_options(f"149.154.167.51:443=127.0.0.1:{port}")
        word, record = await reach("149.154.167.51:443", network)
    assert word is None
    assert (record.address, record.port) == ("149.154.167.51", 443)
    assert 0 < record.connect_s < 5
    assert record.rtt_s is None or 0 < record.rtt_s < 1


async def test_reach_names_what_stood_in_the_way():
    word, record = await reach(f"127.0.0.1:{free_port()}", Network())
    assert word == "connection_refused"
    assert record.connect_s is None


@pytest.mark.parametrize("address", ["127.0.0.1", "127.0.0.1:0", "127.0.0.1:x"])
async def test_reach_refuses_what_is_no_address(address):
    with pytest.raises(EndpointError, match=r"a host and port|a port from"):
        await reach(address, Network())


@pytest.mark.parametrize(
    "url", ["ftp://a.example/", "http:///x", "http://a.example:99999/", "http://[::1/", "x"]
)
def test_an_order_no_connection_could_carry_out_is_refused(url):
    with pytest.raises(OrderError, match="found the URL"):
        FetchOrder(url=url)


def test_http2_needs_tls():
    with pytest.raises(OrderError, match="expected an https URL"):
        FetchOrder(url="http://a.example/", http="h2")


def test_an_origin_has_its_port_filled_in():
    assert origin("https://A.example/x") == ("https", "a.example", 443)
    assert origin("http://[::1]:81/") == ("http", "::1", 81)
