"""How often flow pairs find 5 % extra loss, and how often they find what is not there.

    python tests/bench/bench_power.py [--runs 500] [--at-once 25] [--processes 2] [--keep FOLDER]
    python tests/bench/bench_power.py --from FOLDER        # judge again what was kept

The figures in docs/far_end.md are those of 500 runs, which take 25 minutes and more.

Each run is a session as ``probe run`` makes it, pair after pair until the judge has heard enough:
real flows over loopback sockets, on fresh ports, through the lab's relay to a real far end; many
run at once in each process. Each has an emulated line and a censor of its own. On the bad line the
air fades in time, so that both flows of a pair, and both directions, meet the same lapse. No
threshold was chosen on these seeds or lines.

The far end's limits for one client are lifted, as all runs come from one address. What the kernel
itself dropped meanwhile is counted: ``unshare -rn`` (and ``ip link set lo up``) leaves the count to
this process alone.
"""

import argparse
import asyncio
import json
import random
import sys
import tempfile
import time
from collections import Counter, defaultdict
from concurrent.futures import ProcessPoolExecutor
from contextlib import AsyncExitStack
from itertools import chain, repeat
from pathlib import Path

import msgspec

from analysis.evaluate.tables import Report, share
from probe.bench import Bench
from probe.cli import Judging
from probe.farend import FarEndConfig, ReflectorLimits, serve
from probe.ids import uuid7
from probe.lab.loopback.udp_relay import relay_udp
from probe.lab.loopback.wire import Wire
from probe.lab.rules import Fade, Line, Loss, Match, Rule
from probe.limits import RUN_BYTES, Limits
from probe.line import Line as Turns
from probe.measurement import Vantage
from probe.network import Network
from probe.recorder import Recorder
from probe.session import carry_out
from probe.session_kinds import CallSession
from probe.store import RunFile, read

HOST = "198.18.3.1"
SHAPES = ("telegram", "whatsapp")
WAYS = ("up", "down")
EXTRA = 0.05
MOST_PAIRS = 3
#: Between the starts of runs, so that they are not all judged in the same moment.
STEP_S = 0.4
LINE = Line(rate_down_bps=30e6, rate_up_bps=20e6, rtt_s=0.025, jitter_s=0.004)
#: A poor 2.4 GHz link: an ordinary percent, lapses of 0.3 s in which most is lost, and gaps of a
#: second in which all is (the longest in roc-streaming/qa).
BAD_WIFI = (
    Rule(name="air", effect=Fade(good_s=6.0, bad_s=0.3, good=0.01, bad=0.6), scope="shared"),
    Rule(name="gap", effect=Fade(good_s=20.0, bad_s=1.0), scope="shared"),
)
AIRS = {"clean": (), "bad Wi-Fi": BAD_WIFI}
CENSORS = {f"{EXTRA:.0%} extra loss": True, "no censor": False}
ROWS = [(air, censored) for censored in CENSORS for air in AIRS]
#: Beside the kept records: how the machine did.
NOTE = "note.txt"
LIMITS = ReflectorLimits(
    flows_per_client=4096, client_packets_per_s=1e6, total_packets_per_s=1e6, idle_s=60.0
)


class Ended(msgspec.Struct, frozen=True):
    """One run: what was said of it after how many pairs, loss of each arm, worst loop lag."""

    session: str
    verdict: str
    mechanism: str | None
    pairs: int
    failures: tuple[str, ...]
    lost: tuple[int, int]
    sent: int
    lag_s: float


def rules(air, censored, number):
    """The line's own weather, and a censor that knows the shape, each way in turn."""
    if not censored:
        return AIRS[air]
    match = Match(payload=(shape_of(number),), transport="udp")
    way = WAYS[number // len(SHAPES) % len(WAYS)]
    return (*AIRS[air], Rule(name="censor", match=match, effect=Loss(EXTRA), direction=way))


def shape_of(number):
    return SHAPES[number % len(SHAPES)]


async def one_run(number, seed, policy, far_end, file):
    """Carry out one session behind a wire of its own."""
    wire = Wire(LINE, policy, seed)
    async with AsyncExitStack() as stack:
        connect_to = {}
        for port in far_end.call_ports:
            relay = await relay_udp(wire, (HOST, port), ("127.0.0.1", port), "127.0.0.1")
            stack.callback(relay.close)
            connect_to[HOST, port] = relay.address
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        judge = Judging()
        bench = Bench(
            network=Network(connect_to=connect_to),
            limits=Limits(Path(folder) / "limits.json", RUN_BYTES, time.monotonic, time.time),
            line=Turns(),
            recorder=Recorder(file, uuid7(time.time()), Vantage(), time.time),
            judge=judge,
            rng=random.Random(seed),
            tell=lambda _: None,
        )
        shape = shape_of(number)
        plan = CallSession(shape, HOST, far_end.call_ports, "voip-60", shape)
        trials = await carry_out(plan, 0, bench)
        await asyncio.sleep(1.0)  # what is still on the wire arrives before its relay goes
        return ended(judge, trials)


def ended(judge, trials):
    finding = json.loads(judge.conclude([trials]).json_line)
    calls = {arm: [t.call for t in trials if t.arm == arm] for arm in ("target", "control")}
    lost = [sum(c.lost_up + c.lost_down + c.lost for c in calls[arm]) for arm in calls]
    return Ended(
        trials[0].session,
        finding["verdict"],
        finding["mechanism"],
        len(calls["target"]),
        tuple(t.failure for t in trials if t.failure),
        tuple(lost),
        sum(c.sent for each in calls.values() for c in each),
        max(t.host.loop_lag_s or 0.0 for t in trials),
    )


def order(options, part):
    """One process's runs, the rows side by side."""
    return [
        (row, number)
        for number in range(part, options.runs, options.processes)
        for row in ROWS
        if number < max(options.runs // 5, 1) or not CENSORS[row[1]]
    ]


def play(options, part):
    """Carry out one process's part of the runs, so many at once; return them by row, and CPU."""
    runs = order(options, part)
    Judging().enough(())  # so that nobody's call waits for its import
    cpu_s = time.process_time()
    with tempfile.TemporaryDirectory() as temporary:
        done = asyncio.run(_play(options, runs, options.keep or Path(temporary)))
    return done, time.process_time() - cpu_s


async def _play(options, runs, folder):
    gate = asyncio.Semaphore(options.at_once)
    done = []
    config = FarEndConfig(host="127.0.0.1", calls=(0, 0, 0), https_port=None, reflector=LIMITS)
    async with AsyncExitStack() as stack:
        far_end = await stack.enter_async_context(serve(config))
        files = {
            row: stack.enter_context(RunFile(folder / " ".join(row), uuid7(time.time())))
            for row in {row for row, _ in runs}
        }

        async def one(place, row, number):
            await asyncio.sleep(STEP_S * min(place, options.at_once))
            async with gate:
                air, censored = row
                policy, seed = rules(air, CENSORS[censored], number), options.seed + number
                made = await one_run(number, seed, policy, far_end, files[row])
                done.append((row, made))
                if (made.verdict == "call_degraded") != CENSORS[censored]:
                    say(f"not as expected: {air}, {censored}, seed {seed}: {made}")
                if len(done) % options.at_once == 0:
                    say(f"{len(done)} of {len(runs)}")

        async with asyncio.TaskGroup() as group:
            for place, (row, number) in enumerate(runs):
                group.create_task(one(place, row, number))
    return done


def judge_again(folder):
    """Judge the kept sessions, pair after pair as a live run would; return the runs by row."""
    judge = Judging()
    by_row = defaultdict(list)
    for row in ROWS:
        for path in (folder / " ".join(row)).glob("new/*.jsonl"):
            sessions = defaultdict(list)
            for record in read(path).records:
                sessions[record.session].append(record)
            by_row[row] += [ended(judge, heard(judge, trials)) for trials in sessions.values()]
    return by_row


def heard(judge, trials):
    """As many of a session's pairs as this judge wants."""
    for count in range(2, len(trials), 2):
        if judge.enough(trials[:count]):
            return trials[:count]
    return trials


def table_rows(row, done):
    title = f"{row[0]}, {row[1]}"
    packets = sum(one.sent for one in done) / 2
    lost = [sum(one.lost[arm] for one in done) / packets for arm in range(2)]
    verdicts = Counter(map(said, done)).most_common()
    note = f"{sum(one.pairs for one in done) / len(done):.2f} pairs on average; "
    note += ", ".join(f"{count} {word}" for word, count in verdicts)
    note += f"; lost {lost[0]:.2%} of the shape's packets, {lost[1]:.2%} of the others"
    hits = [one.pairs for one in done if one.verdict == "call_degraded"]
    if not CENSORS[row[1]]:
        what = f"{title}: false findings"
        return [share(what, len(hits), len(done), target=1 / 500, sense="at most", note=note)]
    soon = sum(pairs <= MOST_PAIRS for pairs in hits)
    what = f"{title}: found in {MOST_PAIRS} pairs or fewer"
    return [
        share(what, soon, len(done), target=0.99, note=note),
        share(f"{title}: found", len(hits), len(done)),
    ]


def said(one):
    return f"{one.verdict} ({one.mechanism})" if one.mechanism else one.verdict


def dropped():
    """Datagrams the kernel dropped because a socket was full, in this network namespace."""
    head, counts = (
        line.split()[1:]
        for line in Path("/proc/self/net/snmp").read_text().splitlines()
        if line.startswith("Udp:")
    )
    udp = dict(zip(head, map(int, counts), strict=True))
    return udp["RcvbufErrors"] + udp["SndbufErrors"] + udp["InCsumErrors"]


def own_faults(done, lost_packets, cores, options):
    lags = sorted(one.lag_s for one in done)
    failures = Counter(word for one in done for word in one.failures)
    failed = ", ".join(f"{count} {word}" for word, count in failures.items()) or "none"
    return (
        f"Seeds from {options.seed}. Own faults: {lost_packets} datagrams dropped by the kernel of "
        f"{2 * sum(one.sent for one in done)} in flows; failed trials: {failed}; worst loop lag of "
        f"a run {lags[len(lags) // 2] * 1e3:.0f} ms (median), {lags[-1] * 1e3:.0f} ms (most). "
        f"{options.processes} processes, {options.at_once} runs at once in each, "
        f"{cores:.0%} of a core."
    )


def say(line):
    sys.stderr.write(line + "\n")


def make(options):
    """Carry out all runs; return them by row, and how the machine did."""
    begun, before = time.monotonic(), dropped()
    with ProcessPoolExecutor(options.processes) as pool:
        parts = list(pool.map(play, repeat(options), range(options.processes)))
    by_row = defaultdict(list)
    for row, one in chain.from_iterable(done for done, _ in parts):
        by_row[row].append(one)
    cores = sum(cpu_s for _, cpu_s in parts) / (time.monotonic() - begun)
    note = own_faults(list(chain(*by_row.values())), dropped() - before, cores, options)
    if options.keep:
        (options.keep / NOTE).write_text(note)
    return by_row, note


def main(options):
    if options.kept:
        by_row, note = judge_again(options.kept), (options.kept / NOTE).read_text()
    else:
        by_row, note = make(options)
    rows = chain.from_iterable(table_rows(row, by_row[row]) for row in ROWS if by_row[row])
    return Report(title="Calls through real sockets", rows=tuple(rows), notes=(note,)).text()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--runs", type=int, default=50, help="without a censor; a fifth with one")
    parser.add_argument("--at-once", type=int, default=25, help="runs in each process")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--seed", type=int, default=20250815)
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="where the records go")
    parser.add_argument("--from", dest="kept", type=Path, metavar="FOLDER", help="judge these")
    sys.stdout.write(main(parser.parse_args()))
