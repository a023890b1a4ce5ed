"""What to measure, read from a TOML file such as ``configs/targets.toml``.

Endpoints rot, and a dead endpoint looks like a blocked one: so each names the source it was taken
from, and the file says when it was reviewed and when it expires.
"""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

from probe.exits import UsageError
from probe.services import (
    HTTP_VERSIONS,
    LEAST_BYTES,
    PROFILES,
    SHAPES,
    VERSION,
    CallTarget,
    Control,
    FarEnd,
    FetchTarget,
    ReachTarget,
    Service,
    Targets,
)
from probe.targets_check import check_file

__all__ = [
    "HTTP_VERSIONS",
    "LEAST_BYTES",
    "PROFILES",
    "SHAPES",
    "VERSION",
    "CallTarget",
    "Control",
    "FarEnd",
    "FetchTarget",
    "ReachTarget",
    "Service",
    "Targets",
    "TargetsError",
    "from_raw",
    "load",
]


class TargetsError(UsageError):
    """A targets file that cannot be used; ``problems`` holds every mistake, one sentence each."""

    def __init__(self, problems: tuple[str, ...]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


def load(path: str | Path) -> Targets:
    """Read a targets file.

    Args:
        path: the TOML file; its name as given stands in front of every message.

    Returns:
        The targets, every rule of the file checked.

    Raises:
        TargetsError: the file cannot be read or breaks rules; holds all the mistakes.
    """
    try:
        raw = tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise TargetsError((f"{path}: cannot be read: {error.strerror or error}",)) from error
    except UnicodeDecodeError as error:
        raise TargetsError((f"{path}: found bytes that are not UTF-8, expected TOML",)) from error
    except (ValueError, RecursionError) as error:  # bad TOML; a number or nesting beyond any use
        raise TargetsError((f"{path}: not valid TOML: {error}",)) from error
    return from_raw(raw, str(path))


def from_raw(raw: dict[str, Any], file: str) -> Targets:
    """Check a parsed targets file; pure.

    Args:
        raw: what ``tomllib`` made of it.
        file: what to call it in messages.

    Returns:
        The targets.

    Raises:
        TargetsError: holds all the mistakes.
    """
    targets, problems = check_file(raw, file)
    if targets is None or problems:
        raise TargetsError(tuple(problems))
    return targets
