"""Peers that break off, stall and lie: each gets its word in bounded time."""

import asyncio
import datetime as dt
import gzip
import itertools
import ssl
import struct

import pytest
import trustme
from fetch_peers import Trust, answering, peer, request_line, reset

from probe.fetch import FetchOrder, fetch
from probe.network import Network

OK = b"HTTP/1.1 200 OK\r\n"
#: Ends the trials that nothing else ends.
LIMIT_S = 0.6
#: Far above what the others take when the machine is busy.
LONG_S = 30.0


async def silent(reader, _writer):
    await reader.read()


async def fin(reader, _writer):
    await reader.read(1)


async def reset_at_once(reader, writer):
    await reader.read(1)
    reset(writer)


async def reset_after_request(reader, writer):
    await request_line(reader)
    reset(writer)


async def fin_after_request(reader, _writer):
    await request_line(reader)


async def no_http(reader, writer):
    await request_line(reader)
    writer.write(b"220 mail.example ESMTP\r\n")
    await reader.read()


async def silent_after_headers(reader, writer):
    await request_line(reader)
    writer.write(OK + b"Content-Length: 1000\r\n\r\n")
    await reader.read()


async def one_byte_a_moment(reader, writer):
    await request_line(reader)
    writer.write(OK + b"Content-Length: 1000\r\n\r\n")
    while True:
        writer.write(b"x")
        await writer.drain()
        await asyncio.sleep(0.05)


async def endless_header(reader, writer):
    await request_line(reader)
    writer.write(OK + b"X-Long: ")
    while True:
        writer.write(b"x" * 4096)
        await writer.drain()


async def endless_headers(reader, writer):
    await request_line(reader)
    writer.write(OK)
    for i in itertools.count():
        writer.write(b"X-%d: y\r\n" % i * 1000)
        await writer.drain()


async def endless_interim_answers(reader, writer):
    await request_line(reader)
    while True:
        writer.write(b"HTTP/1.1 100 Continue\r\n\r\n" * 100)
        await writer.drain()


async def endless_body(reader, writer):
    await request_line(reader)
    writer.write(OK + b"Connection: close\r\n\r\n")
    while True:
        writer.write(b"x" * 4096)
        await writer.drain()


async def reset_in_body(reader, writer):
    await request_line(reader)
    writer.write(OK + b"Content-Length: 1000\r\n\r\nxxx")
    await writer.drain()
    await asyncio.sleep(0.05)
    reset(writer)


async def short_body(reader, writer):
    await request_line(reader)
    writer.write(OK + b"Content-Length: 1000\r\n\r\nxxx")
    await writer.drain()


async def absurd_length(reader, writer):
    await request_line(reader)
    writer.write(OK + b"Content-Length: -5\r\n\r\nxxx")
    await reader.read()


async def two_lengths(reader, writer):
    await request_line(reader)
    writer.write(
        OK + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nxxx\r\n0\r\n\r\n"
    )
    await reader.read()


async def long_body(reader, writer):
    await request_line(reader)
    writer.write(OK + b"Content-Length: 5\r\n\r\nhello, and more than was announced\r\n\r\n")
    await reader.read()


async def body_where_none_may_be(reader, writer):
    await request_line(reader)
    writer.write(b"HTTP/1.1 204 No Content\r\n\r\nbut here it is\r\n\r\n")
    await reader.read()


async def chunk_bomb(reader, writer):
    await request_line(reader)
    writer.write(OK + b"Transfer-Encoding: chunked\r\n\r\n")
    await asyncio.sleep(0.05)
    writer.write(b"F" * 40 + b"\r\n")
    await reader.read()


async def chunk_with_endless_extension(reader, writer):
    await request_line(reader)
    writer.write(OK + b"Transfer-Encoding: chunked\r\n\r\n1;")
    while True:
        writer.write(b"x" * 4096)
        await writer.drain()


async def unfinished_chunks(reader, writer):
    await request_line(reader)
    writer.write(OK + b"Transfer-Encoding: chunked\r\n\r\n5\r\nxxxxx\r\n")
    await writer.drain()


@pytest.mark.parametrize(
    ("handle", "word", "reached"),
    [
        (silent, "generic_timeout_error", "request"),
        (reset_at_once, "connection_reset", "request"),
        (reset_after_request, "connection_reset", "request"),
        (fin, "eof_error", "request"),
        (fin_after_request, "eof_error", "request"),
        (no_http, "http_request_failed", "request"),
        (silent_after_headers, "generic_timeout_error", "status"),
        (endless_header, "http_request_failed", "request"),
        (endless_headers, "http_request_failed", "request"),
        (endless_interim_answers, "http_request_failed", "request"),
        (reset_in_body, "connection_reset", "body"),
        (short_body, "eof_error", "body"),
        (absurd_length, "http_request_failed", "request"),
        (two_lengths, "http_request_failed", "request"),
        (long_body, "http_request_failed", "request"),
        (body_where_none_may_be, "http_request_failed", "request"),
        (chunk_bomb, "http_request_failed", "status"),
        (chunk_with_endless_extension, "http_request_failed", "status"),
        (unfinished_chunks, "eof_error", "body"),
    ],
)
async def test_a_peer_that_breaks_http_gets_its_word_and_the_next_trial_runs(handle, word, reached):
    turns = iter([handle, answering(b"well")])

    async def take_turns(reader, writer):
        await next(turns)(reader, writer)

    async with peer(take_turns) as port:
        limit_s = LIMIT_S if word == "generic_timeout_error" else LONG_S
        order = FetchOrder(
            url=f"http://127.0.0.1:{port}/",
            limit_s=limit_s,
            limit_bytes=100_000,
            rtt_beside=False,
        )
        bad = await fetch(order, Network())
        good = await fetch(order, Network())
    assert bad.failure == word
    assert phase_of(bad.fetch) == reached
    assert bad.fetch.duration_s < limit_s + 2
    assert (good.failure, good.fetch.body_bytes) == (None, 4)


def phase_of(record):
    """Name the last thing that was reached."""
    if record.body_bytes:
        return "body"
    if record.status is not None:
        return "status"
    if record.request_t_s is not None:
        return "request"
    return "connect" if record.connect_s is not None else None


@pytest.mark.parametrize(
    ("handle", "limit", "limit_s"),
    [(one_byte_a_moment, "time", 2.0), (endless_body, "bytes", LONG_S)],
)
async def test_a_peer_that_never_finishes_is_cut_by_our_limit_and_has_not_failed(
    handle, limit, limit_s
):
    async with peer(handle) as port:
        order = FetchOrder(url=f"http://127.0.0.1:{port}/", limit_s=limit_s, limit_bytes=100_000)
        outcome = await fetch(order, Network())
    assert outcome.failure is None
    assert outcome.fetch.censored == limit
    assert outcome.fetch.body_bytes > 0
    assert outcome.fetch.body_bytes < 1_000_000


@pytest.mark.parametrize(
    ("answer", "status", "size"),
    [
        (b"HTTP/1.0 200 OK\r\n\r\nuntil the end", 200, 13),
        (b"HTTP/1.1 100 Continue\r\n\r\n" + OK + b"Content-Length: 2\r\n\r\nok", 200, 2),
    ],
)
async def test_an_odd_answer_that_can_be_read_is_an_answer(answer, status, size):
    async def handle(reader, writer):
        await request_line(reader)
        writer.write(answer)
        await writer.drain()

    async with peer(handle) as port:
        outcome = await fetch(FetchOrder(url=f"http://127.0.0.1:{port}/"), Network())
    assert outcome.failure is None
    assert (outcome.fetch.status, outcome.fetch.body_bytes) == (status, size)


async def test_a_head_request_has_no_body_to_wait_for():
    async def handle(reader, writer):
        await request_line(reader)
        writer.write(OK + b"Content-Length: 1000\r\n\r\n")
        await reader.read()

    async with peer(handle) as port:
        order = FetchOrder(url=f"http://127.0.0.1:{port}/", method="HEAD")
        outcome = await fetch(order, Network())
    assert (outcome.failure, outcome.fetch.expected_bytes) == (None, 1000)


async def test_a_gzip_bomb_is_counted_as_it_came_and_never_unpacked():
    bomb = gzip.compress(bytes(20_000_000))
    handle = answering(bomb, headers=["Content-Encoding: gzip"])
    async with peer(handle) as port:
        outcome = await fetch(FetchOrder(url=f"http://127.0.0.1:{port}/"), Network())
    assert (outcome.failure, outcome.fetch.body_bytes) == (None, len(bomb))


async def alert_after_hello(reader, writer):
    await reader.read(1)
    writer.write(b"\x15\x03\x03\x00\x02" + struct.pack("BB", 2, 40))
    await reader.read()


async def speak_http_to_tls(reader, writer):
    await reader.read(1)
    writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
    await reader.read()


@pytest.mark.parametrize(
    ("handle", "word"),
    [
        (silent, "generic_timeout_error"),
        (reset_at_once, "connection_reset"),
        (fin, "eof_error"),
        (alert_after_hello, "ssl_failed_handshake"),
        (speak_http_to_tls, "ssl_failed_handshake"),
    ],
)
async def test_a_peer_that_breaks_the_handshake_is_told_apart(handle, word):
    async with peer(handle) as port:
        network = Network.from_options(f"site.example:443=127.0.0.1:{port}")
        limit_s = LIMIT_S if word == "generic_timeout_error" else LONG_S
        outcome = await fetch(FetchOrder(url="https://site.example/", limit_s=limit_s), network)
    assert outcome.failure == word
    assert outcome.fetch.connect_s is not None
    assert outcome.fetch.tls_s is None
    assert outcome.fetch.request_t_s is None
    assert outcome.fetch.sni == "site.example"


PAST = dt.datetime(2020, 1, 1, tzinfo=dt.UTC)


@pytest.mark.parametrize(
    ("name", "issue", "word"),
    [
        ("other.example", {}, "ssl_invalid_hostname"),
        ("site.example", {"not_after": PAST}, "ssl_invalid_certificate"),
    ],
)
async def test_a_wrong_certificate_says_what_is_wrong_with_it(
    name, issue, word, tmp_path, monkeypatch
):
    trust = Trust()
    async with peer(answering(b"x"), tls=trust.server(name, **issue)) as port:
        network = trust.network(tmp_path, monkeypatch, f"site.example:443=127.0.0.1:{port}")
        outcome = await fetch(FetchOrder(url="https://site.example/"), network)
    assert outcome.failure == word
    assert outcome.fetch.tls_s is None


@pytest.mark.parametrize("handle", [silent, reset_after_request, fin_after_request, reset_in_body])
async def test_over_tls_the_words_are_the_same_as_without(handle, tmp_path, monkeypatch):
    trust = Trust()
    words = []
    for scheme, port_number in (("http", 80), ("https", 443)):
        tls = trust.server("site.example") if scheme == "https" else None
        async with peer(handle, tls=tls) as port:
            entry = f"site.example:{port_number}=127.0.0.1:{port}"
            network = trust.network(tmp_path, monkeypatch, entry)
            limit_s = LIMIT_S if handle is silent else LONG_S
            order = FetchOrder(url=f"{scheme}://site.example/", limit_s=limit_s)
            words.append((await fetch(order, network)).failure)
    assert words[0] == words[1] is not None


async def test_a_record_damaged_under_way_is_not_taken_for_a_failed_handshake(
    tmp_path, monkeypatch
):
    trust = Trust()

    async def handle(reader, writer):
        await request_line(reader)
        raw = writer.transport._ssl_protocol._transport
        raw.write(b"\x17\x03\x03\x00\x20" + bytes(32))
        await reader.read()

    async with peer(handle, tls=trust.server("site.example")) as port:
        network = trust.network(tmp_path, monkeypatch, f"site.example:443=127.0.0.1:{port}")
        outcome = await fetch(FetchOrder(url="https://site.example/", limit_s=5), network)
    assert outcome.failure.startswith("unknown_failure TLS record")
    assert outcome.fetch.tls_s is not None


async def test_an_authority_of_the_systems_store_is_enough_and_a_foreign_one_is_not():
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("site.example").configure_cert(context)
    async with peer(answering(b"x"), tls=context) as port:
        network = Network.from_options(f"site.example:443=127.0.0.1:{port}")
        strict = FetchOrder(url="https://site.example/")
        lax = FetchOrder(url="https://site.example/", check_certificate=False)
        assert (await fetch(strict, network)).failure == "ssl_unknown_authority"
        assert (await fetch(lax, network)).failure is None
