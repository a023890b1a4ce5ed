"""Known events, from ``configs/events.toml``: drawn on plots, compared with what was found."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime, time, timedelta
from importlib.resources import files
from pathlib import Path
from typing import Final, Literal

import msgspec

from analysis.errors import DataError
from analysis.events import Event

#: An event found this close to a known one is taken to be that one.
NEAR: Final = timedelta(days=3)


class Known(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One entry of the file; its fields are described there."""

    date: date
    what: Literal["onset", "lift", "law"]
    country: str
    services: tuple[str, ...]
    scope: str
    label: str
    source: str
    at: datetime | None = None

    @property
    def when(self) -> datetime:
        """The moment, or the start of the day, UTC."""
        return self.at or datetime.combine(self.date, time(), UTC)


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    version: Literal[1]
    events: tuple[Known, ...]


def load(path: Path | None = None) -> tuple[Known, ...]:
    """Read the known events.

    Args:
        path: a file of one's own; None for the one that comes with the program.

    Returns:
        The events, oldest first.

    Raises:
        DataError: the file is missing or has a mistake.
    """
    path = path or _shipped()
    try:
        found = msgspec.toml.decode(path.read_bytes(), type=_File)
    except OSError as error:
        raise DataError(f"found no {path} ({error.strerror}), expected a list of events") from error
    except msgspec.DecodeError as error:
        raise DataError(f"found a mistake in {path}: {error}") from error
    return tuple(sorted(found.events, key=lambda event: event.when))


def of_service(known: Sequence[Known], service: str, start: datetime, end: datetime) -> list[Known]:
    """Return the events of a service in a span of time."""
    return [event for event in known if service in event.services and start <= event.when <= end]


def match(found: Event, known: Sequence[Known]) -> Known | None:
    """Return the known event that a found one is, if any is near enough."""
    countries = {place.country for place in found.places}
    near = [
        event
        for event in known
        if event.what == found.what
        and found.service in event.services
        and event.country in countries
        and abs(event.when - found.at) <= NEAR
    ]
    return min(near, key=lambda event: abs(event.when - found.at), default=None)


def _shipped() -> Path:
    root = Path(str(files("analysis"))).parent
    installed = root / "probe" / "_configs" / "events.toml"
    return installed if installed.exists() else root / "configs" / "events.toml"
