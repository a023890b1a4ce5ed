"""The locked requirements: complete, consistent, and tied to no machine and no mirror."""

import re
import tomllib
from collections.abc import Iterable
from itertools import chain
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
LOCKS = ("dev", "run", "build")
PIN = re.compile(r"([a-z0-9-]+)==([^ ]+)( ; .+)? \\")


def lines(lock: str) -> list[str]:
    return (ROOT / "requirements" / f"{lock}.lock").read_text().splitlines()


def pins(lock: str) -> dict[str, str]:
    return {found[1]: found[2] for line in lines(lock) if (found := PIN.fullmatch(line))}


def names(requirements: Iterable[str]) -> set[str]:
    return {re.split(r"[^A-Za-z0-9-]", requirement)[0].lower() for requirement in requirements}


@pytest.mark.parametrize("lock", LOCKS)
def test_a_lock_holds_pins_and_hashes_and_nothing_else(lock):
    strange = [
        line
        for line in lines(lock)
        if not re.fullmatch(r"\s*#.*|    --hash=sha256:[0-9a-f]{64}( \\)?", line)
        and not PIN.fullmatch(line)
    ]
    assert strange == []


@pytest.mark.parametrize("lock", LOCKS)
def test_a_lock_names_no_index_and_no_folder(lock):
    assert not [line for line in lines(lock) if "://" in line or "/" in line.split("#")[0]]


def test_everything_the_project_asks_for_is_locked():
    project, groups = PROJECT["project"], PROJECT["dependency-groups"]
    extras = chain.from_iterable(project["optional-dependencies"].values())
    runs = names([*project["dependencies"], *extras])

    assert runs <= pins("run").keys()
    assert names(groups["build"]) <= pins("build").keys()
    assert runs | names(chain.from_iterable(groups.values())) <= pins("dev").keys()


@pytest.mark.parametrize("lock", ["run", "build"])
def test_what_runs_and_what_builds_is_what_was_tested(lock):
    assert pins(lock).items() <= pins("dev").items()
