"""The command line: quick help, sentences for mistakes, exit statuses of the contract."""

import json
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from probe.cli import cli
from probe.measurement import Measurement, Reach
from probe.store import RunFile

HEAVY = ("matplotlib", "duckdb", "scipy", "numpy", "scapy", "aiohttp", "rich", "asyncio")


def probe(*words: str, **environ: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "probe", *words],
        capture_output=True,
        text=True,
        check=False,
        env={"PATH": "/usr/bin:/bin", **environ},
        stdin=subprocess.DEVNULL,
    )


def store_run(data: Path, name: str) -> None:
    with RunFile(data, name) as run:
        run.append(
            Measurement(
                id="id",
                run=name,
                session="session",
                round=0,
                arm="control",
                start=datetime(2026, 11, 21, 12, tzinfo=UTC),
                service="line",
                kind="reach",
                endpoint="192.0.2.1:443",
                reach=Reach(address="192.0.2.1", port=443),
            )
        )


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys; from click.testing import CliRunner; from probe.cli import cli; "
        "assert CliRunner().invoke(cli, ['--help']).exit_code == 0; "
        f"print([name for name in {HEAVY} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_help_lists_every_command_of_the_contract() -> None:
    help_text = CliRunner().invoke(cli, ["--help"]).output
    for command in (
        *("run", "demo", "targets", "list", "show", "export", "rm"),
        *("call", "consent", "health", "doctor", "serve", "lab"),
    ):
        assert f"\n  {command} " in help_text


def test_every_command_has_its_own_help() -> None:
    for command in cli.list_commands(None):  # type: ignore[arg-type]
        result = CliRunner().invoke(cli, [command, "--help"])
        assert result.exit_code == 0, result.output
        assert "Usage:" in result.output


def test_no_run_without_consent(tmp_path: Path) -> None:
    done = probe("run", HOME=str(tmp_path))
    assert done.returncode == 2
    assert "consent" in done.stderr
    assert done.stdout == ""
    assert list(tmp_path.rglob("*.jsonl")) == []


@pytest.mark.parametrize(
    ("words", "part"),
    [
        (("run", "--yes", "--only", "twiter"), "did you mean 'twitter'?"),
        (("run", "--yes", "--kinds", "fetsh"), "did you mean 'fetch'?"),
        (("run", "--yes", "--budget", "much"), "expected a size such as 50MB"),
        (("run", "--yes", "--every", "often"), "expected a span such as 6h"),
        (("run", "--yes", "--connect-to", "nonsense"), "nonsense"),
        (("run", "--yes", "--far-end", "far.example"), "found 'far.example', expected a URL"),
        (("run", "--yes", "--only", ","), "expected at least one name"),
        (("run", "--yes", "--targets", "/nowhere/targets.toml"), "/nowhere/targets.toml"),
        (("run", "--yes", "--only", "vk", "--kinds", "call"), "nothing to measure"),
        (("rum",), "rum"),
        (("show", "nothing"), "expected one"),
    ],
)
def test_a_mistake_is_one_sentence_and_status_2(
    words: tuple[str, ...], part: str, tmp_path: Path
) -> None:
    done = probe(*words, HOME=str(tmp_path), PROBE_DATA=str(tmp_path / "data"))
    assert done.returncode == 2
    assert part in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


def test_a_dry_run_names_hosts_and_cost_and_contacts_nobody(tmp_path: Path) -> None:
    done = probe("run", "--dry-run", "--only", "twitter", HOME=str(tmp_path))
    assert done.returncode == 0
    hosts = done.stdout.split()
    assert "abs.twimg.com:443" in hosts
    assert "speedtest.selectel.ru:443" in hosts, "the line check"
    assert "stun.l.google.com:19302/udp" in hosts, "the vantage"
    assert "MB" in done.stdout


def test_options_are_environment_variables_too(tmp_path: Path) -> None:
    done = probe("run", PROBE_DRY_RUN="1", PROBE_ONLY="twitter", HOME=str(tmp_path))
    assert done.returncode == 0
    assert "1 service, " in done.stdout


def test_past_runs_are_listed_exported_and_deleted(tmp_path: Path) -> None:
    store_run(tmp_path, "0190-run")
    data = ["--data", str(tmp_path)]
    runner = CliRunner()
    assert "0190-run  2026-11-21 12:00" in runner.invoke(cli, ["list", *data]).output
    exported = probe("export", "0190", *data).stdout
    assert json.loads(exported)["service"] == "line"
    assert runner.invoke(cli, ["rm", "0190", *data]).exit_code == 0
    assert list((tmp_path / "new").iterdir()) == []


def test_health_is_bad_without_runs_and_good_after_one(tmp_path: Path) -> None:
    assert probe("health", "--data", str(tmp_path)).returncode == 1
    store_run(tmp_path, "run")
    assert probe("health", "--data", str(tmp_path)).returncode == 0


def test_consent_is_recorded_and_taken_back(tmp_path: Path) -> None:
    home = {"HOME": str(tmp_path)}
    assert probe("consent", "--yes", **home).returncode == 0
    assert "You agreed on" in probe("consent", **home).stdout
    assert "withdrawn" in probe("consent", "--withdraw", **home).stdout
    assert probe("run", **home).returncode == 2


def test_the_doctor_names_what_a_machine_lacks(tmp_path: Path) -> None:
    done = probe("doctor", "--data", str(tmp_path), HOME=str(tmp_path))
    assert done.returncode == 0
    assert "results folder" in done.stdout


def test_a_fault_is_a_sentence_and_a_traceback_only_with_debug() -> None:
    script = (
        "import probe.cli as c; import probe.commands.runs as r; "
        "r.run_files = lambda data: 1 / 0; c.main()"
    )
    for words, shown in (
        (["list"], False),
        (["--debug", "list"], True),
        (["list", "--debug"], True),
    ):
        done = subprocess.run(
            [sys.executable, "-c", script, *words], capture_output=True, text=True, check=False
        )
        assert done.returncode == 1
        assert ("Traceback" in done.stderr) is shown


def test_every_command_takes_debug() -> None:
    def leaves(command: click.Command) -> Iterator[click.Command]:
        yield command
        if isinstance(command, click.Group):
            for name in command.list_commands(click.Context(command)):
                inner = command.get_command(click.Context(command), name)
                assert inner is not None
                yield from leaves(inner)

    for command in leaves(cli):
        assert [p.name for p in command.params].count("debug") == 1, command.name


@pytest.mark.parametrize("words", [["-q", "run"], ["run", "-q"], ["--quiet", "run"]])
def test_quiet_may_stand_before_the_command_or_behind(words: list[str], tmp_path: Path) -> None:
    source = (Path(__file__).parents[2] / "configs" / "targets.toml").read_text()
    old = tmp_path / "targets.toml"
    old.write_text(
        source.replace("reviewed = 20", "reviewed = 19").replace("expires = 20", "expires = 19")
    )
    rest = ["--dry-run", "--targets", str(old)]
    home = {"HOME": str(tmp_path)}
    assert "Warning" in probe("run", *rest, **home).stderr
    assert probe(*words, *rest, **home).stderr == ""


def test_an_interrupt_before_anything_is_imported_is_one_line_too(tmp_path: Path) -> None:
    (tmp_path / "click.py").write_text("raise KeyboardInterrupt")
    done = probe("run", PYTHONPATH=str(tmp_path))
    assert (done.returncode, done.stderr) == (130, "probe: interrupted\n")


def test_a_judge_that_is_prepared_loads_nothing_more_while_it_is_asked() -> None:
    asked = """
import sys
from probe.cli import Judging
judge = Judging()
judge.prepare()
before = {name for name in sys.modules if name.split(".")[0] in ("analysis", "numpy")}
judge.enough([]), judge.settled(1000, 1.0, 1e6, 10_000)
after = {name for name in sys.modules if name.split(".")[0] in ("analysis", "numpy")}
print(sorted(after - before))
"""
    done = subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
