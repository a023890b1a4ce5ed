"""The script that builds the table of networks, run on two small packages of the same form."""

import io
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from probe.asn_table import read_table

ROOT = Path(__file__).parents[2]
V6 = 0x20010DB8 << 96


@pytest.fixture
def packages(tmp_path):
    """Networks that overlap, leave gaps and end within a country; a name with a tab in it."""
    networks = {
        "asn-ipv4-num.csv": (
            '256,511,64496,"One, Inc."\n400,767,64497,Two\tLines\n1024,1279,64496,One\n'
        ),
        "asn-ipv6-num.csv": f"{V6},{V6 + (1 << 64) - 1},64498,Six\n",
    }
    countries = {
        "asn-country-ipv4-num.csv": "256,639,RU\n640,1279,FI\n",
        "asn-country-ipv6-num.csv": f"{V6},{V6 + (1 << 96) - 1},RU\n",
    }
    return [
        package(tmp_path / "ip-location-db-asn-2.3.2026061719.tgz", networks),
        package(tmp_path / "ip-location-db-asn-country-2.3.2026061719.tgz", countries),
    ]


def package(path, files):
    with tarfile.open(path, "w:gz") as archive:
        for name, text in files.items():
            member = tarfile.TarInfo(f"package/{name}")
            member.size = len(text.encode())
            archive.addfile(member, io.BytesIO(text.encode()))
    return path


def build(packages, output):
    script = ROOT / "tools" / "build_asn_table.py"
    return subprocess.run(
        [sys.executable, script, *packages, "-o", output],
        cwd=ROOT,
        env={"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_networks_and_countries_are_laid_over_each_other(packages, tmp_path):
    done = build(packages, tmp_path / "table.zip")
    assert done.returncode == 0, done.stderr
    table = read_table(tmp_path / "table.zip")
    assert table.date == "2026-06-17"
    found = {number: table.find(f"0.0.{number >> 8}.{number & 255}") for number in
             (255, 256, 511, 512, 639, 640, 767, 768, 1023, 1024, 1279, 1280)}  # fmt: skip
    assert found == {
        255: (0, "ZZ"),
        256: (64496, "RU"),
        511: (64496, "RU"),  # where two networks overlap the earlier line holds
        512: (64497, "RU"),
        639: (64497, "RU"),
        640: (64497, "FI"),
        767: (64497, "FI"),
        768: (0, "FI"),
        1023: (0, "FI"),
        1024: (64496, "FI"),
        1279: (64496, "FI"),
        1280: (0, "ZZ"),
    }
    assert table.find("2001:db8::ffff") == (64498, "RU")
    assert table.find("2001:db8:0:1::") == (0, "RU")
    assert (table.name(64497), table.name(64498)) == ("Two Lines", "Six")


def test_a_package_under_another_name_is_refused(packages, tmp_path):
    renamed = packages[0].rename(tmp_path / "networks.tgz")
    done = build([renamed, packages[1]], tmp_path / "table.zip")
    assert done.returncode == 1
    assert "found no date, expected a name as npm pack makes it" in done.stderr
