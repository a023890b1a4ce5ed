"""Reads TOML tables into frozen structs and notes every mistake on the way. Pure.

A *check* takes a raw value and the :class:`Place` where it stands; it returns the value to keep
and reports what is wrong with :meth:`Place.wrong`. Nothing is raised, so that one reading finds
every mistake; the caller raises once, with all of them.
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Callable, Iterable, Mapping
from datetime import date, datetime, time
from typing import Any, TypeVar

import msgspec

S = TypeVar("S", bound=msgspec.Struct)
_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")
_LONGEST = 80
_HUGE = 10**_LONGEST


class Place(msgspec.Struct, frozen=True):
    """Where in a file a value stands, and the mistakes found in that file so far.

    ``file`` is the name as the user gave it, ``table`` the dotted name of the table (empty at the
    top level), ``entry`` counts the tables of an array from 1, ``key`` is the key and index.
    """

    file: str
    problems: list[str]
    table: str = ""
    entry: int = 0
    key: str = ""

    @property
    def where(self) -> str:
        """The place within the file: ``[table] key[index]`` or ``[[tables]] #number key``."""
        table = f"[[{self.table}]] #{self.entry}" if self.entry else f"[{self.table}]"
        return " ".join(part for part in (table if self.table else "", self.key) if part)

    def inside(self, name: str, entry: int = 0) -> Place:
        """The table ``name`` under this one, or its ``entry``-th (from 1) in an array of tables."""
        table = f"{self.table}.{_quoted(name)}" if self.table else _quoted(name)
        return Place(self.file, self.problems, table, entry)

    def at(self, key: str) -> Place:
        """The key of this table."""
        return Place(self.file, self.problems, self.table, self.entry, _quoted(key))

    def item(self, index: int) -> Place:
        """The item, from 0, of the list at this key."""
        return Place(self.file, self.problems, self.table, self.entry, f"{self.key}[{index}]")

    def wrong(self, found: str, expected: str, near: Iterable[str] = (), word: str = "") -> None:
        """Note a mistake.

        Args:
            found: what stands there, quoted as in the file (see :func:`shown`).
            expected: what should stand there.
            near: the names that would be right; the one nearest to ``word`` is suggested.
            word: the name that was found.
        """
        guess = difflib.get_close_matches(word, list(near), n=1) if word else []
        hint = f"; did you mean {shown(guess[0])}?" if guess else ""
        text = f"found {found}, expected {expected}{hint}"
        self.problems.append(": ".join(part for part in (self.file, self.where, text) if part))


Check = Callable[[Any, Place], Any]


def shown(value: Any) -> str:
    """Write a TOML value for a message: on one line, escaped, cut at 80 characters."""
    if isinstance(value, list):
        text = f"[{', '.join(_scalar(item) for item in value[:_LONGEST])}]"
    else:
        text = _scalar(value)
    safe = "".join(c if c.isprintable() else f"\\u{ord(c):04x}" for c in text)
    return safe if len(safe) <= _LONGEST else safe[: _LONGEST - 1] + "…"


def read_table(struct: type[S], raw: Any, place: Place, checks: Mapping[str, Check]) -> S | None:
    """Read one table into a struct; the struct says which keys exist and which may be left out.

    Args:
        struct: the type to build.
        raw: what stands in the file.
        place: where it stands.
        checks: for each key of the struct, what its value is checked with.

    Returns:
        The struct, or ``None`` when anything in the table was wrong (and has been noted).
    """
    if not isinstance(raw, dict):
        place.wrong(shown(raw), "a table")
        return None
    before = len(place.problems)
    fields = {field.name: field for field in msgspec.structs.fields(struct) if field.name in checks}
    for key in [key for key in raw if key not in fields]:
        known = f"one of {', '.join(fields)}"
        place.at(key).wrong("a key that is not known here", known, fields, key)
    for name in [name for name, field in fields.items() if field.required and name not in raw]:
        place.at(name).wrong("nothing", "this key, which every such table needs")
    values = {name: checks[name](raw[name], place.at(name)) for name in fields if name in raw}
    return struct(**values) if len(place.problems) == before else None


def one_line(value: Any, place: Place) -> Any:
    """Check for a text of one line that is not empty."""
    if not isinstance(value, str) or not value.strip() or not value.isprintable():
        place.wrong(shown(value), "a text of one line")
    return value


def day(value: Any, place: Place) -> Any:
    """Check for a date without a time."""
    if not isinstance(value, date) or isinstance(value, datetime):
        place.wrong(shown(value), "a date, like 2026-11-21, without quotes")
    return value


def whole_number(low: int, high: int, why: str = "") -> Check:
    """Build a check for a whole number from ``low`` to ``high``; ``why`` ends the message."""

    def check(value: Any, place: Place) -> Any:
        if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
            place.wrong(shown(value), f"a whole number from {low} to {high}{why}")
        return value

    return check


def one_of(names: Iterable[str], what: str = "") -> Check:
    """Build a check for one of a few names; ``what`` says it in words where the list is long."""
    allowed = tuple(names)

    def check(value: Any, place: Place) -> Any:
        if not isinstance(value, str):
            place.wrong(shown(value), what or f"one of {', '.join(allowed)}")
        elif value not in allowed:
            place.wrong(shown(value), what or f"one of {', '.join(allowed)}", allowed, value)
        return value

    return check


def parsed(parse: Callable[[str], object]) -> Check:
    """Build a check from a parser that raises ``ValueError`` saying what was expected."""

    def check(value: Any, place: Place) -> Any:
        if not isinstance(value, str):
            place.wrong(shown(value), "a text in quotes")
            return value
        try:
            parse(value)
        except ValueError as error:
            place.wrong(shown(value), str(error))
        return value

    return check


def list_of(check: Check, *, least: int = 0) -> Check:
    """Build a check for a list of different items, each passing ``check``; gives a tuple."""

    def check_list(value: Any, place: Place) -> tuple[Any, ...]:
        if not isinstance(value, list) or len(value) < least:
            place.wrong(shown(value), f"a list of at least {least}" if least else "a list")
            return ()
        seen: set[Any] = set()
        for index, item in enumerate(value):
            if isinstance(item, str | int) and item in seen:
                place.item(index).wrong(f"{shown(item)} a second time", "each item once")
            elif isinstance(item, str | int):
                seen.add(item)
        return tuple(check(item, place.item(index)) for index, item in enumerate(value))

    return check_list


def _scalar(value: Any) -> str:
    """Write one value; a table or list inside another is only named, however deep it goes."""
    if isinstance(value, dict):
        return "a table"
    if isinstance(value, list):
        return "a list"
    if isinstance(value, int) and abs(value) > _HUGE:
        return "a huge number"
    if isinstance(value, date | time):
        return str(value)
    return json.dumps(value, ensure_ascii=False)


def _quoted(key: str) -> str:
    return key if _BARE_KEY.fullmatch(key) else shown(key)
