"""What to measure: services, their endpoints, and the controls they are compared with.

A targets file is TOML. Endpoints rot, and a dead endpoint looks like a blocked one: so each names
the source it was taken from, and the file says when it was reviewed and when it expires.
"""

from __future__ import annotations

import tomllib
from datetime import date
from pathlib import Path
from typing import Any, Final, Literal

import msgspec

from probe.endpoints import is_host, parse_address, parse_relay, parse_url
from probe.toml_reader import (
    Check,
    Place,
    day,
    list_of,
    one_line,
    one_of,
    parsed,
    read_table,
    shown,
    whole_number,
)

VERSION: Final = 1
#: Call cadences: a packet every 60 ms (Telegram, WhatsApp, Signal today) or every 20 ms.
PROFILES: Final = ("voip-60", "voip-20")
#: What a call packet's bytes look like; every other shape is compared with ``random``.
SHAPES: Final = ("random", "rtp", "stun-rtp", "telegram", "whatsapp", "signal")
HTTP_VERSIONS: Final = ("http/1.1", "h2", "h3")
#: A transfer below this can pass a 128 kbit/s policer inside its burst and show nothing.
LEAST_BYTES: Final = 64_000
_MOST_BYTES: Final = 50_000_000
#: Names that records use for sessions which belong to no service.
RESERVED: Final = ("control", "line")

Scope = Literal["foreign", "domestic"]


class TargetsError(Exception):
    """A targets file that cannot be used; ``problems`` holds every mistake, one sentence each."""

    def __init__(self, problems: tuple[str, ...]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


class Control(msgspec.Struct, frozen=True, kw_only=True):
    """What target trials are compared with: a web object (``url``) or a relay, never both."""

    name: str
    url: str | None = None
    relay: str | None = None
    scope: Scope
    source: str
    http: tuple[str, ...] = ("http/1.1",)
    min_bytes: int = 400_000


class FetchTarget(msgspec.Struct, frozen=True, kw_only=True):
    """A web object to fetch; it should hold at least ``min_bytes``."""

    url: str
    http: tuple[str, ...] = ("http/1.1",)
    min_bytes: int = 400_000
    source: str


class ReachTarget(msgspec.Struct, frozen=True, kw_only=True):
    """An ``ip:port`` to connect to by TCP."""

    address: str
    source: str = ""


class CallTarget(msgspec.Struct, frozen=True, kw_only=True):
    """A call to emulate: ``shapes`` towards the far end, and a plain cadence to ``relays``."""

    profile: str
    shapes: tuple[str, ...] = ()
    relays: tuple[str, ...] = ()
    source: str


class Service(msgspec.Struct, frozen=True, kw_only=True):
    """What a user knows by name; ``controls`` are names of the file's controls, best first.

    ``trigger_names`` are the host names a censor is known to look for (grades A and B).
    """

    name: str
    group: str
    controls: tuple[str, ...] = ()
    trigger_names: tuple[str, ...] = ()
    fetch: tuple[FetchTarget, ...] = ()
    reach: tuple[ReachTarget, ...] = ()
    call: tuple[CallTarget, ...] = ()


class FarEnd(msgspec.Struct, frozen=True, kw_only=True):
    """Our own server: the URL of its web side and the UDP ports that reflect calls."""

    url: str
    calls: tuple[int, ...] = ()


class Targets(msgspec.Struct, frozen=True, kw_only=True):
    """A whole targets file; ``controls`` and ``services`` keep its order."""

    version: int = VERSION
    reviewed: date
    expires: date
    far_end: FarEnd | None = None
    controls: dict[str, Control]
    services: dict[str, Service]

    def expired(self, today: date) -> bool:
        """Whether the file is past its last day of use, ``expires``."""
        return today > self.expires

    def web_controls(self, service: str) -> tuple[str, ...]:
        """Names of the controls with a URL that the service asks for, best first."""
        return tuple(n for n in self.services[service].controls if self.controls[n].url)

    def relay_controls(self, service: str) -> tuple[str, ...]:
        """Names of the controls with a relay: those the service asks for, else all, best first."""
        every = tuple(name for name, control in self.controls.items() if control.relay)
        asked = tuple(name for name in self.services[service].controls if name in every)
        return asked or every


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
    top = Place(file, [])
    names = raw.get("controls")
    rules = _Rules(frozenset(names) if isinstance(names, dict) else frozenset())
    targets = read_table(
        Targets,
        raw,
        top,
        {
            "version": _version,
            "reviewed": day,
            "expires": day,
            "far_end": lambda value, _: read_table(FarEnd, value, top.inside("far_end"), _FAR_END),
            "controls": lambda value, _: rules.controls(value, top),
            "services": lambda value, _: rules.services(value, top),
        },
    )
    reviewed, expires = raw.get("reviewed"), raw.get("expires")
    if type(reviewed) is date and type(expires) is date and expires < reviewed:
        top.at("expires").wrong(shown(expires), f"a date not before reviewed ({reviewed})")
    if targets is None or top.problems:
        raise TargetsError(tuple(top.problems))
    return targets


class _Rules:
    """The rules that reach over several tables; one object per reading of a file."""

    def __init__(self, control_names: frozenset[str]) -> None:
        self.control_names = control_names
        self.seen: dict[tuple[str, str], Place] = {}

    def controls(self, raw: Any, top: Place) -> dict[str, Control]:
        """Read every table under ``[controls]``."""
        once = self.once("")
        checks = _WEB | {
            "name": one_line,
            "url": once(_URL),
            "relay": once(_RELAY),
            "scope": one_of(("foreign", "domestic")),
            "source": one_line,
        }
        read = {}
        for key, value in _tables(raw, top, "controls"):
            place = top.inside("controls").inside(key)
            _check_key(key, place)
            if isinstance(value, dict) and ("url" in value) == ("relay" in value):
                found = "both url and relay" if "url" in value else "neither url nor relay"
                place.wrong(found, "one of the two")
            read[key] = read_table(Control, value, place, checks)
        return {key: control for key, control in read.items() if control}

    def services(self, raw: Any, top: Place) -> dict[str, Service]:
        """Read every table under ``[services]``."""
        read = {}
        for key, value in _tables(raw, top, "services"):
            place = top.inside("services").inside(key)
            _check_key(key, place)
            read[key] = read_table(Service, value, place, self.service_checks(key, place))
            if isinstance(value, dict):
                self.check_whole(value, place)
        return {key: service for key, service in read.items() if service}

    def service_checks(self, key: str, place: Place) -> dict[str, Check]:
        """Build the checks of one service's keys."""
        once = self.once(key)
        fetch = _WEB | {"url": once(_URL), "source": one_line}
        reach: dict[str, Check] = {"address": once(parsed(parse_address)), "source": one_line}
        call = _CALL | {"relays": list_of(once(_RELAY))}
        control = one_of(self.control_names, "the name of a [controls] table")
        return {
            "name": one_line,
            "group": one_line,
            "controls": list_of(control),
            "trigger_names": list_of(_host),
            "fetch": lambda value, _: _entries(FetchTarget, value, place, "fetch", fetch),
            "reach": lambda value, _: _entries(ReachTarget, value, place, "reach", reach),
            "call": lambda value, _: _entries(CallTarget, value, place, "call", call),
        }

    def check_whole(self, raw: dict[str, Any], place: Place) -> None:
        """Note what is wrong with a service as a whole."""
        if not any(raw.get(kind) for kind in ("fetch", "reach", "call")):
            place.wrong("no endpoint", "at least one of fetch, reach and call")
        if (raw.get("fetch") or raw.get("reach")) and not raw.get("controls"):
            place.at("controls").wrong("none", "at least one: a verdict needs a control")

    def once(self, owner: str) -> Any:
        """Wrap a check so that an endpoint may stand once in its owner and the controls."""

        def wrap(check: Check) -> Check:
            def check_once(value: Any, place: Place) -> Any:
                if isinstance(value, str):
                    first = self.seen.get((owner, value)) or self.seen.get(("", value))
                    self.seen.setdefault((owner, value), place)
                    if first:
                        found = f"{shown(value)}, which already stands at {first.where}"
                        place.wrong(found, "each endpoint once")
                return check(value, place)

            return check_once

        return wrap


def _tables(raw: Any, top: Place, name: str) -> list[tuple[str, Any]]:
    if not isinstance(raw, dict) or not raw:
        top.at(name).wrong(shown(raw), f"at least one [{name}.NAME] table")
        return []
    return list(raw.items())


def _entries(struct: Any, raw: Any, parent: Place, name: str, checks: dict[str, Check]) -> Any:
    """Read an array of tables; places count its entries from 1."""
    if not isinstance(raw, list):
        parent.at(name).wrong(shown(raw), f"an array of tables, each under [[…{name}]]")
        return ()
    places = (parent.inside(name, number) for number in range(1, len(raw) + 1))
    return tuple(read_table(struct, item, at, checks) for item, at in zip(raw, places, strict=True))


def _check_key(key: str, place: Place) -> None:
    lower = key.isascii() and key == key.lower() and key.replace("-", "_").isidentifier()
    if not lower:
        place.wrong(f"the name {shown(key)}", "small letters, digits, _ and -, a letter first")
    if key in RESERVED:
        place.wrong(f"the name {shown(key)}", "another: records use it for themselves")


def _version(value: Any, place: Place) -> Any:
    if value != VERSION or not isinstance(value, int) or isinstance(value, bool):
        place.wrong(shown(value), f"{VERSION}: a newer file needs a newer throttle-probe")
    return value


def _host(value: Any, place: Place) -> Any:
    if not isinstance(value, str) or not is_host(value):
        place.wrong(shown(value), 'a host name, like "abs.twimg.com"')
    return value


def _shape(value: Any, place: Place) -> Any:
    if value == "random":
        place.wrong(shown(value), "a shape to compare with random, which is always the control")
    return one_of(SHAPES)(value, place)


_URL: Final = parsed(parse_url)
_RELAY: Final = parsed(parse_relay)
_WEB: Final[dict[str, Check]] = {
    "http": list_of(one_of(HTTP_VERSIONS), least=1),
    "min_bytes": whole_number(
        LEAST_BYTES, _MOST_BYTES, ": less cannot show a 128 kbit/s policer, more wastes data"
    ),
}
_CALL: Final[dict[str, Check]] = {
    "profile": one_of(PROFILES),
    "shapes": list_of(_shape),
    "source": one_line,
}
_FAR_END: Final[dict[str, Check]] = {"url": _URL, "calls": list_of(whole_number(1, 65535))}
