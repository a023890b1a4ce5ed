"""``probe call``: two volunteers with one code, as two processes and a far end on loopback."""

import asyncio
import sys
from pathlib import Path

import pytest

from probe.farend import FarEndConfig, serve
from probe.store import read, run_files

ENVIRON = {
    "PATH": "/usr/bin:/bin",
    "PROBE_COUNTRY": "ZZ",
    "PROBE_ASN": "0",
    "PROBE_ALLOW_BOGONS": "1",
}


async def volunteer(data: Path, *words: object) -> tuple[int, str, str]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "probe.cli", "call", "--yes", "--data", str(data)),
        *map(str, words),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=ENVIRON | {"HOME": str(data)},
    )
    printed, said = await process.communicate()
    assert process.returncode is not None
    return process.returncode, printed.decode(), said.decode()


def records(data: Path) -> list:
    return [record for file in run_files(data) for record in read(file).records]


async def test_two_volunteers_call_each_other_both_ways_and_one_keeps_the_records(tmp_path):
    async with serve(FarEndConfig(host="127.0.0.1", calls=(0,), https_port=None)) as running:
        words = (
            *("blue horse", "--far-end", "https://127.0.0.1", "--calls", running.call_ports[0]),
            *("--duration", "1s", "--patience", "30s", "--shape", "telegram"),
        )
        ended = await asyncio.gather(
            *(volunteer(tmp_path / name, *words) for name in ("ann", "bob"))
        )

    assert [status for status, _, _ in ended] == [0, 0]
    lines = sorted(line for _, printed, _ in ended for line in printed.splitlines())
    assert sum("the other probe called and has the record" in line for line in lines) == 2
    assert sum("17 of 17 packets came back" in line for line in lines) == 2
    assert all("sees your address" in said for _, _, said in ended)
    kept = [record for name in ("ann", "bob") for record in records(tmp_path / name)]
    assert sorted((r.arm, r.endpoint, r.service, r.kind) for r in kept) == [
        ("control", "peer/relayed", "peer", "call"),
        ("target", "peer/direct", "peer", "call"),
    ]
    assert [(r.call.host, r.call.address, r.call.port) for r in kept] == [("peer", None, 0)] * 2


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("--ways", "relayed"), "the other probe did not come (generic_timeout_error)"),
        (("--ways", "direct", "--calls", "9"), "no answer from the far end"),
        (("--ways", "direct", "--budget", "1kB"), "the byte budget is used up"),
    ],
)
async def test_a_call_that_does_not_come_about_says_why_and_leaves_no_file(
    tmp_path, words, sentence
):
    async with serve(FarEndConfig(host="127.0.0.1", calls=(0,), https_port=None)) as running:
        status, printed, _ = await volunteer(
            tmp_path,
            *("lonely", "--far-end", "https://127.0.0.1", "--patience", "1s"),
            *("--calls", running.call_ports[0], *words),
        )
    assert (status, sentence in printed) == (1, True)
    assert records(tmp_path) == []


async def test_a_third_one_with_the_code_is_sent_away(tmp_path):
    async with serve(FarEndConfig(host="127.0.0.1", calls=(0,), https_port=None)) as running:
        words = (
            *("shared", "--far-end", "https://127.0.0.1", "--calls", running.call_ports[0]),
            *("--duration", "1s", "--patience", "30s", "--ways", "direct"),
        )
        ended = await asyncio.gather(*(volunteer(tmp_path / str(n), *words) for n in range(3)))
    assert sorted(status for status, _, _ in ended) == [0, 0, 1]
    assert sum("agree on another one" in printed for _, printed, _ in ended) == 1


@pytest.mark.parametrize(
    ("words", "part"),
    [
        (("code", "--far-end", "nonsense"), "found 'nonsense', expected a URL"),
        (("code",), "--far-end"),
        (("code", "--far-end", "https://far.example", "--duration", "90s"), "up to 60 s"),
        (("code", "--far-end", "https://far.example", "--ways", "dirct"), "did you mean 'direct'"),
    ],
)
async def test_a_mistake_is_one_sentence_and_status_2(tmp_path, words, part):
    status, printed, said = await volunteer(tmp_path, *words)
    assert (status, printed) == (2, "")
    assert part in said
    assert "Traceback" not in said


async def test_nothing_is_sent_without_consent(tmp_path):
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "probe.cli", "call", "code", "--far-end", "https://far.example"),
        stdin=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
        env=ENVIRON | {"HOME": str(tmp_path), "PROBE_DATA": str(tmp_path)},
    )
    _, said = await process.communicate()
    assert process.returncode == 2
    assert b"consent" in said
