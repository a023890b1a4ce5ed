"""``probe serve``: a far end as a process, with the ports it was asked for."""

import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import trustme


@pytest.fixture
def certificate(tmp_path) -> tuple[Path, Path]:
    issued = trustme.CA().issue_cert("far.example")
    chain, key = tmp_path / "chain.pem", tmp_path / "key.pem"
    issued.private_key_pem.write_to_path(key)
    issued.cert_chain_pems[0].write_to_path(chain)
    return chain, key


def free_port(kind: socket.SocketKind) -> int:
    with socket.socket(socket.AF_INET, kind) as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


def command(certificate: tuple[Path, Path], *words: object) -> list[str]:
    chain, key = map(str, certificate)
    probe = [sys.executable, "-m", "probe.cli", "serve", "--host", "127.0.0.1"]
    return [*probe, "--certificate", chain, "--key", key, *map(str, words)]


def test_a_far_end_answers_stamp_where_it_was_asked_to(certificate):
    web, calls, stamp = (free_port(kind) for kind in (1, 2, 2))
    words = ("--https-port", web, "--calls", calls, "--stamp", stamp)
    with subprocess.Popen(command(certificate, *words), stderr=subprocess.PIPE) as process:
        assert process.stderr is not None
        said = process.stderr.readline().decode()
        assert said == f"Far end: https on {web}, calls on UDP {calls}, STAMP on UDP {stamp}.\n"
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.settimeout(5)
            sock.sendto(bytes([0, 0, 0, 7]).ljust(44, b"\0"), ("127.0.0.1", stamp))
            reply = sock.recv(2048)
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=10) == 0
    assert (len(reply), reply[24:28]) == (44, bytes([0, 0, 0, 7]))


def test_a_port_that_is_none_is_one_sentence_and_status_2(certificate):
    words = command(certificate, "--stamp", "many")
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert "--stamp: found 'many', expected ports" in done.stderr
