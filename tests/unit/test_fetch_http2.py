"""HTTP/2 fetches against real servers on loopback, honest and not."""

import asyncio
import hashlib
import random
import struct

import h2.config
import h2.connection
import h2.events
import pytest
from fetch_peers import Trust, peer, reset

from probe.fetch import FetchOrder, fetch

BODY = random.Random(8).randbytes(600_000)
LIMIT_S = 5.0


def frame(kind, flags, stream, payload=b""):
    """Write one frame by hand (RFC 9113, section 4.1)."""
    return (
        struct.pack(">IBBI", len(payload) << 8 | kind, flags, 0, 0)[:5]
        + struct.pack(">I", stream)
        + payload
    )


def serving(answer):
    """Speak HTTP/2 until a request has come, then let ``answer(connection, writer)`` reply."""

    async def handle(reader, writer):
        server = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False))
        server.initiate_connection()
        writer.write(server.data_to_send())
        while data := await reader.read(65_536):
            for event in server.receive_data(data):
                if isinstance(event, h2.events.RequestReceived):
                    await answer(server, writer)
            writer.write(server.data_to_send())
            await writer.drain()

    return handle


def whole(body, *extra, length=None):
    async def answer(server, writer):
        announced = len(body) if length is None else length
        headers = [(":status", "200"), ("content-length", str(announced)), *extra]
        server.send_headers(1, headers)
        for at in range(0, len(body), 16_384):
            server.send_data(1, body[at : at + 16_384])
        server.end_stream(1)
        writer.write(server.data_to_send())

    return answer


@pytest.fixture
def run(tmp_path, monkeypatch):
    trust = Trust()

    async def run(handle, alpn=("h2",), **order):
        async with peer(handle, tls=trust.server("site.example", alpn=alpn)) as port:
            network = trust.network(tmp_path, monkeypatch, f"site.example:443=127.0.0.1:{port}")
            order = {"limit_s": LIMIT_S, **order}
            return await fetch(
                FetchOrder(url="https://site.example/a?b", http="h2", **order), network
            )

    return run


async def test_a_whole_answer_is_recorded_as_over_http1(run):
    outcome = await run(serving(whole(BODY)))
    record = outcome.fetch
    assert outcome.failure is None
    assert (record.http, record.status, record.body_bytes) == ("h2", 200, len(BODY))
    assert record.expected_bytes == len(BODY)
    assert record.body_sha256 == hashlib.sha256(BODY).hexdigest()
    assert record.tls_s > 0
    assert record.ttfb_s > 0
    assert record.timeline.bytes[-1] > len(BODY)
    assert record.tls_version == "TLSv1.3"


async def test_the_request_names_what_is_wanted(run):
    seen = []

    async def handle(reader, writer):
        server = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False))
        server.initiate_connection()
        writer.write(server.data_to_send())
        while data := await reader.read(65_536):
            for event in server.receive_data(data):
                if isinstance(event, h2.events.RequestReceived):
                    seen.extend(event.headers)
                    await whole(b"x")(server, writer)

    await run(handle)
    assert dict(seen)[b":path"] == b"/a?b"
    assert dict(seen)[b":authority"] == b"site.example"
    assert dict(seen)[b"accept-encoding"] == b"identity"


async def test_a_redirect_over_http2_keeps_its_location(run):
    async def answer(server, writer):
        headers = [(":status", "302"), ("location", "https://b.example/")]
        server.send_headers(1, headers, end_stream=True)
        writer.write(server.data_to_send())

    outcome = await run(serving(answer))
    assert (outcome.failure, outcome.fetch.location) == (None, "https://b.example/")


async def test_a_byte_limit_cuts_the_stream(run):
    outcome = await run(serving(whole(BODY)), limit_bytes=100_000)
    assert (outcome.failure, outcome.fetch.censored) == (None, "bytes")
    assert 100_000 <= outcome.fetch.body_bytes < len(BODY)


async def test_a_crawl_is_cut_by_time(run):
    async def answer(server, writer):
        server.send_headers(1, [(":status", "200")])
        while True:
            server.send_data(1, b"x")
            writer.write(server.data_to_send())
            await asyncio.sleep(0.02)

    outcome = await run(serving(answer), limit_s=1.5)
    assert (outcome.failure, outcome.fetch.censored) == (None, "time")
    assert outcome.fetch.body_bytes > 1


SETTINGS = frame(4, 0, 0)
HEADERS_200 = frame(1, 4, 1, b"\x88")


async def settings_flood(_server, writer):
    writer.write(SETTINGS * 2000)


async def ping_flood(_server, writer):
    writer.write(frame(6, 0, 0, bytes(8)) * 2000)


async def empty_data_flood(_server, writer):
    writer.write(HEADERS_200 + frame(0, 0, 1) * 2000)


async def window_flood(_server, writer):
    writer.write(frame(8, 0, 0, struct.pack(">I", 1)) * 2000)


async def reset_stream(_server, writer):
    writer.write(frame(3, 0, 1, struct.pack(">I", 8)))


async def reset_flood(_server, writer):
    writer.write(b"".join(frame(3, 0, 2 * i + 1, struct.pack(">I", 8)) for i in range(1, 100_000)))


async def go_away(_server, writer):
    writer.write(frame(7, 0, 0, struct.pack(">II", 0, 11)))


async def push(_server, writer):
    writer.write(frame(5, 4, 1, struct.pack(">I", 2) + b"\x82"))


async def endless_continuation(_server, writer):
    writer.write(frame(1, 0, 1, b"\x88") + frame(9, 0, 1, b"\x00\x01a\x01b" * 500) * 500)


async def more_than_the_window(_server, writer):
    # A frame above the largest size that was agreed on.
    writer.write(HEADERS_200 + frame(0, 0, 1, bytes(20_000)))


async def nonsense(_server, writer):
    writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
    writer.close()


async def bad_status(server, writer):
    del server
    writer.write(frame(1, 5, 1, b"\x08\x03abc"))


@pytest.mark.parametrize(
    "answer",
    [
        settings_flood,
        ping_flood,
        empty_data_flood,
        window_flood,
        reset_stream,
        reset_flood,
        go_away,
        push,
        endless_continuation,
        more_than_the_window,
        bad_status,
    ],
)
async def test_a_peer_that_breaks_http2_has_failed_the_request_at_once(answer, run):
    outcome = await run(serving(answer))
    assert outcome.failure == "http_request_failed"
    assert outcome.fetch.duration_s < LIMIT_S


async def drop(_server, writer):
    reset(writer)


async def leave(_server, writer):
    writer.close()


async def leave_in_the_body(_server, writer):
    writer.write(HEADERS_200 + frame(0, 0, 1, b"xxx"))
    writer.close()


@pytest.mark.parametrize(
    ("answer", "word"),
    [
        (drop, "connection_reset"),
        (nonsense, "eof_error"),
        (leave, "eof_error"),
        (leave_in_the_body, "eof_error"),
        (whole(b"xxx", length=3), None),
    ],
)
async def test_ends_of_the_connection_are_told_apart(answer, word, run):
    assert (await run(serving(answer))).failure == word


@pytest.mark.parametrize(
    ("body", "word"), [(b"xxx", "eof_error"), (b"x" * 11, "http_request_failed")]
)
async def test_a_body_other_than_announced_is_short_or_a_breach(body, word, run):
    async def answer(_server, writer):
        announced = b"\x88\x0f\x0d\x0210"
        writer.write(frame(1, 4, 1, announced) + frame(0, 1, 1, body))

    outcome = await run(serving(answer))
    assert outcome.failure == word


async def test_a_server_that_speaks_no_http2_is_not_taken_for_one(run):
    async def handle(reader, _writer):
        await reader.read()

    outcome = await run(handle, alpn=())
    assert outcome.failure == "http_request_failed"
    assert outcome.fetch.tls_s is not None


async def test_silence_after_the_request_times_out(run):
    async def answer(_server, _writer):
        return

    outcome = await run(serving(answer), limit_s=1.5)
    assert outcome.failure == "generic_timeout_error"
