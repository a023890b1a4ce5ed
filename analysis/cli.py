"""The ``analysis`` command line: names, options and exit statuses. The work is in ``commands``.

Each command's module is imported when it runs, so that ``--help`` answers at once.
"""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Callable, Sequence
from difflib import get_close_matches
from importlib import import_module
from pathlib import Path
from typing import Any, Final, TypeVar

import click

from analysis.errors import AnalysisError

DONE: Final = 0
FAILED: Final = 1
BAD_USAGE: Final = 2
INTERRUPTED: Final = 130

#: The plots of :data:`analysis.plots.KINDS` and the formats of :data:`analysis.importers.FORMATS`.
PLOTS: Final = ("goodput", "timeline", "loss", "areas", "rates", "days")
FORMATS: Final = ("runs", "ooni", "ndt7", "twitter2021")
ENGINES: Final = ("loopback", "netns")
PLOT_FILES: Final = (".svg", ".png", ".pdf")

_Command = TypeVar("_Command", bound=Callable[..., Any])


class Word(click.ParamType[str]):
    """One of a few words; a near miss is told what was probably meant."""

    name = "word"

    def __init__(self, words: Sequence[str]) -> None:
        self._words = words

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return the word, or end the command with the words there are."""
        if value not in self._words:
            self.fail(self._refusal(str(value)), param, ctx)
        return str(value)

    def _refusal(self, value: str) -> str:
        close = get_close_matches(value, self._words, n=1)
        hint = f"; did you mean {close[0]}?" if close else ""
        return f"found {value!r}, expected one of {', '.join(self._words)}{hint}"


def option(*names: str, **settings: Any) -> Callable[[_Command], _Command]:
    """Declare an option that is also read from ``ANALYSIS_NAME`` and ``PROBE_NAME``."""
    long = next(name for name in names if name.startswith("--"))
    word = long.removeprefix("--").replace("-", "_").upper()
    return click.option(*names, envvar=[f"ANALYSIS_{word}", f"PROBE_{word}"], **settings)


def common(command: _Command) -> _Command:
    """Add the options every command has."""
    for add in (
        option("--debug", is_flag=True, help="Show a traceback when something goes wrong."),
        option("-v", "--verbose", is_flag=True, help="Say more."),
        option("-q", "--quiet", is_flag=True, help="Say nothing but results and errors."),
    ):
        command = add(command)
    return command


def folder(text: str, default: Path | None = None) -> Callable[[_Command], _Command]:
    """Add ``-o`` for a folder that is written to."""
    kind = click.Path(path_type=Path, file_okay=False)
    return option(
        "-o",
        "--output",
        required=default is None,
        default=default,
        show_default=True,
        type=kind,
        help=text,
    )


DATA = click.argument("data", nargs=-1, required=True)
EXIT_ON_FINDING = option(
    "--exit-on-finding",
    is_flag=True,
    help="Exit with status 5 when a service is throttled, blocked or has its calls degraded.",
)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="throttle-probe", prog_name="analysis")
def cli() -> None:
    """Judge stored measurements: what is slowed, how, since when, and how sure that is.

    DATA is a probe's data folder, one of its run files, or a dataset made by "analysis import";
    name as many as you like. Results go to stdout, messages to stderr. Every option can also be
    set in the environment, as ANALYSIS_NAME or PROBE_NAME.
    """


@cli.command()
@DATA
@option("--json", "as_json", is_flag=True, help="One JSON object a line, with every field.")
@EXIT_ON_FINDING
@common
def detect(data: Sequence[str], as_json: bool, exit_on_finding: bool, **said: bool) -> int:
    """Print the findings: one line a service, kind and network."""
    return _run("detect", said, data, as_json=as_json, exit_on_finding=exit_on_finding)


@cli.command()
@DATA
@folder("The report's folder; made if missing.", Path("report"))
@EXIT_ON_FINDING
@common
def report(data: Sequence[str], output: Path, exit_on_finding: bool, **said: bool) -> int:
    """Write a self-contained HTML report with plots."""
    return _run("report", said, data, output, exit_on_finding=exit_on_finding)


@cli.command(epilog=f"KIND is one of {', '.join(PLOTS)}.")
@click.argument("kind", type=Word(PLOTS))
@DATA
@option(
    "-o",
    "--output",
    required=True,
    type=click.Path(path_type=Path, dir_okay=False),
    help=f"The file: {', '.join(PLOT_FILES)}.",
)
@option("--service", default=None, help="Which service, where the data hold several.")
@common
def plot(kind: str, data: Sequence[str], output: Path, service: str | None, **said: bool) -> int:
    """Draw one plot into a file."""
    if output.suffix not in PLOT_FILES:
        raise click.UsageError(
            f"found the file {output.name}, expected a name that ends in {', '.join(PLOT_FILES)}"
        )
    return _run("plot", said, kind, data, output, service)


@cli.command("import", epilog=f"FORMAT is one of {', '.join(FORMATS)}.")
@click.argument("format_name", metavar="FORMAT", type=Word(FORMATS))
@click.argument(
    "paths", metavar="PATH...", nargs=-1, required=True, type=click.Path(path_type=Path)
)
@folder("The dataset's folder; made if missing, added to if there.")
@common
def import_(format_name: str, paths: Sequence[Path], output: Path, **said: bool) -> int:
    """Read files of a FORMAT into a dataset; what it holds already is not read again."""
    return _run("import_data", said, format_name, paths, output)


@cli.group()
def export() -> None:
    """Write records in another project's format."""


@export.command("ooni")
@DATA
@option(
    "-o",
    "--output",
    required=True,
    type=click.Path(path_type=Path, dir_okay=False),
    help="The file: a JSON object a line.",
)
@common
def export_ooni(data: Sequence[str], output: Path, **said: bool) -> int:
    """Write fetches as OONI measurements, bytes sampled on OONI's memoryless clock."""
    return _run("export", said, data, output)


@cli.group()
def evaluate() -> None:
    """Measure how often the analysis is right, on data whose truth is known."""


@evaluate.command("lab")
@option("--quick", is_flag=True, help="One run of each preset, on the engines in turn.")
@option(
    "--runs", type=click.IntRange(min=1), default=200, show_default=True, help="Of each preset."
)
@option(
    "--jobs",
    type=click.IntRange(min=1),
    # They mostly wait: each takes a twentieth of a processor.
    default=4 * (os.cpu_count() or 1),
    show_default="4 a processor",
    help="Labs at once.",
)
@option("--only", default="", metavar="PRESET,..", help="Only these presets.")
@option("--engine", type=Word(ENGINES), default=None, help="loopback or netns instead of both.")
@option(
    "--presets",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help='Presets of your own, or from "probe lab vary".  [default: those of the program]',
)
@option("--title", default="Behind the emulated censor", help="Of the section that is printed.")
@option("--first-seed", type=int, default=None, help="Of the runs.  [default: one never tuned on]")
@option(
    "-o",
    "--output",
    type=click.Path(path_type=Path, file_okay=False),
    help="Keep the records here; what is here already, and counts, is not run again.",
)
@option(
    "--from",
    "kept",
    type=click.Path(path_type=Path, file_okay=False, exists=True),
    help="Judge the records that -o kept, and run nothing.",
)
@option("--json", "as_json", is_flag=True, help="One JSON object a line, with every field.")
@common
def evaluate_lab(quiet: bool, verbose: bool, debug: bool, **given: Any) -> int:
    """Run the probe behind emulated censors, and compare what it finds with what there was."""
    said = {"quiet": quiet, "verbose": verbose, "debug": debug}
    return _run("evaluate_lab", said, **given)


@evaluate.command("twitter2021")
@click.argument("path", type=click.Path(path_type=Path))
@option("--write", type=click.Path(path_type=Path, dir_okay=False), help="Write the case study.")
@common
def evaluate_twitter2021(path: Path, write: Path | None, **said: bool) -> int:
    """Use real tests from Russia, 2021: PATH is the CSV or a folder of its daily files."""
    return _run("evaluate", said, path, write, function="twitter2021")


@evaluate.command("captures")
@click.argument("folder", type=click.Path(path_type=Path))
@common
def evaluate_captures(folder: Path, **said: bool) -> int:
    """Use labelled packet captures: FOLDER holds them and labels.csv."""
    return _run("evaluate", said, folder, function="captures")


@evaluate.command("simulated")
@common
def evaluate_simulated(**said: bool) -> int:
    """Use simulated sessions, calls and fleets of probes; takes some minutes."""
    return _run("evaluate", said, function="simulated")


def main() -> None:
    """Run the command line and exit with the status of the contract."""
    sys.exit(run(sys.argv[1:]))


def run(arguments: Sequence[str]) -> int:
    """Run the command line.

    Args:
        arguments: without the program's name.

    Returns:
        The exit status.
    """
    debug = "--debug" in arguments
    try:
        status = cli.main(args=list(arguments), prog_name="analysis", standalone_mode=False)
    except click.ClickException as error:
        error.show()
        return BAD_USAGE
    except (KeyboardInterrupt, click.Abort):
        click.echo("interrupted", err=True)
        return INTERRUPTED
    except AnalysisError as error:
        return _fail(str(error), error.exit_status, debug=debug)
    except BrokenPipeError:
        # The reader of our output has heard enough, as in ``analysis detect DATA | head``.
        sys.stdout = None  # nothing may flush into the closed pipe
        return DONE
    except Exception as error:  # noqa: BLE001  # the last resort is a sentence, not a traceback
        text = f"found an error nobody foresaw ({error!r}); --debug shows where: please report it"
        return _fail(text, FAILED, debug=debug)
    return status if isinstance(status, int) else DONE


def _run(
    command: str, said: dict[str, bool], *arguments: Any, function: str = "run", **settings: Any
) -> int:
    commands = import_module("analysis.commands")
    voice = commands.Voice(quiet=said["quiet"], verbose=said["verbose"])
    work = import_module(f"analysis.commands.{command}")
    return int(getattr(work, function)(*arguments, **settings, voice=voice))


def _fail(text: str, status: int, *, debug: bool) -> int:
    if debug:
        traceback.print_exc()
    click.echo(f"analysis: {text}", err=True)
    return status
