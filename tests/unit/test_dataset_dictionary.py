"""docs/dataset.md names every column of a dataset and every format that is read."""

import re
from pathlib import Path

import pytest

from analysis.importers import FORMATS
from analysis.rows import Row, SessionRow, TrialRow

TEXT = (Path(__file__).parents[2] / "docs" / "dataset.md").read_text()


def fields(title):
    body = re.search(rf"(?ms)^### {title}\n(.*?)(?=^##|\Z)", TEXT).group(1)
    return re.findall(r"^\| `(\w+)` \|", body, re.MULTILINE)


@pytest.mark.parametrize("row", [TrialRow, SessionRow])
def test_every_column_is_explained(row):
    assert fields("Row") + fields(row.__name__) == list(row.__struct_fields__)


def test_what_both_tables_share_is_explained_once():
    assert fields("Row") == list(Row.__struct_fields__)


def test_every_format_is_listed():
    assert [name for name in FORMATS if f"| `{name}` |" not in TEXT] == []
