"""WebRTC calls without the network: descriptions, headers, and a far end's refusals."""

import asyncio
import contextlib
import random
import sys
import time

import msgspec
import pytest
import trustme
from far_ends import certify, trusting
from hypothesis import given
from hypothesis import strategies as st

from analysis.verdict import judge
from probe import failure
from probe.bench import Bench, Running
from probe.call import CallOrder, call_pair
from probe.call.pair import call_flows
from probe.call.signalling import (
    Answer,
    Offer,
    Report,
    at_address,
    ports_of,
    read,
    with_candidates,
    without_addresses,
)
from probe.call.webrtc import rtp_number
from probe.call_pairs import far_end_pair
from probe.farend import FarEndConfig, WebRtcLimits, serve
from probe.limits import Limits
from probe.line import Line
from probe.measurement import Vantage
from probe.network import Network
from probe.recorder import Recorder
from probe.session_kinds import CallSession
from probe.store import RunFile

aiortc = pytest.importorskip("aiortc", reason="the extra webrtc is not installed")

SDP = """\
v=0
o=- 3984 3984 IN IP4 192.0.2.77
s=-
t=0 0
m=audio 40123 UDP/TLS/RTP/SAVPF 96
c=IN IP4 192.0.2.77
a=rtcp:9 IN IP4 192.0.2.77
a=candidate:1 1 udp 2130706431 192.0.2.77 40123 typ host
a=candidate:2 1 udp 2130706430 2001:db8::7 40124 typ host
a=candidate:3 1 tcp 2130706430 192.0.2.77 9 typ host tcptype active
a=candidate:4 1 udp 2130706430 192.0.2.77 what typ host
a=end-of-candidates
a=ice-ufrag:abcd
"""


def test_an_offer_leaves_without_any_address_or_port_of_ours():
    sent = without_addresses(SDP)
    for private in ("192.0.2.77", "2001:db8::7", "4012", "candidate"):
        assert private not in sent
    assert "a=ice-ufrag:abcd\r\n" in sent
    assert "m=audio 9 UDP/TLS/RTP/SAVPF 96\r\n" in sent


def test_an_answer_is_put_where_its_sender_was_reached():
    placed = at_address(SDP, "198.51.100.1")
    assert ports_of(SDP) == ports_of(placed) == (40123, 40124)
    assert placed.count("198.51.100.1") == 2
    assert "192.0.2.77" not in placed


@given(st.text(max_size=300))
def test_any_text_at_all_is_taken_apart_and_leaves_no_candidate(text):
    assert not ports_of(without_addresses(text))


@given(
    st.sampled_from([Offer, Answer, Report]),
    st.binary(max_size=200)
    | st.binary(max_size=20).map(lambda tail: b'{"sdp":"' + tail)
    | st.integers(1, 60_000).map(lambda depth: b'{"x":' + b"[" * depth),
)
def test_any_bytes_at_all_are_what_they_should_be_or_a_value_error(kind, text):
    with contextlib.suppress(ValueError):
        assert isinstance(read(text, kind), kind)


@given(st.sets(st.integers(1, 65_535), max_size=4).map(tuple))
def test_candidates_put_in_are_the_ones_found(ports):
    assert ports_of(with_candidates("", "192.0.2.1", ports)) == ports


@pytest.mark.parametrize(
    ("head", "number"),
    [
        (b"\x80\x60\x12\x34", 0x1234),
        (b"\x90\xe0\x00\x01", 1),
        (b"\x80\xc8\x12\x34", None),
        (b"\x16\xfe\xff\x00", None),
        (b"\x01\x01\x00\x08", None),
    ],
)
def test_rtp_is_told_from_rtcp_dtls_and_stun(head, number):
    assert rtp_number(head.ljust(40, b"\0")) == number
    assert rtp_number(head[:3]) is None


@pytest.fixture
def authority():
    return trustme.CA()


@pytest.fixture
def config(authority, tmp_path):
    chain, key = certify(authority, tmp_path, "127.0.0.1")
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")

    def make(limits):
        listen = {"host": "127.0.0.1", "calls": (0,), "https_port": 0}
        return FarEndConfig(certificate=chain, key=key, webrtc=limits, **listen)

    return make


@pytest.fixture
async def client(authority):
    async with trusting(authority) as session:
        yield session


async def an_offer():
    connection = aiortc.RTCPeerConnection(aiortc.RTCConfiguration(iceServers=[]))
    connection.addTransceiver("audio")
    await connection.setLocalDescription(await connection.createOffer())
    sdp = connection.localDescription.sdp
    await connection.close()
    return {"sdp": without_addresses(sdp)}


def url(running, name=""):
    return f"https://127.0.0.1:{running.https_port}/webrtc{name}"


async def test_a_client_has_so_many_calls_and_one_that_ends_makes_room(config, client):
    offer = await an_offer()
    limits = WebRtcLimits(calls=2, client_calls=1)
    async with serve(config(limits)) as running:
        first = await client.post(url(running), json=offer)
        name = (await first.json())["id"]
        second = await client.post(url(running), json=offer)
        ended = await client.delete(url(running, f"/{name}"))
        again = await client.delete(url(running, f"/{name}"))
        third = await client.post(url(running), json=offer)
        assert await ended.json() == {"numbers": []}
    statuses = [answer.status for answer in (first, second, ended, again, third)]
    assert statuses == [200, 429, 200, 404, 200]


async def test_all_clients_together_have_so_many_and_a_call_ends_by_itself(config, client):
    offer = await an_offer()
    async with serve(config(WebRtcLimits(calls=1, client_calls=9, call_s=0.5))) as running:
        first = await client.post(url(running), json=offer)
        second = await client.post(url(running), json=offer)
        await asyncio.sleep(0.8)
        third = await client.post(url(running), json=offer)
    assert [answer.status for answer in (first, second, third)] == [200, 503, 200]


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 400),
        (b"{}", 400),
        (b'{"sdp": 5}', 400),
        (b'{"sdp": "nonsense"}', 400),
        (b'{"sdp": "v=0\\nm=audio 9 UDP/TLS/RTP/SAVPF 96\\nm=video 9 x 97\\n"}', 400),
        (b'{"sdp": "v=0\\nm=audio x y z\\n"}', 400),
        (b"x" * 70_000, 413),
    ],
)
async def test_what_is_no_offer_is_refused_and_holds_no_place(config, client, body, status):
    async with serve(config(WebRtcLimits(calls=1, client_calls=1))) as running:
        answers = [await client.post(url(running), data=body) for _ in range(2)]
    assert [answer.status for answer in answers] == [status, status]


def order(port, shape="webrtc"):
    return CallOrder(
        host="127.0.0.1", port=port, shape=shape, profile="voip-20", duration_s=0.4, seed=1
    )


async def test_a_far_end_that_takes_no_such_calls_is_a_rejection_beside_a_whole_flow(
    config, tmp_path, monkeypatch
):
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    async with serve(config(None)) as running:
        web, control = await call_pair(
            order(running.https_port), order(running.call_ports[0], "random"), Network()
        )
    assert (web.call.setup, web.failure) == (
        "rejected",
        f"{failure.UNKNOWN} far end answered 404 to a WebRTC offer",
    )
    assert (web.call.sent, web.call.webrtc, control.call.received) == (0, None, 20)


async def test_without_aiortc_the_failure_says_how_to_get_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "aiortc", None)
    outcome, _ = await call_pair(order(9), order(9), Network())
    assert "pip install 'throttle-probe[webrtc]'" in outcome.failure
    assert (outcome.call.setup, outcome.call.sent) == ("no_answer", 0)


async def test_nobody_listening_is_a_refusal():
    outcome, _ = await call_pair(order(1), order(1), Network())
    assert (outcome.failure, outcome.call.setup) == (failure.REFUSED, "no_answer")


class Deaf:
    """A judge nobody asks in these tests."""


def make_bench(folder, file):
    return Bench(
        network=Network(),
        limits=Limits(folder / "limits.json", 10**7, time.monotonic, time.time),
        line=Line(),
        recorder=Recorder(file, "run", Vantage(), time.time),
        judge=Deaf(),
        rng=random.Random(1),
        tell=lambda _: None,
    )


@pytest.fixture
def on_loopback(monkeypatch):
    """Let ICE use the one address it leaves out by itself."""
    monkeypatch.setattr("aioice.ice.get_host_addresses", lambda **_: ["127.0.0.1"])


@pytest.mark.usefixtures("on_loopback")
async def test_two_pairs_with_a_clean_far_end_are_judged_normal(config, tmp_path, monkeypatch):
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    async with serve(config(WebRtcLimits())) as running:
        ports = {"ports": running.call_ports, "web_port": running.https_port}
        plan = CallSession(
            service="meet",
            host="127.0.0.1",
            profile="voip-20",
            shape="webrtc",
            duration_s=3.0,
            **ports,
        )
        with RunFile(tmp_path, "run") as file:
            bench = make_bench(tmp_path, file)
            async with bench.line.hold(0) as hold:
                session = Running(plan, "session", hold, [])
                pairs = [await far_end_pair(session, plan, number, bench) for number in range(2)]
    assert [trial.call.shape for trial in pairs[0]] == ["webrtc", "random"]
    assert pairs[0][0].call.webrtc.remote_packets_lost == 0
    assert pairs[0][0].host.stamps == ()
    assert judge([trial for pair in pairs for trial in pair]).verdict == "normal"
    assert b"candidate" not in (tmp_path / "new" / "run.jsonl").read_bytes()


async def test_a_relayed_call_without_a_login_says_where_to_put_one(tmp_path):
    plan = CallSession("meet", "127.0.0.1", (1,), "voip-20", "webrtc", duration_s=0.1)
    relayed = msgspec.structs.replace(plan, turn="turn:127.0.0.1:3478")
    with RunFile(tmp_path, "run") as file:
        bench = make_bench(tmp_path, file)
        async with bench.line.hold(0) as hold:
            session = Running(relayed, "session", hold, [])
            target, control = await far_end_pair(session, relayed, 0, bench)
    assert "set PROBE_TURN_LOGIN=USERNAME:CREDENTIAL" in target.failure
    assert (target.call.setup, target.call.sent) == ("rejected", 0)
    assert (target.endpoint, control.endpoint) == ("turn:127.0.0.1:3478/udp", "127.0.0.1:1/udp")


@pytest.mark.usefixtures("on_loopback")
async def test_a_far_end_that_hangs_up_ends_the_call_early_and_says_so(
    config, tmp_path, monkeypatch
):
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    async with serve(config(WebRtcLimits(call_s=2.0))) as running:
        long = msgspec.structs.replace(order(running.https_port), duration_s=6.0)
        outcome = (await call_flows([long], Network()))[0]
    call = outcome.call
    assert (call.setup, call.ended) == ("ok", "silence")
    assert 0 < call.received <= call.sent < call.planned


def test_a_webrtc_call_has_one_cadence_and_no_relay():
    with pytest.raises(ValueError, match="expected 'voip-20' to a far_end"):
        CallOrder(host="far.example", port=443, shape="webrtc")
