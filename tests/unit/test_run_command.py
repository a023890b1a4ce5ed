"""``probe run``: what it announces, and the exit status a script sees."""

from collections.abc import Sequence
from pathlib import Path

import click
import msgspec
import pytest
from plans import plan_of, targets
from test_execute import SIZE, TwoPairs, served

from probe.bench import Conclusion
from probe.commands.run import run
from probe.exits import Status
from probe.measurement import Measurement
from probe.ui import cost

__all__ = ["served"]
TARGETS = """
version = 1
reviewed = 2026-11-21
expires = 2099-01-01

[controls.pages]
name = "Pages"
url = "http://control.example/fast"
min_bytes = {size}
scope = "foreign"
source = "s"

[services.twitter]
name = "Twitter"
group = "social"
controls = ["pages"]

[[services.twitter.fetch]]
url = "http://target.example/fast"
min_bytes = {size}
source = "s"

[[services.twitter.reach]]
address = "target.example:80"
"""


class Alarmed(TwoPairs):
    """A judge that finds something in whatever it hears."""

    def conclude(self, sessions: Sequence[Sequence[Measurement]]) -> Conclusion:
        return msgspec.structs.replace(super().conclude(sessions), found=True)


@pytest.fixture
def words(tmp_path: Path, served: dict[str, int], monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What to type for a run against the two hosts on loopback."""
    for name, value in (("CONSENT", "yes"), ("COUNTRY", "ZZ"), ("ASN", "0")):
        monkeypatch.setenv(f"PROBE_{name}", value)
    file = tmp_path / "targets.toml"
    file.write_text(TARGETS.format(size=SIZE))
    hosts = {"target": "127.0.0.2", "control": "127.0.0.3"}
    there = (f"{name}.example:80={hosts[name]}:{port}" for name, port in served.items())
    return [
        *("--targets", str(file), "--data", str(tmp_path / "data"), "--kinds", "fetch,reach"),
        *("--connect-to", ",".join(there)),
    ]


def status_of(words: list[str], judge: TwoPairs) -> int:
    found = run.main(words, standalone_mode=False, obj=judge)
    assert isinstance(found, int)
    return found


@pytest.mark.parametrize(
    ("budget", "judge", "status"),
    [
        ("50MB", TwoPairs(), Status.DONE),
        ("50MB", Alarmed(), Status.FINDING),
        ("100kB", TwoPairs(), Status.PARTIAL),
        ("100kB", Alarmed(), Status.FINDING),
    ],
)
def test_a_script_hears_of_a_finding_before_it_hears_of_a_gap(
    words: list[str], budget: str, judge: TwoPairs, status: Status
) -> None:
    assert status_of([*words, "--exit-on-finding", "--budget", budget], judge) == status


def test_with_a_finding_the_runs_end_where_a_script_waits_for_one(words: list[str]) -> None:
    assert status_of([*words, "--exit-on-finding", "--every", "6h"], Alarmed()) == Status.FINDING


def test_unless_asked_for_a_finding_is_no_status(words: list[str]) -> None:
    assert status_of(words, Alarmed()) == Status.DONE


@pytest.mark.parametrize(
    ("left_bytes", "said"),
    [
        (50_000_000, "1 service, about 4 MB and 1 minute"),
        (1_000_000, "1 service, about 1 MB (the budget; usually 4 MB) and 1 minute"),
        (300_000, "1 service, about 300 kB (the budget; usually 4 MB) and 1 minute"),
        (-5, "1 service, about 0 kB (the budget; usually 4 MB) and 1 minute"),
    ],
)
def test_the_cost_is_what_the_budget_leaves(left_bytes: int, said: str) -> None:
    assert cost(plan_of(targets(), kinds=("fetch",)), left_bytes) == said


def test_a_dry_run_counts_with_the_budget(
    words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert status_of([*words, "--dry-run", "--budget", "100kB"], TwoPairs()) == Status.DONE
    assert "about 100 kB (the budget; usually 2 MB)" in click.unstyle(capsys.readouterr().out)
