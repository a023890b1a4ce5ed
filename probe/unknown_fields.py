"""Fields a reader does not know, kept aside on reading and put back on writing. Pure.

A list of records is kept as a mapping from index (as text) to that element's unknown fields, so
that everything goes back where it came from.
"""

from __future__ import annotations

from typing import Any, get_args

import msgspec


def leftover(raw: dict[str, Any], struct: type[msgspec.Struct]) -> dict[str, Any]:
    """Find what a struct would drop.

    Args:
        raw: decoded JSON.
        struct: the type it was converted to.

    Returns:
        The unknown fields, nested as they were; empty when there are none.
    """
    fields = {field.encode_name: field.type for field in msgspec.structs.fields(struct)}
    kept: dict[str, Any] = {}
    for key, value in raw.items():
        if key not in fields:
            kept[key] = value
        elif (inner := _struct_in(fields[key])) and (nested := _inside(value, inner)):
            kept[key] = nested
    return kept


def merge(plain: dict[str, Any], unknown: dict[str, Any]) -> dict[str, Any]:
    """Put unknown fields back where they came from.

    Args:
        plain: the known fields, as built-in types.
        unknown: what :func:`leftover` returned.

    Returns:
        A new mapping holding both; a known field is never overwritten.
    """
    merged = dict(plain)
    for key, value in unknown.items():
        here = merged.get(key)
        if isinstance(here, dict) and isinstance(value, dict):
            merged[key] = merge(here, value)
        elif isinstance(here, list | tuple) and isinstance(value, dict):
            merged[key] = [merge(item, value.get(str(i), {})) for i, item in enumerate(here)]
        else:
            merged.setdefault(key, value)
    return merged


def _inside(value: Any, struct: type[msgspec.Struct]) -> dict[str, Any]:
    if isinstance(value, dict):
        return leftover(value, struct)
    if isinstance(value, list):
        found = {str(i): leftover(item, struct) for i, item in enumerate(value)}
        return {index: rest for index, rest in found.items() if rest}
    return {}


def _struct_in(annotation: Any) -> type[msgspec.Struct] | None:
    """Return the struct type inside ``Struct``, ``Struct | None`` or ``tuple[Struct, ...]``."""
    if isinstance(annotation, type) and issubclass(annotation, msgspec.Struct):
        return annotation
    found = (_struct_in(arg) for arg in get_args(annotation))
    return next((struct for struct in found if struct), None)
