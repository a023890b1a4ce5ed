"""Real WebRTC calls through namespaces: direct and by coturn's TURN, beside a flow of our own."""

import contextlib
import re
import subprocess
import sys
import time

import msgspec
import pytest
import trustme
from two_namespaces import FAR, NEAR, needs_namespaces, two_namespaces

from probe.call import CallOrder
from probe.call.order import Turn

pytest.importorskip("aiortc", reason="the extra webrtc is not installed")
pytestmark = [*needs_namespaces, pytest.mark.usefixtures("far_end")]

HTTPS, CALLS = 443, 599
COUNT = 150


@pytest.fixture
def wire():
    with two_namespaces() as made:
        yield made


@pytest.fixture
def far_end(wire, tmp_path, monkeypatch):
    """Run ``probe serve --webrtc`` at the far end."""
    authority = trustme.CA()
    issued = authority.issue_cert(FAR)
    chain, key, trusted = (tmp_path / name for name in ("chain.pem", "key.pem", "ca.pem"))
    issued.private_key_pem.write_to_path(key)
    issued.cert_chain_pems[0].write_to_path(chain)
    authority.cert_pem.write_to_path(trusted)
    monkeypatch.setenv("SSL_CERT_FILE", str(trusted))
    words = wire.command(
        wire.far,
        [
            *(sys.executable, "-m", "probe.cli", "serve", "--host", FAR, "--webrtc"),
            *("--https-port", HTTPS, "--calls", CALLS, "--certificate", chain, "--key", key),
        ],
    )
    with ended(words) as process:
        assert "takes WebRTC calls" in process.stderr.readline().decode()
        yield process


@contextlib.contextmanager
def ended(words):
    """Run a server until the context ends."""
    with subprocess.Popen(words, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL) as process:
        try:
            yield process
        finally:
            process.terminate()
            process.stderr.read()


@contextlib.contextmanager
def coturn(wire, port):
    """Run coturn at the far end with a user that only this test knows."""
    words = f"turnserver -n -L {FAR} -E {FAR} -p {port} --no-tls --no-dtls --no-cli --lt-cred-mech"
    words += " --user caller:once --realm lab --pidfile /dev/null --log-file /dev/null --no-tcp"
    with ended(wire.command(wire.far, words.split())):
        listening = wire.command(wire.far, ["ss", "-lnu"])
        for _ in range(100):
            seen = subprocess.run(listening, check=True, capture_output=True, text=True).stdout
            if f"{FAR}:{port}" in seen:
                break
            time.sleep(0.05)
        yield Turn(host=FAR, port=port, username="caller", credential="once")


def order(shape, port, **changes):
    settings = {"profile": "voip-20", "duration_s": COUNT * 0.02, "seed": 1}
    return CallOrder(host=FAR, port=port, shape=shape, **settings | changes)


def no_address_of_ours(flow):
    text = msgspec.json.encode(flow).decode()
    return NEAR not in text and not re.search(r"candidate|fingerprint", text)


def test_a_direct_call_and_a_random_flow_beside_it_both_arrive_whole(wire):
    web, random = wire.call(order("webrtc", HTTPS), order("random", CALLS))["flows"]
    for flow in (web, random):
        call = flow["call"]
        assert (flow["failure"], call["setup"], call["planned"]) == (None, "ok", COUNT)
        assert (call["sent"], call["received"], call["far_received"]) == (COUNT, COUNT, COUNT)
        assert set(call["trace"]["fate"]) == {"ok"}
    # aiortc reads its own socket: its packets have the process's times, and the record says so.
    assert web["stamps"] == []
    assert set(web["call"]["trace"]["kernel_send_ns"]) == {None}
    stats = web["call"]["webrtc"]
    assert stats["path"] == "direct"
    assert (stats["packets_sent"], stats["packets_received"]) == (COUNT, COUNT)
    assert (stats["packets_lost"], stats["remote_packets_lost"]) == (0, 0)
    assert all(90 < size < 180 for size in web["call"]["trace"]["size_bytes"])
    assert no_address_of_ours(web)


@pytest.mark.parametrize("port", [3478, 1400])
def test_a_call_through_turn_arrives_whole_and_says_so(wire, port):
    with coturn(wire, port) as turn:
        (flow,) = wire.call(order("webrtc", HTTPS, turn=turn))["flows"]
    call = flow["call"]
    assert (flow["failure"], call["received"], call["far_received"]) == (None, COUNT, COUNT)
    assert call["webrtc"]["path"] == "relayed"
    assert no_address_of_ours(flow)


def test_a_turn_server_that_refuses_the_login_is_no_sign_of_a_block(wire):
    with coturn(wire, 3478) as turn:
        wrong = msgspec.structs.replace(turn, credential="wrong")
        (flow,) = wire.call(order("webrtc", HTTPS, turn=wrong))["flows"]
    assert "is PROBE_TURN_LOGIN right" in flow["failure"]
    assert (flow["call"]["setup"], flow["call"]["sent"]) == ("rejected", 0)


def test_a_turn_server_that_does_not_answer_is_a_time_out(wire):
    nobody = Turn(host=FAR, port=3478, username="caller", credential="once")
    wire.rules(wire.far, "udp dport 3478 counter drop")
    (flow,) = wire.call(order("webrtc", HTTPS, turn=nobody))["flows"]
    assert (flow["failure"], flow["call"]["setup"]) == ("generic_timeout_error", "no_answer")


def test_losses_of_a_webrtc_call_have_the_direction_that_nftables_gave_them(wire):
    drop = "meta l4proto udp @th,64,2 2 @th,73,7 96 numgen inc mod {} == 0 counter drop"
    wire.rules(wire.far, drop.format(10))
    wire.rules(wire.near, drop.format(15))
    (flow,) = wire.call(order("webrtc", HTTPS))["flows"]
    call = flow["call"]
    assert [call["lost_up"]] == wire.dropped(wire.far)
    assert [call["lost_down"]] == wire.dropped(wire.near)
    assert (call["lost_up"], call["lost"]) == (COUNT // 10, 0)
    # The far end's own stack counts what is missing between those that came.
    assert call["webrtc"]["remote_packets_lost"] in range(COUNT // 10 - 2, COUNT // 10 + 1)


def test_a_far_end_that_cannot_be_reached_by_udp_is_a_failure_and_no_loss(wire):
    wire.rules(wire.far, "meta l4proto udp counter drop")
    (flow,) = wire.call(order("webrtc", HTTPS))["flows"]
    assert (flow["failure"], flow["call"]["setup"]) == ("generic_timeout_error", "no_answer")
    assert flow["call"]["sent"] == 0
