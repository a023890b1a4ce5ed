"""Reads the lab's presets: named lines, and what a censor does to them."""

from __future__ import annotations

import difflib
import json
import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final, TypeVar

import msgspec

import probe
from probe.lab.rules import Line, Preset, RuleError

_FILE: Final = "lab.toml"
T = TypeVar("T", Line, Preset)


class PresetError(ValueError):
    """A presets file or a preset's name that cannot be used; says what was found and expected."""


def default_path() -> Path:
    """Find the presets that came with the program, installed or in a checkout."""
    package = Path(probe.__file__).parent
    installed = package / "_configs" / _FILE
    return installed if installed.exists() else package.parent / "configs" / _FILE


def load(path: Path | None = None) -> dict[str, Preset]:
    """Read every preset.

    Args:
        path: a TOML file with ``[lines.NAME]`` and ``[presets.NAME]``, or the same as JSON by
            :func:`dump`; the program's own if None.

    Returns:
        The presets by name, in the file's order.

    Raises:
        PresetError: the file cannot be read, or a table in it is wrong.
    """
    path = path or default_path()
    try:
        text = path.read_text(encoding="utf-8")
        raw = json.loads(text) if path.suffix == ".json" else tomllib.loads(text)
    except OSError as error:
        raise PresetError(f"{path}: cannot be read: {error.strerror or error}") from error
    except ValueError as error:
        raise PresetError(f"{path}: not valid {path.suffix[1:].upper()}: {error}") from error
    lines = {name: _convert(path, "lines", name, table, Line) for name, table in _in(raw, "lines")}
    return {name: _preset(path, name, table, lines) for name, table in _in(raw, "presets")}


def dump(presets: Iterable[Preset]) -> bytes:
    """Write presets as a file that :func:`load` reads, each with a line of its own.

    Args:
        presets: with a name each.

    Returns:
        JSON.
    """
    lines, tables = {}, {}
    for preset in presets:
        table = msgspec.to_builtins(preset)
        lines[preset.name] = table.pop("line")
        tables[table.pop("name")] = table | {"line": preset.name}
    return msgspec.json.format(msgspec.json.encode({"lines": lines, "presets": tables}), indent=1)


def find(name: str, presets: dict[str, Preset]) -> Preset:
    """Pick a preset.

    Args:
        name: as the user wrote it.
        presets: what there is.

    Returns:
        The preset.

    Raises:
        PresetError: there is none; suggests the nearest.
    """
    if name in presets:
        return presets[name]
    near = difflib.get_close_matches(name, presets, n=1)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    raise PresetError(f"found preset {name!r}, expected one of {', '.join(presets)}{hint}")


def _in(raw: dict[str, Any], key: str) -> list[tuple[str, Any]]:
    tables = raw.get(key, {})
    return list(tables.items()) if isinstance(tables, dict) else []


def _preset(path: Path, name: str, table: Any, lines: dict[str, Line]) -> Preset:
    line = table.get("line") if isinstance(table, dict) else None
    if line not in lines:
        raise PresetError(
            f"{path}: [presets.{name}] line: found {line!r}, expected one of {', '.join(lines)}"
        )
    whole = {**table, "name": name, "line": msgspec.to_builtins(lines[line])}
    preset = _convert(path, "presets", name, whole, Preset)
    rules = [rule.name for rule in preset.rules]
    if len(set(rules)) < len(rules):
        raise PresetError(f"{path}: [presets.{name}] rules: found a name twice, expected one each")
    return preset


def _convert(path: Path, kind: str, name: str, table: Any, type_: type[T]) -> T:
    try:
        return msgspec.convert(table, type_)
    except (msgspec.ValidationError, RuleError) as error:
        raise PresetError(f"{path}: [{kind}.{name}]: {error}") from error
