"""Uploads through an emulated censor: shaped for everybody, or policed by name and direction."""

import json
import sys

import msgspec
import pytest
from netns_tools import needs_namespaces

from probe.lab import presets
from probe.lab.netns import NetnsLab
from probe.lab.rules import Match, Police, Rule, Shape

pytestmark = needs_namespaces

FIBRE = presets.load()["clean"]
#: As Tele2-3G's, but fast enough not to wait for.
EVERY_UPLOAD = Rule(
    name="uploads",
    effect=Shape(rate_bps=400_000, queue_bytes=60_000),
    direction="up",
    scope="shared",
)
UPLOADS_BY_NAME = Rule(
    name="name",
    match=Match(sni=("*.twimg.com",), transport="tcp"),
    effect=Police(rate_bps=300_000, bucket_bytes=16_000),
    direction="up",
)


def findings(rule, data, kinds):
    """Run the probe on Twitter behind one rule; its findings by kind."""
    preset = msgspec.structs.replace(FIBRE, name=rule.name, rules=(rule,))
    words = [sys.executable, "-m", "probe.cli", "run", "--yes", "--json", "--only", "twitter"]
    with NetnsLab(preset, seed=2) as lab:
        words += ["--kinds", kinds, "--targets", str(lab.targets_file), "--data", str(data)]
        done = lab.run(words, check=True, timeout=150, capture_output=True)
    return {found["kind"]: found for found in map(json.loads, done.stdout.splitlines())}


def test_an_upload_that_is_slow_under_every_name_is_the_lines(tmp_path):
    found = findings(EVERY_UPLOAD, tmp_path, "upload")
    assert found["upload"]["verdict"] == "slow_line"


def test_an_upload_policed_by_name_is_found_and_downloads_stay_normal(tmp_path):
    found = findings(UPLOADS_BY_NAME, tmp_path, "fetch,upload")
    upload = found["upload"]
    assert (upload["verdict"], upload["mechanism"]) == ("throttled", "policed")
    assert upload["grade"] == "B"
    assert upload["rate_bps"]["value"] == pytest.approx(300_000, rel=0.15)
    assert found["fetch"]["verdict"] == "normal"
