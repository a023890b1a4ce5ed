"""Where the files that come with the program lie, in a checkout and in an install."""

from __future__ import annotations

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent


def configs() -> Path:
    """Find the folder with ``targets.toml``, ``lab.toml`` and ``events.toml``."""
    return _first(_PACKAGE / "_configs", _PACKAGE.parent / "configs")


def asn_table() -> Path:
    """Find the table of networks and countries by address."""
    return _first(_PACKAGE / "_asn", _PACKAGE.parent / "data" / "asn") / "table.zip"


def _first(installed: Path, checkout: Path) -> Path:
    """A wheel carries the files inside the package; a checkout has them beside it."""
    return installed if installed.is_dir() else checkout
