"""The far end's web side over real TLS."""

import asyncio
import contextlib
import logging
import ssl
import zlib

import aiohttp
import msgspec
import pytest
import trustme
from far_ends import certify, trusting

from probe.farend import FarEndConfig, serve
from probe.farend.web import FETCHES


@pytest.fixture
def authority():
    return trustme.CA()


@pytest.fixture
def config(authority, tmp_path):
    certificate, key = certify(authority, tmp_path, "localhost", "127.0.0.1")

    def make(asking_s=10.0, **limits):
        return FarEndConfig(
            asking_s=asking_s,
            host="127.0.0.1",
            calls=(),
            https_port=0,
            certificate=certificate,
            key=key,
            web=msgspec.structs.replace(FETCHES, **limits),
        )

    return make


@pytest.fixture
async def client(authority):
    async with trusting(authority) as session:
        yield session


def url(running, path):
    return f"https://localhost:{running.https_port}{path}"


@pytest.mark.parametrize("size", [0, 1, 65_537, 5_000_000])
async def test_as_many_bytes_come_as_were_asked_for(config, client, size):
    async with serve(config()) as running, client.get(url(running, f"/bytes/{size}")) as answer:
        assert (answer.status, answer.content_length) == (200, size)
        assert len(await answer.read()) == size


async def test_the_bytes_do_not_compress(config, client):
    async with serve(config()) as running, client.get(url(running, "/bytes/1000000")) as answer:
        assert len(zlib.compress(await answer.read())) > 990_000


async def test_the_sink_says_how_much_came(config, client):
    async with (
        serve(config()) as running,
        client.post(url(running, "/sink"), data=bytes(300_000)) as answer,
    ):
        assert await answer.json() == {"bytes": 300_000}


async def test_a_body_over_the_limit_is_refused_either_way(config, client):
    async with serve(config(transfer_bytes=1000)) as running:
        async with client.get(url(running, "/bytes/1001")) as answer:
            assert answer.status == 413
        async with client.post(url(running, "/sink"), data=bytes(1001)) as answer:
            assert answer.status == 413


async def test_a_body_of_unknown_length_is_cut_at_the_limit(config, client):
    async def endless():
        while True:
            yield bytes(500)

    async with serve(config(transfer_bytes=1000)) as running:
        with pytest.raises(aiohttp.ClientError):
            async with client.post(url(running, "/sink"), data=endless()) as answer:
                answer.raise_for_status()


async def test_a_client_that_has_used_its_share_is_told_so(config, client):
    async with serve(config(client_burst_bytes=1500, client_bytes_per_s=1)) as running:
        async with client.get(url(running, "/bytes/1000")) as answer:
            assert answer.status == 200
        async with client.get(url(running, "/bytes/1000")) as answer:
            assert answer.status == 429
            assert "share of bytes" in await answer.text()


async def test_a_request_has_an_end_in_time(config, client):
    async def slow():
        yield b"x"
        await asyncio.sleep(5)

    async with serve(config(transfer_s=0.2)) as running:
        begun = asyncio.get_running_loop().time()
        async with client.post(url(running, "/sink"), data=slow()) as answer:
            assert answer.status == 408
        assert asyncio.get_running_loop().time() - begun < 4


async def test_only_so_many_requests_run_at_a_time(config, client):
    release = asyncio.Event()

    async def held():
        yield b"x"
        await release.wait()

    async with serve(config(client_transfers=1)) as running:
        first = asyncio.create_task(client.post(url(running, "/sink"), data=held()))
        await asyncio.sleep(0.3)
        async with client.get(url(running, "/bytes/1")) as answer:
            assert answer.status == 429
        release.set()
        async with await first as answer:
            assert answer.status == 200


@pytest.mark.parametrize("said", [b"", b"GET /bytes/1 HTTP/1.1\r\n"], ids=["nothing", "half"])
async def test_whoever_is_slow_to_ask_is_hung_up_on(config, authority, said):
    context = ssl.create_default_context()
    authority.configure_trust(context)
    async with serve(config(asking_s=0.3)) as running:
        reader, writer = await asyncio.open_connection("127.0.0.1", running.https_port, ssl=context)
        writer.write(said)
        assert await asyncio.wait_for(reader.read(), 5) == b""
        writer.close()


async def test_whoever_is_slow_to_shake_hands_is_hung_up_on(config):
    async with serve(config(asking_s=0.3)) as running:
        reader, writer = await asyncio.open_connection("127.0.0.1", running.https_port)
        writer.write(b"\x16\x03\x01")
        with contextlib.suppress(ConnectionResetError):
            assert await asyncio.wait_for(reader.read(), 5) == b""
        writer.close()


async def test_everyone_together_has_so_many_requests(config, client):
    async with (
        serve(config(total_transfers=0)) as running,
        client.get(url(running, "/bytes/1")) as answer,
    ):
        assert answer.status == 503


async def test_anything_else_is_not_found(config, client):
    async with serve(config()) as running:
        for path in ("/", "/bytes/", "/bytes/-1", "/bytes/12x", "/bytes/9999999999999"):
            async with client.get(url(running, path)) as answer:
                assert answer.status == 404


async def test_no_address_is_logged_even_when_a_request_is_garbage(config, caplog):
    caplog.set_level(logging.DEBUG)
    async with serve(config()) as running:
        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        reader, writer = await asyncio.open_connection("127.0.0.1", running.https_port, ssl=context)
        writer.write(b"\x00\xffnonsense\r\n\r\n")
        assert b"400" in await reader.readline()
        writer.close()
    assert "127.0.0.1" not in caplog.text


async def test_a_web_side_without_a_certificate_is_refused():
    with pytest.raises(ValueError, match="no certificate"):
        async with serve(FarEndConfig(host="127.0.0.1", calls=(), https_port=0)):
            pass
