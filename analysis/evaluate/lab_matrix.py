"""Which presets are run, how often, and which services are asked about behind each. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final, Literal

import msgspec

Engine = Literal["loopback", "netns"]
ENGINES: Final[tuple[Engine, ...]] = ("loopback", "netns")
KINDS: Final = ("fetch", "reach", "call")
#: Rules were made on runs with seeds below this; runs from here on are reported.
FIRST_REPORTED_SEED: Final = 4_000
#: Between the seeds of one cell's sessions: no two cells share one.
_STRIDE: Final = 100_000


class Expected(msgspec.Struct, frozen=True, kw_only=True):
    """What a right analysis finds for a service (``*``: all others) and kind behind a preset.

    ``accept`` lists verdicts that are honest too; ``mechanisms`` any of which is right;
    ``onset_packet`` counts from 1.
    """

    service: str
    kind: str
    verdict: str
    accept: tuple[str, ...] = ()
    mechanisms: tuple[str, ...] = ()
    rate_bps: float | None = None
    direction: str | None = None
    onset_packet: int | None = None


class Preset(msgspec.Struct, frozen=True, kw_only=True):
    """A preset as ``probe lab list --json`` describes it.

    ``services`` maps the services of the lab's world to the kinds each can be asked about;
    ``probability`` is how often a connection meets all of the censor; ``fold`` what an evaluation
    that leaves one out leaves out together.
    """

    name: str
    title: str
    engines: tuple[Engine, ...]
    probability: float
    services: dict[str, tuple[str, ...]]
    expected: tuple[Expected, ...] = ()
    fold: str = ""

    def expects(self, service: str, kind: str) -> Expected:
        """Look up what is to be found: the service's entry, else that of ``*``, else normal."""
        for name in (service, "*"):
            for entry in self.expected:
                if (entry.service, entry.kind) == (name, kind):
                    return entry
        return Expected(service=service, kind=kind, verdict="normal")


class Cell(msgspec.Struct, frozen=True, kw_only=True):
    """One run of a preset: what the probe is told to measure, and how many sessions in a row."""

    preset: str
    engine: Engine
    seed: int
    services: tuple[str, ...]
    kinds: tuple[str, ...]
    sessions: int = 1

    @property
    def family(self) -> str:
        """The preset's name without what tells variations of it apart."""
        return self.preset.partition("@")[0]

    @property
    def path(self) -> str:
        """Where the run is kept, relative to the folder of all."""
        return f"{self.engine}/{self.preset}/{self.seed}"

    @property
    def seeds(self) -> tuple[int, ...]:
        """The seed of each session."""
        return tuple(self.seed + _STRIDE * number for number in range(self.sessions))


def read_presets(lines: Iterable[str | bytes]) -> dict[str, Preset]:
    """Read what ``probe lab list --json`` printed.

    Args:
        lines: one JSON object each.

    Returns:
        The presets by name, in their order.

    Raises:
        msgspec.DecodeError: a line is not a preset.
    """
    found = [msgspec.json.decode(line, type=Preset) for line in lines]
    return {preset.name: preset for preset in found}


def matrix(
    presets: Mapping[str, Preset], engines: Sequence[Engine], seeds: Sequence[int]
) -> list[Cell]:
    """List the runs.

    Args:
        presets: to run.
        engines: to run them on, where they can be carried.
        seeds: one run each.

    Returns:
        The cells, seed after seed, so that what is done when time runs out is whole.
    """
    return [
        _cell(preset, engine, seed)
        for seed in seeds
        for preset in presets.values()
        for engine in _fit(preset, engines)
    ]


def quick_matrix(presets: Mapping[str, Preset], engines: Sequence[Engine], seed: int) -> list[Cell]:
    """List one run of each preset, on the engines in turn where several can carry it.

    Args:
        presets: to run.
        engines: to choose from.
        seed: of every run.

    Returns:
        The cells, those with the most to ask first: the last one to end should be a short one.
    """
    fitting = ((preset, _fit(preset, engines)) for preset in presets.values())
    cells = [
        _cell(preset, able[number % len(able)], seed)
        for number, (preset, able) in enumerate(fitting)
        if able
    ]
    return sorted(cells, key=lambda cell: -len(cell.kinds) * cell.sessions)


def _fit(preset: Preset, engines: Sequence[Engine]) -> list[Engine]:
    return [engine for engine in engines if engine in preset.engines]


def _cell(preset: Preset, engine: Engine, seed: int) -> Cell:
    services, kinds = scope(preset)
    # A censor that takes one connection in three is not to be seen in every single session.
    sessions = max(1, round(1.0 / preset.probability)) if preset.probability else 1
    return Cell(
        preset=preset.name,
        engine=engine,
        seed=seed,
        services=services,
        kinds=kinds,
        sessions=sessions,
    )


def scope(preset: Preset) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Choose what to ask about behind a preset.

    Args:
        preset: the preset.

    Returns:
        Services and kinds: those its expectations name, and one service they do not name, which
        must come out as normal. Where they name none, two services, of all kinds or the kinds
        that ``*`` stands for.
    """
    kinds = _ordered(KINDS, {entry.kind for entry in preset.expected} or set(KINDS))
    named = {entry.service for entry in preset.expected} - {"*"}
    if not named:
        return _ordered(preset.services, set(_first(preset, kinds))), kinds
    bystander = next(_others(preset, named, kinds), None)
    if bystander is None:
        bystander = next(_others(preset, named, ("fetch",)))
        kinds = _ordered(KINDS, {*kinds, "fetch"})
    return _ordered(preset.services, {*named, bystander}), kinds


def _others(preset: Preset, named: set[str], kinds: Sequence[str]) -> Iterator[str]:
    for service, offered in preset.services.items():
        if service not in named and not set(kinds).isdisjoint(offered):
            yield service


def _first(preset: Preset, kinds: Sequence[str]) -> Iterator[str]:
    """Yield the first service of all, and the first other that can be asked in every way."""
    first = next(iter(preset.services))
    yield first
    for service, offered in preset.services.items():
        if service != first and set(kinds) <= set(offered):
            yield service
            return


def _ordered(order: Iterable[str], chosen: set[str]) -> tuple[str, ...]:
    return tuple(item for item in order if item in chosen)


def asked(cell: Cell, preset: Preset) -> list[tuple[str, str]]:
    """List the services and kinds a cell's run has an answer to, in the probe's order."""
    return [
        (service, kind)
        for kind in cell.kinds
        for service in cell.services
        # Relays on loopback take every connection: of one that gets no answer nothing shows.
        if kind in preset.services[service] and (cell.engine, kind) != ("loopback", "reach")
    ]
