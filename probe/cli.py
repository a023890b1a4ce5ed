"""The ``probe`` command: the one place that knows both the probe and the analysis.

Commands are imported when used, so that ``probe --help`` answers at once. The judge of the
analysis is handed to the run from here; nothing else of the probe knows it.
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from probe import __version__
from probe.exits import CommandError, Status
from probe.measurement import SCHEMA_VERSION, Measurement

if TYPE_CHECKING:
    from probe.bench import Conclusion

_DEBUG: Final = "PROBE_DEBUG"
#: Name, module and attribute, and the line shown in the help.
_COMMANDS: Final = {
    "run": ("probe.commands.run:run", "Measure the services of a targets file."),
    "demo": ("probe.commands.demo:demo", "Show the whole way once, in an emulated censor."),
    "call": ("probe.commands.call:call", "Call another volunteer who has the same code."),
    "targets": ("probe.commands.targets:targets", "Check or list a targets file."),
    "list": ("probe.commands.runs:list_runs", "List past runs."),
    "show": ("probe.commands.runs:show", "Show what a past run found."),
    "export": ("probe.commands.runs:export", "Write a past run's records to standard output."),
    "rm": ("probe.commands.runs:remove", "Delete a past run."),
    "consent": ("probe.commands.consent:consent", "Read, give or withdraw consent."),
    "health": ("probe.commands.health:health", "Say whether runs keep coming."),
    "doctor": ("probe.commands.doctor:doctor", "Say what this machine can measure."),
    "serve": ("probe.commands.serve:serve", "Be a far end."),
    "lab": ("probe.lab.commands:lab", "Run a command behind an emulated censor."),
}


class _Lazy(click.Group):
    """A group whose commands are imported when they are called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Keep the order of the table."""
        del ctx
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import one command."""
        del ctx
        if cmd_name not in _COMMANDS:
            return None
        module, _, attribute = _COMMANDS[cmd_name][0].partition(":")
        command = getattr(importlib.import_module(module), attribute)
        assert isinstance(command, click.Command)
        _let_debug(command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands without importing them."""
        del ctx
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in _COMMANDS.items()])


class Judging:
    """The analysis, as far as a live run needs it; imported on first use."""

    def prepare(self) -> None:
        """Import it now: later it would hold up what is being timed."""
        import analysis.merge  # noqa: PLC0415 - numpy is not wanted by --help
        import analysis.verdict  # noqa: PLC0415 - as above
        import analysis.wording  # noqa: F401, PLC0415 - as above

    def enough(self, trials: Sequence[Measurement]) -> bool:
        """Say whether another pair can no longer change the answer."""
        from analysis.verdict import advise  # noqa: PLC0415 - numpy is not wanted by --help

        return advise(trials).stop

    def want(self, trials: Sequence[Measurement]) -> str | None:
        """Name the trial that would settle how a service is slowed."""
        from analysis.verdict import advise  # noqa: PLC0415 - as above

        return advise(trials).want

    def suspects(self, trials: Sequence[Measurement]) -> bool:
        """Say whether a session found something that another control should confirm."""
        from analysis.verdict import judge  # noqa: PLC0415 - as above
        from analysis.wording import FOUND  # noqa: PLC0415 - as above

        return judge(trials).verdict in FOUND

    def settled(self, size_bytes: int, t_s: float, control_bps: float, total_bytes: int) -> bool:
        """Say whether a running target fetch can no longer change its pair's evidence."""
        from analysis.sequential import settled  # noqa: PLC0415 - as above

        return settled(size_bytes, t_s, control_bps, total_bytes)

    def conclude(self, sessions: Sequence[Sequence[Measurement]]) -> Conclusion:
        """Judge the sessions of one service and kind together, and word it."""
        from analysis.finding import to_json  # noqa: PLC0415 - as above
        from analysis.merge import merge_cell  # noqa: PLC0415 - as above
        from analysis.verdict import judge  # noqa: PLC0415 - as above
        from analysis.wording import describe  # noqa: PLC0415 - as above
        from probe.bench import Conclusion  # noqa: PLC0415 - as above

        finding = merge_cell([judge(trials) for trials in sessions])
        words = describe(finding, [trial for trials in sessions for trial in trials])
        return Conclusion(
            service=finding.service,
            kind=finding.kind,
            figures=words.figures,
            word=words.word,
            detail=words.detail,
            json_line=to_json(finding).decode(),
            found=words.found,
        )

    def report(self, data: Path, folder: Path) -> int:
        """Write the report on a data folder and print where its page is."""
        from analysis.cli import run  # noqa: PLC0415 - as above

        return run(["report", str(data), "-o", str(folder)])


def _debug(context: click.Context, option: click.Parameter, value: bool) -> None:
    del context, option
    if value:
        os.environ[_DEBUG] = "1"


_debug_option: Final = click.Option(
    ["--debug"],
    is_flag=True,
    expose_value=False,
    callback=_debug,
    envvar=_DEBUG,
    help="Show a traceback for a fault.",
)


def _let_debug(command: click.Command) -> None:
    """Take --debug behind a command too, where people type it."""
    if isinstance(command, click.Group):
        for inner in command.commands.values():
            _let_debug(inner)
    if _debug_option not in command.params:
        command.params.append(_debug_option)


@click.group(
    cls=_Lazy,
    params=[_debug_option],
    context_settings={"auto_envvar_prefix": "PROBE", "help_option_names": ["-h", "--help"]},
)
@click.version_option(__version__, message=f"throttle-probe {__version__}, schema {SCHEMA_VERSION}")
@click.option("--quiet", "-q", is_flag=True, help="As run --quiet.")
@click.option("--verbose", "-v", is_flag=True, help="As run --verbose.")
@click.pass_context
def cli(context: click.Context, /, **manner: bool) -> None:
    """Measure whether services are slowed and calls spoiled on this line.

    Results go to standard output, messages to standard error. Exit status: 0 done, 1 the work
    failed, 2 bad usage or configuration, 3 the line is down, 4 only part was measured,
    5 a finding (with --exit-on-finding), 130 interrupted.
    """
    context.obj = Judging()
    context.default_map = {"run": manner}


def main() -> None:
    """Run the command line: one sentence for what went wrong, a traceback only with --debug."""
    try:
        sys.exit(cli.main(standalone_mode=False))
    except click.exceptions.Abort:
        click.echo("probe: interrupted", err=True)
        sys.exit(Status.INTERRUPTED)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except CommandError as error:
        click.echo(f"probe: {error}", err=True)
        sys.exit(error.status)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # the reader has left
        sys.exit(Status.DONE)
    except Exception as error:  # the last place where a fault can become a sentence
        if os.environ.get(_DEBUG):
            raise
        fault = f"{type(error).__name__}: {error}"
        click.echo(
            f"probe: found a fault in the program ({fault}), expected none; what was measured is "
            "kept. Run it again with --debug and report what it prints",
            err=True,
        )
        sys.exit(Status.FAILED)


if __name__ == "__main__":
    main()
