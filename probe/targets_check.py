"""The rules of a targets file: what each key may hold, and what must agree across tables. Pure."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from typing import Any, Final

from probe.endpoints import (
    is_host,
    parse_address,
    parse_relay,
    parse_turn,
    parse_url,
)
from probe.services import (
    HTTP_VERSIONS,
    LEAST_BYTES,
    MOST_BYTES,
    PROFILES,
    RESERVED,
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


def check_file(raw: dict[str, Any], file: str) -> tuple[Targets | None, list[str]]:
    """Check a parsed targets file.

    Args:
        raw: what ``tomllib`` made of it.
        file: what to call it in messages.

    Returns:
        The targets, meaningful only when there are no mistakes, and the mistakes.
    """
    top = Place(file, [])
    rules = _Rules(raw.get("controls"))
    checks: dict[str, Check] = {
        "version": _version,
        "reviewed": day,
        "expires": day,
        "far_end": lambda value, _: _far_end(value, top.inside("far_end")),
        "controls": lambda value, _: rules.controls(value, top),
        "services": lambda value, _: rules.services(value, top),
    }
    targets = read_table(Targets, raw, top, checks)
    reviewed, expires = raw.get("reviewed"), raw.get("expires")
    if type(reviewed) is date and type(expires) is date and expires < reviewed:
        top.at("expires").wrong(shown(expires), f"a date not before reviewed ({reviewed})")
    return targets, top.problems


class _Rules:
    """The rules that reach over several tables; one object per reading of a file."""

    def __init__(self, controls: Any) -> None:
        named = controls if isinstance(controls, dict) else {}
        self.names = tuple(named)
        self.web = {
            key for key, value in named.items() if isinstance(value, dict) and "url" in value
        }
        self.relays = named.keys() - self.web
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
        control = one_of(self.names, "the name of a [controls] table")
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
        named = raw.get("controls", [])
        known = [n for n in named if n in self.names] if isinstance(named, list) else None
        if known is None or known != named:
            return  # already noted, and what was meant may be the control that is missed here
        if (raw.get("fetch") or raw.get("reach")) and not self.web.intersection(known):
            place.at("controls").wrong("none with a url", "at least one: a verdict needs a control")
        calls = raw.get("call")
        calls = (
            [call for call in calls if isinstance(call, dict)] if isinstance(calls, list) else []
        )
        if any(call.get("relays") for call in calls) and not self.relays:
            place.wrong("relays", "a control with a relay in the file, to compare them with")

    def once(self, owner: str) -> Callable[[Check], Check]:
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


def _far_end(raw: Any, place: Place) -> FarEnd | None:
    """Read the far end; its TURN servers have to be its own: no credentials go to anyone else."""
    far_end = read_table(FarEnd, raw, place, _FAR_END)
    if far_end is not None:
        own = parse_url(far_end.url).host.lower()
        for index, turn in enumerate(far_end.turn):
            if parse_turn(turn).host.lower() != own:
                place.at("turn").item(index).wrong(
                    shown(turn), f"a server on the url's host, {own}"
                )
    return far_end


def _tables(raw: Any, top: Place, name: str) -> list[tuple[str, Any]]:
    if not isinstance(raw, dict) or not raw:
        top.at(name).wrong(shown(raw), f"at least one [{name}.NAME] table")
        return []
    return list(raw.items())


def _entries(struct: Any, raw: Any, parent: Place, name: str, checks: dict[str, Check]) -> Any:
    """Read an array of tables; places count its entries from 1."""
    if not isinstance(raw, list):
        parent.at(name).wrong(shown(raw), f"tables, each under [[{parent.inside(name).table}]]")
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
        return value
    return one_of(SHAPES[1:])(value, place)


_URL: Final = parsed(parse_url)
_RELAY: Final = parsed(parse_relay)
_WEB: Final[dict[str, Check]] = {
    "http": list_of(one_of(HTTP_VERSIONS), least=1),
    "min_bytes": whole_number(
        LEAST_BYTES, MOST_BYTES, ": less cannot show a 128 kbit/s policer, more wastes data"
    ),
}
_CALL: Final[dict[str, Check]] = {
    "profile": one_of(PROFILES),
    "shapes": list_of(_shape),
    "source": one_line,
}
_FAR_END: Final[dict[str, Check]] = {
    "url": _URL,
    "calls": list_of(whole_number(1, 65535)),
    "replay": whole_number(1, 65535),
    "turn": list_of(parsed(parse_turn)),
}
