"""A whole run of ten services' fetches on a lab line of 30 Mbit/s and 40 ms, two of them policed.

Run it as root with ``python tests/bench/bench_run.py``. Aims: at most 4 minutes and 45 MB; trials
that ran beside one that crawled differ by at most 2 % from those that had the line alone.
"""

import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from probe.fetch_trial import goodput_bps
from probe.lab.netns import NetnsLab
from probe.lab.rules import Line, Match, Police, Preset, Rule
from probe.store import read, run_files

LINE = Line(rate_down_bps=30e6, rate_up_bps=30e6, rtt_s=0.04, queue_bytes=300_000)
POLICED = ("abs.twimg.com", "rr1---sn-lab.googlevideo.com")
#: A service each; the lab's servers answer to all of these names.
NAMES = (
    *POLICED,
    *("twitter.com", "t.co", "www.youtube.com", "www.google.com", "static.whatsapp.net"),
    *("web.telegram.org", "chat.signal.org", "post.example"),
)
PRESET = Preset(
    name="bench-run",
    title="Two policed services on a line of 30 Mbit/s",
    source="the figures of Twitter in Russia, 2021",
    line=LINE,
    rules=tuple(
        Rule(
            name=name,
            match=Match(sni=(name,)),
            effect=Police(rate_bps=130_000, bucket_bytes=16_000),
        )
        for name in POLICED
    ),
)


def targets():
    """Write the targets file."""
    lines = ["version = 1", "reviewed = 2026-11-21", "expires = 2030-01-01"]
    for name, host in (("pages", "pages.example"), ("wiki", "wiki.example")):
        lines += [f"[controls.{name}]", f'name = "{name}"', f'url = "https://{host}/bytes/480000"']
        lines += ['scope = "foreign"', 'source = "the lab"']
    for number, host in enumerate(NAMES):
        key = f"s{number}"
        lines += [f"[services.{key}]", f'name = "{host}"', 'group = "bench"']
        lines += ['controls = ["pages", "wiki"]', f'trigger_names = ["{host}"]']
        lines += [f"[[services.{key}.fetch]]", f'url = "https://{host}/bytes/480000"']
        lines += ['source = "the lab"']
    return "\n".join(lines) + "\n"


def measure(lab, file, data, *words):
    """Run the probe in the lab's home; return its status, seconds, findings and records."""
    begun = time.monotonic()
    done = lab.run(
        [*(sys.executable, "-m", "probe.cli", "run", "--yes", "--json", "--kinds", "fetch"),
         *("--targets", str(file), "--data", str(data)), *words],
        stdout=subprocess.PIPE, text=True, check=False,
    )  # fmt: skip
    took_s = time.monotonic() - begun
    findings = [json.loads(line) for line in done.stdout.splitlines()]
    records = [record for path in run_files(data) for record in read(path).records]
    return done.returncode, took_s, findings, [r for r in records if r.fetch]


def main():
    with tempfile.TemporaryDirectory() as folder, NetnsLab(PRESET, seed=1) as lab:
        file = Path(folder, "targets.toml")
        file.write_text(targets())
        status, took_s, findings, records = measure(lab, file, Path(folder, "all"))
        _, _, _, lone = measure(lab, file, Path(folder, "one"), "--only", "s0")
    moved_bytes = sum(size for r in records for size in r.fetch.timeline.bytes[-1:])
    say = sys.stdout.write
    say(f"status {status}, {took_s:.0f} s, {moved_bytes / 1e6:.1f} MB received\n")
    for finding in sorted(findings, key=lambda f: f["service"]):
        rate = finding["rate_bps"] and f"{finding['rate_bps']['value'] / 1e3:.0f} kbit/s"
        say(f"  {finding['service']:4} {finding['verdict']:12} {finding['pairs']} pairs {rate}\n")
    fast = [r for r in records if r.fetch.sni not in POLICED and r.control_kind == "C"]
    compare(
        "fast trials",
        [r for r in fast if not r.fetch.overlapped],
        [r for r in fast if r.fetch.overlapped],
    )
    compare(
        "crawling trials",
        [r for r in lone if r.fetch.sni in POLICED and r.control_kind == "A"],
        [r for r in records if r.fetch.sni in POLICED and r.control_kind == "A"],
    )


def compare(what, alone, beside):
    """Print how trials beside another did, against those that had the line alone."""
    medians = []
    for how, chosen in (("alone", alone), ("beside another", beside)):
        rates = [goodput_bps(r.fetch) for r in chosen]
        medians.append(statistics.median(rates))
        sys.stdout.write(
            f"{what}, {how}: n={len(rates)}, median {medians[-1] / 1e3:.1f} kbit/s, spread "
            f"{min(rates) / 1e3:.1f}-{max(rates) / 1e3:.1f}\n"
        )
    sys.stdout.write(f"{what}: median differs by {medians[1] / medians[0] - 1:+.1%}\n")


if __name__ == "__main__":
    main()
