"""Down from and up to a far end of our own, over TLS."""

import contextlib

import pytest
from far_ends import certify
from fetch_peers import Trust, answering, peer

from probe.farend import FarEndConfig, serve
from probe.fetch import FetchOrder, fetch
from probe.fetch.sender import fetch_with_sender

SIZE = 300_000


@pytest.fixture
async def far_end(tmp_path, monkeypatch):
    trust = Trust()
    certificate, key = certify(trust.authority, tmp_path, "far.example")
    config = FarEndConfig(
        host="127.0.0.1", calls=(0,), https_port=0, certificate=certificate, key=key
    )
    async with contextlib.AsyncExitStack() as stack:
        running = await stack.enter_async_context(serve(config))
        entry = f"far.example:443=127.0.0.1:{running.https_port}"
        yield trust.network(tmp_path, monkeypatch, entry)


async def test_bytes_come_down(far_end):
    order = FetchOrder(url=f"https://far.example/bytes/{SIZE}")
    outcome = await fetch(order, far_end)
    assert (outcome.failure, outcome.fetch.status) == (None, 200)
    assert outcome.fetch.body_bytes == outcome.fetch.expected_bytes == SIZE


async def test_bytes_go_up(far_end):
    order = FetchOrder(url="https://far.example/sink", method="POST", upload_bytes=SIZE)
    outcome = await fetch(order, far_end)
    assert (outcome.failure, outcome.fetch.status) == (None, 200)
    assert (outcome.fetch.direction, outcome.fetch.body_bytes) == ("up", SIZE)


async def test_another_name_in_the_handshake_reaches_the_same_bytes(far_end):
    order = FetchOrder(
        url=f"https://far.example/bytes/{SIZE}", sni="trigger.example", check_certificate=False
    )
    outcome = await fetch(order, far_end)
    assert (outcome.failure, outcome.fetch.sni) == (None, "trigger.example")
    assert outcome.fetch.body_bytes == SIZE


async def test_the_far_end_tells_how_its_kernel_fared(far_end):
    outcome = await fetch_with_sender(
        FetchOrder(url=f"https://far.example/bytes/{SIZE}", limit_bytes=SIZE), far_end
    )
    record = outcome.fetch
    assert (outcome.failure, record.body_bytes) == (None, SIZE)
    assert record.url == f"https://far.example/bytes/{SIZE}"
    assert record.sender_tcp_info[0].t_s == pytest.approx(0.0, abs=0.01)
    assert record.sender_tcp_info[-1].rtt_s > 0
    assert record.duration_s < 2


async def test_a_server_that_is_no_far_end_tells_nothing_and_breaks_nothing(tmp_path, monkeypatch):
    trust = Trust()
    async with peer(answering(b"x" * 1000), tls=trust.server("site.example")) as port:
        network = trust.network(tmp_path, monkeypatch, f"site.example:443=127.0.0.1:{port}")
        outcome = await fetch_with_sender(FetchOrder(url="https://site.example/a"), network)
    assert outcome.failure is None
    assert outcome.fetch.sender_tcp_info == ()
