"""Consent: what a volunteer is told before the first run, and the record that they agreed.

Nothing is measured before consent. It is given by answering the question, by ``--yes``, or by
``PROBE_CONSENT=yes`` (for containers), and holds for one version of the text: when what is done to
a volunteer's line changes, the version rises and everyone is asked again.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, Literal

import msgspec

from probe.exits import CommandError, UsageError

#: Rises with every change of meaning in :data:`TEXT`.
VERSION: Final = 1
SETTING: Final = "PROBE_CONSENT"
_FILE: Final = "consent.json"

TEXT: Final = """\
Before the first run, five things to know.

1. What it does. It fetches public files of well-known services and of neutral sites, connects to
   messenger servers, and sends packets that look like a call, to see whether some are slowed.
2. Who can see it. Your provider, and whoever watches the line, can see that you contact these
   services and that a program does it. The servers see your address, as with any visit.
3. What is kept. Times, sizes, losses, the servers' addresses, your country and network. Your own
   address, which behind a router a public STUN server is asked for, is looked up in a table on
   this machine, forgotten, and never stored. Results stay in your data folder and leave it only
   when you run probe submit.
4. What it costs. Up to 50 MB a run, less if you set --budget; mind this on a mobile plan.
5. The law. Measuring censorship, or contacting blocked services, may bring trouble where you live.
   The risk is yours; if unsure, do not run it, or ask a lawyer first.

To stop, press Ctrl-C at any time. To take consent back: probe consent --withdraw
"""
QUESTION: Final = "Do you agree?"

Source = Literal["question", "option", "environment"]


class ConsentMissing(UsageError):  # noqa: N818 - it is asked for, nothing went wrong
    """Nobody agreed, and nobody can be asked here."""

    def __init__(self) -> None:
        super().__init__(
            "no consent is recorded: read what the probe does with probe consent, then agree "
            f"there, or run with --yes or {SETTING}=yes"
        )


class Consent(msgspec.Struct, frozen=True, kw_only=True):
    """That someone agreed: to which version of the text, on which day (UTC), and how."""

    version: int
    day: str
    source: Source


def default_folder() -> Path:
    """Find the folder of the program's settings, by the customs of the system."""
    import platformdirs  # noqa: PLC0415 - not wanted by --help

    return platformdirs.user_config_path("throttle-probe")


def read(folder: Path) -> Consent | None:
    """Read the record.

    Args:
        folder: the folder of settings.

    Returns:
        The record, or None when there is none, it cannot be read, or it is for another version
        of the text: in doubt nobody has agreed.
    """
    try:
        found = msgspec.json.decode((folder / _FILE).read_bytes(), type=Consent)
    except (OSError, msgspec.MsgspecError):
        return None
    return found if found.version == VERSION else None


def record(folder: Path, source: Source, now: datetime | None = None) -> Consent:
    """Record that someone agreed to the present text.

    Args:
        folder: the folder of settings; made if missing.
        source: how they agreed.
        now: the time, in UTC; the clock's by default.

    Returns:
        What was recorded.

    Raises:
        CommandError: the folder cannot be written.
    """
    day = (now or datetime.now(UTC)).date().isoformat()
    given = Consent(version=VERSION, day=day, source=source)
    path = folder / _FILE
    part = path.with_suffix(f".{os.getpid()}")
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        with part.open("wb") as file:
            file.write(msgspec.json.encode(given))
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):  # the first error is the one to tell
            part.unlink()
        raise CommandError(
            f"found that {path} cannot be written ({error.strerror}), expected to record your "
            f"consent there: run with {SETTING}=yes instead"
        ) from error
    return given


def withdraw(folder: Path) -> bool:
    """Forget the record.

    Args:
        folder: the folder of settings.

    Returns:
        Whether there was one.

    Raises:
        CommandError: it is there and cannot be removed.
    """
    path = folder / _FILE
    try:
        path.unlink()
    except FileNotFoundError:
        return False
    except OSError as error:
        raise CommandError(
            f"found that {path} cannot be removed ({error.strerror}): remove it by hand"
        ) from error
    return True


def agreed_by_setting(environ: Mapping[str, str]) -> bool:
    """Say whether ``PROBE_CONSENT`` gives consent; only the word yes does.

    Args:
        environ: the environment.

    Returns:
        True for yes, false when unset or empty.

    Raises:
        CommandError: it holds another word, which must not be guessed at.
    """
    word = environ.get(SETTING, "").strip().lower()
    if word not in ("", "yes", "no"):
        raise UsageError(f"{SETTING}: found {word!r}, expected yes or no")
    return word == "yes"


def require(
    folder: Path,
    *,
    yes: bool,
    environ: Mapping[str, str],
    ask: Callable[[], bool] | None,
) -> None:
    """Go on only with consent.

    Args:
        folder: the folder of settings.
        yes: the volunteer passed ``--yes``; recorded.
        environ: the environment; ``PROBE_CONSENT=yes`` counts for this run and is not recorded,
            because a container's folder of settings may be read-only or shared.
        ask: shows the text and puts the question; None where nobody can be asked.

    Raises:
        ConsentMissing: nobody agreed.
        CommandError: consent was given and cannot be recorded, or the setting makes no sense.
    """
    if agreed_by_setting(environ) or read(folder):
        return
    if yes:
        record(folder, "option")
    elif ask is not None and ask():
        record(folder, "question")
    else:
        raise ConsentMissing


def ask_or_require(*, yes: bool) -> None:
    """Go on only with consent, asking at the terminal where there is one.

    Args:
        yes: the volunteer passed ``--yes``.

    Raises:
        ConsentMissing: nobody agreed.
        CommandError: as :func:`require`.
    """
    terminal = sys.stdin.isatty() and sys.stderr.isatty()
    require(
        default_folder(),
        yes=yes,
        environ=os.environ,
        ask=ask_at_terminal if terminal else None,
    )


def ask_at_terminal() -> bool:
    """Show the text and put the question, on standard error.

    Returns:
        Whether the answer was yes; plain Enter is no.
    """
    import click  # noqa: PLC0415 - the rest of this module works without a terminal

    click.echo(TEXT, err=True)
    return click.confirm(QUESTION, default=False, err=True)
