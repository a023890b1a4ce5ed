"""A line is asked for neutral hosts first, so that a dead or a fenced-in one is known as such."""

import socket
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from test_execute import Quiet, TwoPairs, options, served

from probe.execute import Options, execute
from probe.exits import Status
from probe.line_check import is_down, line_sentence
from probe.measurement import Measurement, NeutralHosts
from probe.services import Control
from probe.store import read

__all__ = ["served"]
SILENT = "generic_timeout_error"


@pytest.fixture
def mute() -> Iterator[tuple[str, int]]:
    """A host that takes connections and says nothing, as behind a filter of names."""
    with socket.create_server(("127.0.0.4", 0)) as server:
        yield server.getsockname()


def run(given: Options) -> tuple[Status, list[str], list[Measurement]]:
    emitter = Quiet()
    ended = execute(given, TwoPairs(), emitter)
    assert ended.file is not None
    return ended.status, emitter.said, list(read(ended.file).records)


def between_two_hosts(given: Options, *, abroad: tuple[str, int]) -> Options:
    """Add a neutral host in the country beside the one abroad, which is moved."""
    pages = given.targets.controls["pages"]
    post = msgspec.structs.replace(
        pages, name="Post", url="http://post.example/fast", scope="domestic"
    )
    controls: dict[str, Control] = {"pages": pages, "post": post}
    where = given.network.connect_to
    moved = {("post.example", 80): where["control.example", 80], ("control.example", 80): abroad}
    return msgspec.structs.replace(
        given,
        targets=msgspec.structs.replace(given.targets, controls=controls),
        network=msgspec.structs.replace(given.network, connect_to=where | moved),
    )


def test_where_only_domestic_hosts_answer_a_session_is_one_short_look(
    tmp_path: Path, served: dict[str, int], mute: tuple[str, int]
) -> None:
    given = between_two_hosts(options(tmp_path, served), abroad=mute)
    _, said, records = run(given)
    assert said == [line_sentence(NeutralHosts(domestic="ok", foreign=SILENT))]
    trials = [record for record in records if record.service != "line"]
    assert [(t.kind, t.round) for t in trials].count(("fetch", 0)) == 2
    assert {t.round for t in trials} == {0}
    assert all(t.neutral.only_domestic for t in trials)
    control = next(t for t in trials if t.kind == "fetch" and t.arm == "control")
    assert (control.failure, control.fetch and control.fetch.limit_s) == (SILENT, 3.5)


def test_a_whole_line_is_known_as_one_and_every_record_says_so(
    tmp_path: Path, served: dict[str, int]
) -> None:
    given = options(tmp_path, served)
    there = given.network.connect_to["control.example", 80]
    status, said, records = run(between_two_hosts(given, abroad=there))
    assert (status, said) == (Status.DONE, [])
    checks = [record for record in records if record.service == "line"]
    assert {(c.kind, c.failure) for c in checks} == {("reach", None)}
    assert all(c.reach and c.reach.answer_s for c in checks)
    found = {t.neutral for t in records if t.service != "line"}
    assert found == {NeutralHosts(domestic="ok", foreign="ok")}


@pytest.mark.parametrize(
    ("domestic", "foreign", "down", "only_domestic"),
    [
        (SILENT, SILENT, True, False),
        (None, SILENT, True, False),
        ("ok", SILENT, False, True),
        (SILENT, "ok", False, False),
        ("ok", "ok", False, False),
        ("ok", None, False, False),
        (None, None, False, False),
    ],
)
def test_what_the_neutral_hosts_say_of_the_line(
    domestic: str | None, foreign: str | None, *, down: bool, only_domestic: bool
) -> None:
    found = NeutralHosts(domestic=domestic, foreign=foreign)
    assert (is_down(found), found.only_domestic) == (down, only_domestic)
