"""Options the commands share: each is also an environment variable ``PROBE_*``."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

import click

from probe.endpoints import EndpointError, parse_url
from probe.limits import RUN_BYTES
from probe.resources import configs
from probe.targets import Targets, load

_SIZES: Final = {"": 1, "B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9}
_SPANS_S: Final = {"s": 1, "m": 60, "min": 60, "h": 3600, "d": 86400}

Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]


def option(flag: str, *names: str, **attributes: Any) -> Decorator:
    """Make an option that is also read from the environment.

    Args:
        flag: the long flag; ``--far-end`` is also ``PROBE_FAR_END``.
        names: further names, as for ``click.option``.
        attributes: as for ``click.option``.

    Returns:
        The decorator.
    """
    variable = "PROBE_" + flag.removeprefix("--").replace("-", "_").upper()
    return click.option(flag, *names, envvar=variable, show_envvar=True, **attributes)


def data_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add ``--data``: the folder results are kept in."""
    return option(
        "--data",
        type=click.Path(path_type=Path, file_okay=False),
        default=_default_data,
        help="Folder for the results.",
    )(command)


def targets_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add ``--targets``: the file to read, see :func:`load_targets`."""
    return option(
        "--targets",
        "targets_file",
        type=click.Path(path_type=Path),
        default=None,
        help="What to measure; the file that comes with the program when left out.",
    )(command)


def budget_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add ``--budget``."""
    return option(
        "--budget",
        type=Size(),
        default=RUN_BYTES,
        metavar="50MB",
        help="Most bytes a run may move.",
    )(command)


def connect_to_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add ``--connect-to``."""
    return option(
        "--connect-to",
        default="",
        metavar="HOST:PORT=ADDR:PORT,..",
        help="Reach a host elsewhere; for labs.",
    )(command)


def yes_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add ``--yes``."""
    return option("--yes", is_flag=True, help="Give consent without being asked.")(command)


def load_targets(path: Path | None) -> Targets:
    """Read a targets file, or the one that comes with the program.

    Args:
        path: the file, or None.

    Returns:
        The validated targets.

    Raises:
        TargetsError: the file cannot be used; every mistake is named.
    """
    return load(path or configs() / "targets.toml")


def _default_data() -> Path:
    from platformdirs import user_data_path  # noqa: PLC0415 - only when it is needed

    return user_data_path("throttle-probe")


class Size(click.ParamType[int]):
    """A number of bytes: ``50MB``, ``400kB``."""

    name = "size"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Read the text; a number is bytes already."""
        if isinstance(value, int):
            return value
        found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([kKMG]?B?)", str(value))
        if not found:
            self.fail(f"found {value!r}, expected a size such as 50MB", param, ctx)
        return int(float(found[1]) * _SIZES[found[2].upper() or "B"])


class Span(click.ParamType[float]):
    """A span of time in seconds: ``6h``, ``30min``."""

    name = "span"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """Read the text; a number is seconds already."""
        if isinstance(value, float):
            return value
        found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*(s|m|min|h|d)", str(value))
        if not found or not float(found[1]):
            self.fail(f"found {value!r}, expected a span such as 6h or 30min", param, ctx)
        return float(found[1]) * _SPANS_S[found[2]]


class WebAddress(click.ParamType[str]):
    """A URL of a web server: ``https://far.example``."""

    name = "url"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Take it as it is, if it is one."""
        try:
            parse_url(str(value))
        except EndpointError as error:
            self.fail(f"found {value!r}, expected {error}", param, ctx)
        return str(value)


class Names(click.ParamType[tuple[str, ...]]):
    """Names with commas between; each must be known where the known ones are given."""

    name = "names"

    def __init__(self, known: Sequence[str] = ()) -> None:
        self._known = tuple(known)

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, ...]:
        """Split the text and look every name up."""
        if isinstance(value, tuple):
            return value
        names = tuple(name.strip() for name in str(value).split(",") if name.strip())
        if not names:
            self.fail(f"found {value!r}, expected at least one name", param, ctx)
        for name in names:
            if self._known and name not in self._known:
                self.fail(unknown_name(name, self._known), param, ctx)
        return names


def unknown_name(name: str, known: Sequence[str]) -> str:
    """Say that a name is not known, and which one may have been meant.

    Args:
        name: what was found.
        known: what could have been.

    Returns:
        One sentence.
    """
    near = difflib.get_close_matches(name, known, n=1)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    return f"found {name!r}, expected one of {', '.join(known)}{hint}"
