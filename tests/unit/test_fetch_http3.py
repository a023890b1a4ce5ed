"""HTTP/3 fetches against real servers on loopback, honest and not."""

import asyncio
import contextlib
import datetime as dt
import hashlib
import random
import socket

import pytest
from aioquic.asyncio import QuicConnectionProtocol, serve
from aioquic.buffer import Buffer
from aioquic.h3.connection import H3_ALPN, H3Connection
from aioquic.h3.events import HeadersReceived
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.events import ProtocolNegotiated
from aioquic.quic.packet import encode_quic_version_negotiation, pull_quic_header
from fetch_peers import Trust

from probe.fetch import FetchOrder, fetch
from probe.network import Network

BODY = random.Random(9).randbytes(300_000)
LIMIT_S = 10.0
PAST = dt.datetime(2020, 1, 1, tzinfo=dt.UTC)


def answering_with(answer):
    """Make a server's protocol that lets ``answer(protocol, http, stream, headers)`` reply."""

    class Server(QuicConnectionProtocol):
        http = None

        def quic_event_received(self, event):
            if isinstance(event, ProtocolNegotiated):
                self.http = H3Connection(self._quic)
            if self.http is not None:
                for got in self.http.handle_event(event):
                    if isinstance(got, HeadersReceived):
                        answer(self, self.http, got.stream_id, dict(got.headers))
                        self.transmit()

    return Server


def whole(body, length=None):
    def answer(_protocol, http, stream, _headers):
        announced = str(len(body) if length is None else length).encode()
        http.send_headers(stream, [(b":status", b"200"), (b"content-length", announced)])
        http.send_data(stream, body, end_stream=True)

    return answer


@contextlib.asynccontextmanager
async def quic_server(trust, answer, tmp_path, *names, **issue):
    configuration = QuicConfiguration(is_client=False, alpn_protocols=H3_ALPN)
    pem = tmp_path / "server.pem"
    chain = trust.authority.issue_cert(*names, **issue)
    chain.private_key_and_cert_chain_pem.write_to_path(pem)
    configuration.load_cert_chain(pem, pem)
    server = await serve(
        "127.0.0.1", 0, configuration=configuration, create_protocol=answering_with(answer)
    )
    try:
        yield server._transport.get_extra_info("sockname")[1]
    finally:
        server.close()
        await asyncio.sleep(0)


@pytest.fixture
def run(tmp_path, monkeypatch):
    trust = Trust()

    async def run(answer, *names, trusted=True, issue=None, **order):
        async with quic_server(
            trust, answer, tmp_path, *(names or ["site.example"]), **(issue or {})
        ) as port:
            whom = trust if trusted else Trust()
            network = whom.network(tmp_path, monkeypatch, f"site.example:443=127.0.0.1:{port}")
            order = FetchOrder(
                url="https://site.example/a?b", http="h3", **{"limit_s": LIMIT_S, **order}
            )
            return await fetch(order, network)

    return run


async def test_a_whole_answer_is_recorded_as_over_tcp(run):
    outcome = await run(whole(BODY))
    record = outcome.fetch
    assert outcome.failure is None
    assert (record.http, record.status, record.body_bytes) == ("h3", 200, len(BODY))
    assert record.body_sha256 == hashlib.sha256(BODY).hexdigest()
    assert record.expected_bytes == len(BODY)
    assert record.timeline.source == "body"
    assert record.timeline.bytes[-1] == len(BODY)
    assert [c.failure for c in record.connects] == [None]
    assert (record.sni, record.tls_version, record.tcp_info) == ("site.example", "TLSv1.3", ())


async def test_the_phases_of_the_one_handshake_add_up(run):
    record = (await run(whole(BODY))).fetch
    assert record.connect_s > 0
    assert record.tls_s > 0
    assert record.connect_s + record.tls_s <= record.request_t_s < record.duration_s
    assert 0 < record.ttfb_s < record.duration_s
    assert 0 < record.idle_rtt_s <= record.connect_s


async def test_the_request_names_what_is_wanted(run):
    seen = {}

    def answer(protocol, http, stream, headers):
        seen.update(headers)
        whole(b"x")(protocol, http, stream, headers)

    await run(answer)
    assert seen[b":path"] == b"/a?b"
    assert seen[b":authority"] == b"site.example"
    assert seen[b"accept-encoding"] == b"identity"


async def test_a_byte_limit_cuts_the_answer(run):
    outcome = await run(whole(BODY), limit_bytes=100_000)
    assert (outcome.failure, outcome.fetch.censored) == (None, "bytes")
    assert 100_000 <= outcome.fetch.body_bytes < len(BODY)


async def test_a_redirect_over_http3_keeps_its_location(run):
    def answer(_protocol, http, stream, _headers):
        headers = [(b":status", b"301"), (b"location", b"https://b.example/")]
        http.send_headers(stream, headers, end_stream=True)

    outcome = await run(answer)
    assert (outcome.failure, outcome.fetch.location) == (None, "https://b.example/")


async def test_a_ping_on_the_connection_gives_the_round_trip_under_load(run):
    def answer(protocol, http, stream, _headers):
        http.send_headers(stream, [(b":status", b"200")])
        http.send_data(stream, b"x", end_stream=False)

        def finish():
            http.send_data(stream, b"x", end_stream=True)
            protocol.transmit()

        asyncio.get_running_loop().call_later(1.3, finish)

    outcome = await run(answer)
    assert outcome.failure is None
    assert len(outcome.fetch.loaded_rtt) == 1
    assert 0 < outcome.fetch.loaded_rtt[0].rtt_s < 1


@pytest.mark.parametrize(
    ("name", "trusted", "issue", "word"),
    [
        ("other.example", True, {}, "ssl_invalid_hostname"),
        ("site.example", False, {}, "ssl_unknown_authority"),
        ("site.example", True, {"not_after": PAST}, "ssl_invalid_certificate"),
    ],
)
async def test_a_wrong_certificate_says_what_is_wrong_with_it(run, name, trusted, issue, word):
    outcome = await run(whole(b"x"), name, trusted=trusted, issue=issue)
    assert outcome.failure == word
    assert outcome.fetch.tls_s is None


async def test_without_the_check_any_certificate_will_do_and_the_record_says_so(run):
    outcome = await run(whole(b"x"), "other.example", trusted=False, check_certificate=False)
    assert outcome.failure is None
    assert outcome.fetch.certificate_checked is False


def reset_stream(protocol, _http, stream, _headers):
    protocol._quic.reset_stream(stream, 0x10C)


def close_politely(protocol, _http, _stream, _headers):
    protocol._quic.close(error_code=0x100)


def close_in_anger(protocol, _http, _stream, _headers):
    protocol._quic.close(error_code=0x102)


def silent(_protocol, _http, _stream, _headers):
    return


def bad_status(_protocol, http, stream, _headers):
    http.send_headers(stream, [(b":status", b"abc")], end_stream=True)


def endless_interim_answers(protocol, _http, stream, _headers):
    # A frame of unknown type, over and over, is neither header nor body.
    for _ in range(200):
        protocol._quic.send_stream_data(stream, b"\x21\x40\x00" + bytes(0))
    protocol._quic.send_stream_data(stream, (b"\x21\x7f\xff" + bytes(16_383)) * 100)


@pytest.mark.parametrize(
    ("answer", "word"),
    [
        (reset_stream, "http_request_failed"),
        (close_politely, "eof_error"),
        (close_in_anger, "http_request_failed"),
        (bad_status, "http_request_failed"),
        (whole(b"xxx", 10), "eof_error"),
        (endless_interim_answers, "http_request_failed"),
    ],
)
async def test_a_peer_that_breaks_http3_gets_its_word(run, answer, word):
    outcome = await run(answer)
    assert outcome.failure == word
    assert outcome.fetch.duration_s < LIMIT_S


async def test_silence_after_the_request_times_out(run):
    outcome = await run(silent, limit_s=1.5)
    assert outcome.failure == "generic_timeout_error"
    assert outcome.fetch.request_t_s is not None


class Refuser(asyncio.DatagramProtocol):
    """Answers every first packet with versions that nobody speaks."""

    def connection_made(self, transport):
        self.transport = transport

    def datagram_received(self, data, addr):
        header = pull_quic_header(Buffer(data=data), host_cid_length=8)
        reply = encode_quic_version_negotiation(
            source_cid=header.destination_cid,
            destination_cid=header.source_cid,
            supported_versions=[0x1A2A3A4A],
        )
        self.transport.sendto(reply, addr)


class Mute(asyncio.DatagramProtocol):
    """Says nothing, as behind a box that drops."""


@pytest.mark.parametrize(
    ("peer", "word", "reached"),
    [(Refuser, "quic_incompatible_version", True), (Mute, "generic_timeout_error", False)],
)
async def test_a_handshake_that_gets_nowhere_says_how_far_it_came(peer, word, reached):
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_datagram_endpoint(peer, local_addr=("127.0.0.1", 0))
    port = transport.get_extra_info("sockname")[1]
    network = Network.from_options(f"site.example:443=127.0.0.1:{port}")
    order = FetchOrder(url="https://site.example/", http="h3", limit_s=2)
    outcome = await fetch(order, network)
    transport.close()
    assert outcome.failure == word
    assert (outcome.fetch.connect_s is not None) == reached
    assert outcome.fetch.tls_s is None


async def test_a_port_where_nobody_listens_refuses():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        port = sock.getsockname()[1]
    network = Network.from_options(f"site.example:443=127.0.0.1:{port}")
    order = FetchOrder(url="https://site.example/", http="h3", limit_s=5)
    outcome = await fetch(order, network)
    assert outcome.failure == "connection_refused"
    assert outcome.fetch.connects[0].failure is not None
