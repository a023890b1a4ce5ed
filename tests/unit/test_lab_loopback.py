"""A whole loopback lab in its own process: a probe's view of it, and that nothing stays behind."""

import asyncio
import os
import signal
import socket
import ssl
import sys
import time
from pathlib import Path

import pytest

from probe import targets
from probe.call import stun
from probe.lab import presets, world
from probe.lab.loopback import LabError, LoopbackLab
from probe.network import parse_connect_to

KNOWN = presets.load()


def where(lab, host, port):
    return parse_connect_to(lab.environ["PROBE_CONNECT_TO"])[host, port]


async def fetch(lab, host, path="/", sni=None):
    """Fetch with asyncio alone; the head and the body."""
    context = ssl.create_default_context(cafile=lab.environ["SSL_CERT_FILE"])
    reader, writer = await asyncio.open_connection(
        *where(lab, host, 443), ssl=context, server_hostname=sni or host
    )
    writer.write(f"GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
    head, _, body = (await asyncio.wait_for(reader.read(-1), 60.0)).partition(b"\r\n\r\n")
    writer.close()
    return head, body


async def test_every_name_serves_files_that_do_not_compress_under_a_trusted_certificate():
    async with LoopbackLab(KNOWN["clean"]) as lab:
        for host in ("abs.twimg.com", "pages.example", "chat.signal.org"):
            head, body = await fetch(lab, host, "/bytes/50000")
            assert head.startswith(b"HTTP/1.1 200")
            assert len(body) == 50_000
            assert len(set(body)) == 256
        head, _ = await fetch(lab, "pages.example", "/bytes/999999999999")
        assert head.startswith(b"HTTP/1.1 400")
        # The same address under a neutral name: what a control of grade A does.
        head, _ = await fetch(lab, "abs.twimg.com", sni="pages.example")
        assert head.startswith(b"HTTP/1.1 200")


async def test_everything_in_the_targets_file_is_reached_on_loopback():
    async with LoopbackLab(KNOWN["clean"]) as lab:
        made = targets.load(lab.targets_file)
        assert set(made.services) == {s.key for s in world.SITES if s.role == "service"}
        there = parse_connect_to(lab.environ["PROBE_CONNECT_TO"])
        assert all(address.startswith("127.") for address, _ in there.values())
        for service in made.services.values():
            for entry in service.reach:
                host, _, port = entry.address.rpartition(":")
                _, writer = await asyncio.open_connection(*there[host, int(port)])
                writer.close()
        assert made.far_end is not None
        assert all(("far.example", port) in there for port in (443, *made.far_end.calls))


async def test_a_relay_answers_a_binding_request():
    async with LoopbackLab(KNOWN["clean"]) as lab:
        relay = where(lab, world.site("telegram").address, 1400)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.settimeout(10.0)
            client.connect(relay)
            client.send(b"not stun")
            client.send(stun.binding_request(bytes(range(12))))
            answer = stun.decode(await asyncio.to_thread(client.recv, 2_048))
        assert answer.type == stun.BINDING_SUCCESS
        assert answer.transaction == bytes(range(12))
        assert stun.mapped_address(answer)[0].startswith("127.")


async def test_the_censor_hits_the_name_and_spares_its_neighbours():
    async with LoopbackLab(KNOWN["reset"]) as lab:
        with pytest.raises(ConnectionResetError):
            await fetch(lab, "chat.signal.org")
        head, _ = await fetch(lab, "www.google.com")
        assert head.startswith(b"HTTP/1.1 200")


async def test_two_labs_at_once_do_not_collide():
    async with LoopbackLab(KNOWN["clean"]) as one, LoopbackLab(KNOWN["reset"]) as other:
        assert one.targets_file != other.targets_file
        assert (await fetch(one, "chat.signal.org"))[0].startswith(b"HTTP/1.1 200")
        with pytest.raises(ConnectionResetError):
            await fetch(other, "chat.signal.org")
        assert one.targets_file.exists()


async def test_a_lab_that_ends_leaves_neither_files_nor_process():
    async with LoopbackLab(KNOWN["clean"]) as lab:
        folder = lab.targets_file.parent
        process = lab._process
        assert process is not None
    assert not folder.exists()
    assert process.returncode == 0


async def test_a_preset_that_a_proxy_cannot_show_is_refused_in_one_sentence():
    with pytest.raises(LabError, match="preset 'dns-tampering' needs netns"):
        LoopbackLab(KNOWN["dns-tampering"])


async def test_a_lab_whose_process_dies_at_the_start_says_so_and_leaves_nothing(
    monkeypatch, tmp_path
):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with pytest.raises(LabError, match="ended before it was ready"):
        async with LoopbackLab(KNOWN["clean"]):
            pass
    assert not list(tmp_path.iterdir())


OWNER = """
import asyncio, sys
from probe.lab import presets
from probe.lab.loopback import LoopbackLab

async def main():
    async with LoopbackLab(presets.load()["clean"]) as lab:
        print(lab._process.pid, lab.targets_file.parent, flush=True)
        await asyncio.sleep(60)

asyncio.run(main())
"""


async def start_owner(tmp_path):
    owner = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        OWNER,
        stdout=asyncio.subprocess.PIPE,
        env={**os.environ, "TMPDIR": str(tmp_path)},
    )
    assert owner.stdout is not None
    pid, folder = (await owner.stdout.readline()).decode().split()
    return owner, int(pid), Path(folder)


def is_running(pid):
    """A dead process that nobody has reaped counts as gone."""
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False


def gone(pid):
    end = time.monotonic() + 10.0
    while is_running(pid) and time.monotonic() < end:
        time.sleep(0.05)
    return not is_running(pid)


async def test_a_lab_whose_owner_is_killed_ends_and_the_next_one_removes_its_files(
    tmp_path, monkeypatch
):
    owner, pid, folder = await start_owner(tmp_path)
    owner.send_signal(signal.SIGKILL)
    await owner.wait()
    assert gone(pid)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    async with LoopbackLab(KNOWN["clean"]):
        assert not folder.exists()
    assert not list(tmp_path.iterdir())


async def test_a_lab_does_not_remove_the_files_of_one_that_lives(tmp_path, monkeypatch):
    owner, pid, folder = await start_owner(tmp_path)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    async with LoopbackLab(KNOWN["clean"]):
        assert (folder / "targets.toml").exists()
    owner.terminate()
    await owner.wait()
    assert gone(pid)


async def test_a_lab_whose_process_is_killed_is_still_taken_down(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    async with LoopbackLab(KNOWN["clean"]) as lab:
        assert lab._process is not None
        lab._process.kill()
        await lab._process.wait()
    assert not list(tmp_path.iterdir())
