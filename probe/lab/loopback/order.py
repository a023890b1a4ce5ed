"""What passes between the lab's process and whoever started it: one JSON line each way."""

from __future__ import annotations

import msgspec

from probe.lab.rules import Preset


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """To the lab: what to emulate, and the folder to put its files in."""

    preset: Preset
    seed: int
    directory: str


class Ready(msgspec.Struct, frozen=True, kw_only=True):
    """From the lab: it stands; what a probe needs to run in it."""

    targets_file: str
    environ: dict[str, str]
