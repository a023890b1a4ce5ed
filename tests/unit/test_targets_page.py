"""docs/targets.md shows a file that works and leaves no key out."""

import re
from pathlib import Path

import pytest

from probe.services import CallTarget, Control, FarEnd, FetchTarget, ReachTarget, Service, Targets
from probe.targets import load

PAGE = (Path(__file__).parents[2] / "docs" / "targets.md").read_text()
(EXAMPLE,) = re.findall(r"(?s)```toml\n(.*?)```", PAGE)


def test_the_file_on_the_page_is_a_valid_one(tmp_path):
    file = tmp_path / "targets.toml"
    file.write_text(EXAMPLE)

    assert list(load(file).services) == ["chat"]


@pytest.mark.parametrize(
    "struct", [Targets, Control, Service, FetchTarget, ReachTarget, CallTarget, FarEnd]
)
def test_the_page_shows_every_key(struct):
    for key in struct.__struct_fields__:
        assert re.search(rf"\b{key}\b( =|\.|\])", EXAMPLE), key
