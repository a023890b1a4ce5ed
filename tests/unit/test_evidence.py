"""Packets are kept beside their records where asked for, go where the run goes, and name nobody."""

import ipaddress
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner
from test_execute import Quiet, TwoPairs, options, served
from test_store import record

from probe.cli import cli
from probe.execute import execute
from probe.fetch.capture import CaptureError, check_rights
from probe.store import RunFile, packets_folder, read, recover, run_files

__all__ = ["served"]


def lacking() -> str:
    """Say why packets cannot be seen here; nothing when they can."""
    try:
        check_rights()
    except CaptureError as error:
        return str(error)
    return ""


needs_packets = [pytest.mark.root, pytest.mark.skipif(bool(lacking()), reason=lacking())]


@pytest.fixture
def kept(tmp_path: Path, served: dict[str, int]) -> Path:
    """A run file beside which packets were kept."""
    given = msgspec.structs.replace(options(tmp_path, served), packets=True)
    ended = execute(given, TwoPairs(), Quiet())
    assert ended.file is not None
    return ended.file


class TestWhereAllowed:
    """With the right to raw sockets."""

    pytestmark = needs_packets

    def test_every_fetch_has_a_capture_named_after_its_record(self, kept: Path) -> None:
        fetches = {r.id for r in read(kept).records if r.kind == "fetch"}
        assert {path.stem for path in packets_folder(kept).iterdir()} == fetches
        assert len(fetches) == 4

    def test_the_probes_own_address_never_reaches_the_disk(self, kept: Path) -> None:
        own = ipaddress.ip_address("127.0.0.1").packed
        for path in packets_folder(kept).iterdir():
            assert own not in path.read_bytes()

    def test_scapy_reads_a_capture_as_packets_with_the_server(self, kept: Path) -> None:
        utils = pytest.importorskip("scapy.utils", reason="scapy is not installed")
        inet = pytest.importorskip("scapy.layers.inet")
        for one in (r for r in read(kept).records if r.fetch):
            packets = utils.rdpcap(str(packets_folder(kept) / f"{one.id}.pcap"))
            ends = {frozenset((p[inet.IP].src, p[inet.IP].dst)) for p in packets}
            assert ends == {frozenset(("192.0.2.1", one.fetch.address))}
            assert packets[0][inet.TCP].flags == "S"


def test_nothing_is_kept_unless_asked_for(tmp_path: Path, served: dict[str, int]) -> None:
    execute(options(tmp_path, served), TwoPairs(), Quiet())
    assert list(tmp_path.rglob("*.pcap")) == []


def with_packets(data: Path, name: str) -> RunFile:
    run = RunFile(data, name)
    run.packets.mkdir()
    (run.packets / "id-0.pcap").write_bytes(b"packets")
    return run


def test_packets_go_where_their_run_goes(tmp_path: Path) -> None:
    with with_packets(tmp_path, "run") as run:
        run.append(record())
    assert (tmp_path / "new" / "run.packets" / "id-0.pcap").exists()
    assert list((tmp_path / "tmp").iterdir()) == []


def test_packets_of_a_run_without_records_are_removed(tmp_path: Path) -> None:
    with with_packets(tmp_path, "run"):
        pass
    assert list(tmp_path.glob("*/*")) == []


def test_packets_of_a_killed_probe_are_recovered_with_its_run(tmp_path: Path) -> None:
    run = with_packets(tmp_path, "run")
    run.append(record())
    run._file.close()  # as a kill does: the lock is gone, nothing was moved
    (path,) = recover(tmp_path)
    assert (packets_folder(path) / "id-0.pcap").exists()


def test_deleting_a_run_deletes_its_packets(tmp_path: Path) -> None:
    with with_packets(tmp_path, "run") as run:
        run.append(record())
    assert CliRunner().invoke(cli, ["rm", "run", "--data", str(tmp_path)]).exit_code == 0
    assert list(tmp_path.glob("*/*")) == []


def test_a_machine_that_may_not_see_packets_measures_nothing_and_says_why(tmp_path: Path) -> None:
    words = ["setpriv", "--bounding-set=-net_raw", "--inh-caps=-net_raw", sys.executable]
    words += ["-m", "probe.cli", "run", "--yes", "--pcap", "--data", str(tmp_path / "data")]
    try:
        done = subprocess.run(words, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        pytest.skip("this machine has no setpriv to drop a right with")
    if "setpriv" in done.stderr:
        pytest.skip(f"this machine's setpriv cannot drop a right: {done.stderr.strip()}")
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "--cap-add NET_RAW" in done.stderr
    assert run_files(tmp_path / "data") == []
