"""A trial's own capture says what its record says, and nothing about who took it."""

import ipaddress
import subprocess
import sys

import msgspec
import pytest
from netns_tools import HOME, needs_namespaces

from analysis.fetches import figures
from analysis.packets import with_packets
from probe.ids import uuid7
from probe.lab import presets, world
from probe.lab.netns import NetnsLab
from probe.measurement import decode

pytestmark = needs_namespaces

FETCH = """
import asyncio, pathlib, sys
from datetime import UTC, datetime
from probe.fetch import FetchOrder, fetch
from probe.fetch.capture import Capture
from probe.measurement import Measurement, encode
from probe.network import Network
url, folder, one_id = sys.argv[1:]
async def main():
    async with Capture() as capture:
        outcome = await fetch(FetchOrder(url=url, limit_s=12), Network.from_options())
    return outcome, capture
outcome, capture = asyncio.run(main())
got = outcome.fetch
capture.write(pathlib.Path(folder, "trial.pcap"), (got.address, got.port))
record = Measurement(id=one_id, run=one_id, session=one_id, round=0, arm="target",
    start=datetime.now(UTC), service="twitter", kind="fetch", endpoint=url,
    failure=outcome.failure, fetch=got)
pathlib.Path(folder, "trial.json").write_bytes(encode(record))
"""


@pytest.mark.parametrize("preset", ["clean", "twitter-2021"])
def test_the_figures_from_the_packets_are_those_of_the_record(preset, tmp_path):
    url = f"https://{world.site('twitter').names[0]}{world.OBJECT_PATH}"
    with NetnsLab(presets.load()[preset], seed=3) as lab:
        words = [sys.executable, "-c", FETCH, url, str(tmp_path), uuid7(0)]
        lab.run(words, check=True, timeout=60)
    record = decode((tmp_path / "trial.json").read_bytes())
    capture = tmp_path / "trial.pcap"
    rebuilt = msgspec.structs.replace(record, fetch=with_packets(record.fetch, capture))
    ours, theirs = figures(record), figures(rebuilt)
    assert record.failure is None
    assert theirs.late_goodput_bps == pytest.approx(ours.late_goodput_bps, rel=0.05)
    assert theirs.rtt_s == pytest.approx(ours.rtt_s, abs=0.002)
    assert theirs.out_of_order_ratio == pytest.approx(ours.out_of_order_ratio, abs=0.03)
    assert theirs.silence_s == pytest.approx(ours.silence_s, abs=0.05)
    assert theirs.complete == ours.complete
    # The kernel counts a FIN as a byte.
    assert 0 <= record.fetch.timeline.bytes[-1] - rebuilt.fetch.timeline.bytes[-1] <= 1
    assert ipaddress.ip_address(HOME).packed not in capture.read_bytes()


def test_a_machine_that_may_not_see_packets_says_what_to_do(tmp_path):
    code = (
        "import asyncio\nfrom probe.fetch.capture import Capture\n"
        "async def main():\n    async with Capture(): pass\nasyncio.run(main())"
    )
    words = [
        "setpriv",
        "--bounding-set=-net_raw",
        "--inh-caps=-net_raw",
        sys.executable,
        "-c",
        code,
    ]
    done = subprocess.run(words, capture_output=True, text=True, check=False, cwd=tmp_path)
    if "setpriv" in done.stderr:
        pytest.skip(f"this machine's setpriv cannot drop a right: {done.stderr.strip()}")
    assert "--cap-add NET_RAW" in done.stderr
