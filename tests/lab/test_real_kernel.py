"""The probe as a volunteer runs it, in a street made of Debian's own parts.

What is asserted is what a person reads, and what the servers saw.
"""

import json
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import pytest
import real_world

pytestmark = [pytest.mark.root, pytest.mark.slow, pytest.mark.timeout(600)]

PROBE = str(Path(sys.executable).with_name("probe"))
WEB = {
    "abs.twimg.com": "203.0.113.10",
    "www.youtube.com": "203.0.113.11",
    "static.xx.fbcdn.net": "203.0.113.12",
    "github.githubassets.com": "203.0.113.13",
    "yastatic.net": "203.0.113.14",
}
RELAYS = {
    "relay-1.telegram.example": "203.0.113.21",
    "relay-2.telegram.example": "203.0.113.22",
    "stun-1.neutral.example": "203.0.113.23",
    "stun-2.neutral.example": "203.0.113.24",
}
TARGETS = """\
version = 1
reviewed = 2026-11-21
expires = 2099-12-31

[controls.github]
name = "GitHub"
url = "https://github.githubassets.com/file.bin"
scope = "foreign"
source = "the street"

[controls.yandex]
name = "Yandex"
url = "https://yastatic.net/file.bin"
scope = "domestic"
source = "the street"

[controls.stun_1]
name = "A STUN server"
relay = "stun://stun-1.neutral.example:3478"
scope = "foreign"
source = "the street"

[controls.stun_2]
name = "Another STUN server"
relay = "stun://stun-2.neutral.example:3478"
scope = "foreign"
source = "the street"

[services.twitter]
name = "Twitter"
group = "social"
controls = ["github"]
[[services.twitter.fetch]]
url = "https://abs.twimg.com/file.bin"
source = "the street"

[services.youtube]
name = "YouTube"
group = "video"
controls = ["github"]
[[services.youtube.fetch]]
url = "https://www.youtube.com/file.bin"
source = "the street"

[services.facebook]
name = "Facebook"
group = "social"
controls = ["github"]
[[services.facebook.fetch]]
url = "https://static.xx.fbcdn.net/file.bin"
http = ["h2"]
source = "the street"

[services.telegram]
name = "Telegram"
group = "messenger"
controls = ["stun_1", "stun_2"]
[[services.telegram.call]]
profile = "voip-60"
relays = ["stun://relay-1.telegram.example:3478", "stun://relay-2.telegram.example:3478"]
source = "the street"
"""
# About what was measured in Russia in 2021.
POLICED_KBYTES_PER_S = 16
# The kernel's "kbytes" are of 1024 bytes, counted at the IP layer.
POLICED_BPS = 8 * 1024 * POLICED_KBYTES_PER_S


class Measured(NamedTuple):
    """A run that has ended: what it said, what it stored, what the servers logged."""

    ran: subprocess.CompletedProcess[str]
    findings: dict[tuple[str, str], dict]
    stored: str
    connections: list[real_world.Connection]
    crowding: int


def measure(street: real_world.Street, data: Path) -> subprocess.CompletedProcess[str]:
    targets = street.folder / "targets.toml"
    targets.write_text(TARGETS)
    command = (PROBE, "run", "--targets", str(targets), "--data", str(data), "--json", "--yes")
    return street.home(*command, environ={"PROBE_ALLOW_BOGONS": "1"}, timeout_s=500)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if reason := real_world.missing():
        pytest.skip(reason)
    return tmp_path_factory.mktemp("street")


@pytest.fixture(scope="module")
def measured(folder: Path) -> Measured:
    data = folder / "data"
    (folder / "policed").mkdir()
    with real_world.street(folder / "policed", WEB, RELAYS) as street:
        street.police("abs.twimg.com", POLICED_KBYTES_PER_S, burst_kbytes=16)
        street.count_crowding()
        ran = measure(street, data)
        crowding = street.crowding()
        connections = street.connections()
    findings = [json.loads(line) for line in ran.stdout.splitlines()]
    return Measured(
        ran,
        {(finding["service"], finding["kind"]): finding for finding in findings},
        "".join(path.read_text() for path in data.rglob("*") if path.is_file()),
        connections,
        crowding,
    )


def test_a_run_gives_one_line_of_json_per_service_and_kind_and_exits_0(measured):
    assert measured.ran.returncode == 0, measured.ran.stderr
    assert set(measured.findings) == {
        ("twitter", "fetch"),
        ("youtube", "fetch"),
        ("facebook", "fetch"),
        ("telegram", "call"),
    }


def test_the_policed_name_is_throttled_at_about_the_policers_rate(measured):
    twitter = measured.findings["twitter", "fetch"]

    assert twitter["verdict"] == "throttled", twitter["why"]
    assert twitter["mechanism"] == "policed", twitter["why"]
    assert twitter["rate_bps"]["value"] == pytest.approx(POLICED_BPS, rel=0.15)
    assert twitter["slowdown"]["value"] > 20


@pytest.mark.parametrize(
    ("service", "kind"), [("youtube", "fetch"), ("facebook", "fetch"), ("telegram", "call")]
)
def test_what_nobody_polices_is_normal(measured, service, kind):
    finding = measured.findings[service, kind]

    assert finding["verdict"] == "normal", finding["why"]


def test_no_server_ever_saw_more_than_two_connections_at_once(measured):
    assert measured.crowding == 0


def test_visits_to_a_server_are_a_second_apart(measured):
    by_address = defaultdict(list)
    for connection in measured.connections:
        by_address[connection.address].append(connection)

    assert set(by_address) == set(WEB.values())
    for here in by_address.values():
        here.sort(key=lambda connection: connection.opened_s)
        pauses_s = [later.opened_s - earlier.closed_s for earlier, later in pairwise(here)]
        # Two connections of one visit overlap; nginx counts from the end of the handshake.
        assert all(pause_s < 0 or pause_s > 0.9 for pause_s in pauses_s), here


def test_the_homes_address_is_in_no_file_of_the_run(measured):
    assert '"abs.twimg.com"' in measured.stored
    assert real_world.HOME not in measured.stored


@pytest.fixture
def cut(folder: Path) -> Iterator[real_world.Street]:
    (folder / "cut").mkdir()
    with real_world.street(folder / "cut", WEB, {}) as street:
        street.cut()
        yield street


def test_a_line_that_is_cut_is_said_kept_as_a_record_and_exits_3(cut, folder):
    data = folder / "cut-data"
    ran = measure(cut, data)

    assert ran.returncode == 3, ran.stdout + ran.stderr
    assert ran.stdout == ""
    assert ran.stderr.startswith("The line is down: "), ran.stderr
    (run_file,) = data.glob("new/*.jsonl")
    assert '"service":"line"' in run_file.read_text()


def test_nothing_of_a_street_is_left_when_it_ends(folder):
    (folder / "gone").mkdir()
    with real_world.street(folder / "gone", WEB, RELAYS) as street:
        name = street.name
        assert name in real_world.tool("ip", "netns", "list")

    assert name not in real_world.tool("ip", "netns", "list")
    assert not list(Path("/etc/netns").glob(f"{name}*"))
