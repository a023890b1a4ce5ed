"""docs/data.md names every field of every record and finding, and no other."""

import re
from pathlib import Path

import msgspec
import pytest

import analysis.finding
import probe.measurement
from probe.measurement import Measurement
from probe.trace import COLUMNS, FATES

DICTIONARY = (Path(__file__).parents[2] / "docs" / "data.md").read_text()
SECTIONS = {
    title: re.findall(r"^\| `(\w+)` \|", body, re.MULTILINE)
    for title, body in re.findall(r"(?ms)^### (\w+)\n(.*?)(?=^##|\Z)", DICTIONARY)
}
STRUCTS = {
    name: struct
    for module in (probe.measurement, analysis.finding)
    for name, struct in vars(module).items()
    if isinstance(struct, type) and issubclass(struct, msgspec.Struct)
}


def test_every_struct_has_its_section_and_every_section_its_struct():
    assert Measurement.__name__ in SECTIONS
    assert set(SECTIONS) == set(STRUCTS) - {"Struct"}


@pytest.mark.parametrize("name", sorted(STRUCTS))
def test_a_section_lists_the_fields_of_its_struct(name):
    assert sorted(SECTIONS[name]) == sorted(STRUCTS[name].__struct_fields__)


def test_the_columns_and_fates_of_a_trace_are_the_ones_listed():
    text = " ".join(DICTIONARY.split())

    assert " ".join(COLUMNS[:-2]) in text
    assert ", ".join(f"{index} `{fate}`" for index, fate in enumerate(FATES)) in text
