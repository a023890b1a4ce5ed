"""One plot of a kind, from the data to a file."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from matplotlib.figure import Figure

from analysis.data import Data
from analysis.detect import detect
from analysis.errors import DataError
from analysis.plots import calendar, crowd, style, trials

_OF_SESSIONS: Final = {
    "goodput": ("fetch", trials.goodput),
    "timeline": ("fetch", trials.timeline),
    "loss": ("call", trials.loss),
}


def draw(kind: str, data: Data, service: str | None, path: Path) -> None:
    """Draw a plot.

    Args:
        kind: a key of :data:`analysis.plots.KINDS`.
        data: opened data.
        service: which service; may be None where the data hold only one for this plot.
        path: where to; ``.svg``, ``.png`` or ``.pdf``.

    Raises:
        DataError: the data hold nothing of the kind, or several services and none was named.
    """
    figure = _of_sessions(kind, data, service) if kind in _OF_SESSIONS else None
    style.save(figure or _of_areas(kind, data, service), str(path))


def _of_sessions(kind: str, data: Data, service: str | None) -> Figure:
    trial_kind, function = _OF_SESSIONS[kind]
    there = [session for session in data.sessions if session.trials[0].subject == trial_kind]
    chosen = _choose({session.trials[0].service for session in there}, service, kind)
    mine = [session for session in there if session.trials[0].service == chosen]
    return function(mine, chosen)


def _of_areas(kind: str, data: Data, service: str | None) -> Figure:
    found = detect(data)
    keys = {area.service for area in found.areas if area.kind == "fetch"}
    chosen = _choose(keys, service, kind)
    mine = [a for a in found.areas if (a.service, a.kind) == (chosen, "fetch")]
    if kind == "areas":
        return crowd.areas(mine, chosen)
    if kind == "days":
        return calendar.days(found.rolled.tests, mine, chosen)
    rolled = found.rolled
    target, control, slow = (
        crowd.of_service(columns, chosen, "fetch")
        for columns in (rolled.target, rolled.control, rolled.rates)
    )
    return crowd.rates(target, control, slow, chosen)


def _choose(services: set[str], wanted: str | None, kind: str) -> str:
    if wanted is None and len(services) == 1:
        return next(iter(services))
    if wanted in services:
        return str(wanted)
    if not services:
        raise DataError(f"found nothing in the data that a {kind} plot shows")
    names = ", ".join(sorted(services))
    said = f"service {wanted!r}" if wanted else "several services"
    raise DataError(f"found {said}, expected --service with one of: {names}")
