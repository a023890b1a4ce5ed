"""Down from and up to a far end of our own, over TLS."""

import contextlib

import pytest
from fetch_peers import Trust

from probe.farend import FarEndConfig, serve
from probe.fetch import FetchOrder, fetch

SIZE = 300_000


@pytest.fixture
async def far_end(tmp_path, monkeypatch):
    trust = Trust()
    issued = trust.authority.issue_cert("far.example")
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    issued.private_key_pem.write_to_path(key)
    issued.cert_chain_pems[0].write_to_path(certificate)
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
