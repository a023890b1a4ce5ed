"""``probe serve``: a far end as a process, with the ports it was asked for."""

import contextlib
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme
from far_ends import certify


@pytest.fixture
def certificate(tmp_path) -> tuple[Path, Path]:
    return certify(trustme.CA(), tmp_path, "far.example")


def free_port(kind: socket.SocketKind) -> int:
    with socket.socket(socket.AF_INET, kind) as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


def command(certificate: tuple[Path, Path], *words: object) -> list[str]:
    chain, key = map(str, certificate)
    probe = [sys.executable, "-m", "probe.cli", "serve", "--host", "127.0.0.1"]
    return [*probe, "--certificate", chain, "--key", key, *map(str, words)]


@contextlib.contextmanager
def running(words: list[str]) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    """Start a far end; yield it and the first line it says."""
    with subprocess.Popen(words, stderr=subprocess.PIPE) as process:
        assert process.stderr is not None
        try:
            yield process, process.stderr.readline().decode()
        finally:
            process.kill()


def test_a_far_end_answers_stamp_where_it_was_asked_to(certificate):
    web, calls, replay, stamp = (free_port(kind) for kind in (1, 2, 1, 2))
    words = ("--https-port", web, "--calls", calls, "--replay-port", replay, "--stamp", stamp)
    with running(command(certificate, *words)) as (process, said):
        assert f"https on {web}" in said
        assert f"calls on UDP {calls}" in said
        assert f"STAMP on UDP {stamp}" in said
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
