"""What a session tries once it knows that a target is slow but not how, against real servers."""

from collections import Counter
from pathlib import Path

from test_execute import Objects, Quiet, TwoPairs, options, served

from analysis.pairs import pair_up
from probe.execute import execute
from probe.measurement import Measurement
from probe.store import read

__all__ = ["served"]


class Wanting(TwoPairs):
    """A judge that never has enough of one thing."""

    def __init__(self, thing: str) -> None:
        self._thing = thing

    def want(self, _: object) -> str:  # type: ignore[override]  # a name where the other has none
        return self._thing


def answer_head(self: Objects) -> None:
    """Answer a HEAD, as every server does that serves pages."""
    self.send_response(200)
    self.end_headers()


def trials_of(judge: TwoPairs, data: Path, ports: dict[str, int]) -> list[Measurement]:
    ended = execute(options(data, ports), judge, Quiet())
    assert ended.file is not None
    return [r for r in read(ended.file).records if r.kind == "fetch"]


def test_freeze_tests_are_made_twice_in_both_arms_and_once_only(
    tmp_path: Path, served: dict[str, int], monkeypatch
) -> None:
    monkeypatch.setattr(Objects, "do_HEAD", answer_head, raising=False)
    monkeypatch.setattr(Objects, "protocol_version", "HTTP/1.1")
    trials = trials_of(Wanting("freeze"), tmp_path, served)
    tests = [t for t in trials if t.fetch and t.fetch.test != "plain"]
    assert Counter((t.fetch.test, t.arm) for t in tests if t.fetch) == {
        (test, arm): 2
        for test in ("freeze_bytes", "freeze_packets")
        for arm in ("target", "control")
    }
    assert {t.round for t in tests} == {2}
    assert all(t.failure is None and t.fetch and t.fetch.method == "HEAD" for t in tests)
    assert [pair.target.round for pair in pair_up(trials)] == [0, 1]


def test_a_longer_pair_is_made_once(tmp_path: Path, served: dict[str, int]) -> None:
    trials = trials_of(Wanting("longer"), tmp_path, served)
    assert [t.round for t in trials] == [0, 0, 1, 1, 2, 2]
    assert [t.fetch.limit_s for t in trials if t.fetch][-2:] == [60.0, 60.0]


def test_parallel_transfers_keep_to_two_connections_an_address(
    tmp_path: Path, served: dict[str, int]
) -> None:
    trials = trials_of(Wanting("parallel"), tmp_path, served)
    assert [t.fetch.parallel for t in trials if t.fetch and t.round == 2] == [2, 2]
