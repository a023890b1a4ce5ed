"""A run against real servers on loopback: what it stores, how it ends, how it is interrupted."""

import os
import random
import signal
import threading
import time
from collections.abc import Iterator, Sequence
from datetime import date
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import msgspec
import pytest

from probe.bench import Conclusion
from probe.execute import Options, execute
from probe.exits import CommandError, Status
from probe.measurement import Measurement, Vantage
from probe.network import Network
from probe.plan import make_plan
from probe.store import read, run_files
from probe.targets import Control, FetchTarget, ReachTarget, Service, Targets

SIZE = 200_000


class Objects(BaseHTTPRequestHandler):
    """Serves objects; one under /slow comes a kilobyte at a time."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(SIZE))
        self.end_headers()
        if self.path != "/slow":
            self.wfile.write(bytes(SIZE))
            return
        try:
            for _ in range(SIZE // 1000):
                self.wfile.write(bytes(1000))
                time.sleep(0.1)
        except OSError:
            pass  # the probe has left

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def served() -> Iterator[dict[str, int]]:
    """Two hosts on loopback addresses of their own."""
    servers = {
        name: ThreadingHTTPServer((address, 0), Objects)
        for name, address in (("target", "127.0.0.2"), ("control", "127.0.0.3"))
    }
    for server in servers.values():
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
    yield {name: server.server_port for name, server in servers.items()}
    for server in servers.values():
        server.shutdown()
        server.server_close()


class TwoPairs:
    """A judge that has heard enough after two pairs, and must be ready before it hears any."""

    ready = False

    def prepare(self) -> None:
        self.ready = True

    def enough(self, trials: Sequence[Measurement]) -> bool:
        assert self.ready
        return len(trials) >= 4

    def want(self, _: object) -> None:
        return None

    def suspects(self, _: object) -> bool:
        return False

    def settled(self, *_: object) -> bool:
        return False

    def conclude(self, sessions: Sequence[Sequence[Measurement]]) -> Conclusion:
        first = sessions[0][0]
        return Conclusion(
            service=first.service,
            kind=first.kind,
            figures="",
            word="normal",
            detail="",
            json_line="{}",
            found=False,
        )


class Tireless(TwoPairs):
    """A judge that never has heard enough."""

    def enough(self, _: object) -> bool:
        return False


class Quiet:
    """An emitter that keeps what it was told."""

    def __init__(self) -> None:
        self.said: list[str] = []
        self.concluded: list[str] = []
        self.missing: list[str] = []

    def begin(self, *_: object) -> None: ...

    def progress(self, *_: object) -> None: ...

    def conclusion(self, conclusion: Conclusion) -> None:
        self.concluded.append(f"{conclusion.service} {conclusion.kind}")

    def not_measured(self, service: str, kind: str, why: str) -> None:
        self.missing.append(f"{service} {kind}: {why}")

    def say(self, sentence: str) -> None:
        self.said.append(sentence)

    def end(self, *_: object) -> None: ...


async def nowhere(*_: object) -> Vantage:
    return Vantage(country="ZZ")


def options(
    data: Path, ports: dict[str, int], *, path: str = "/fast", budget_bytes: int = 10_000_000
) -> Options:
    targets = Targets(
        version=1,
        reviewed=date(2026, 11, 21),
        expires=date(2027, 2, 21),
        controls={
            "pages": Control(
                name="Pages",
                url="http://control.example/fast",
                min_bytes=SIZE,
                scope="foreign",
                source="s",
            )
        },
        services={
            "twitter": Service(
                name="Twitter",
                group="social",
                controls=("pages",),
                fetch=(
                    FetchTarget(url=f"http://target.example{path}", min_bytes=SIZE, source="s"),
                ),
                reach=(ReachTarget(address=f"127.0.0.2:{ports['target']}"),),
            )
        },
    )
    return Options(
        targets=targets,
        plan=make_plan(targets, random.Random(1), only=(), kinds=("fetch", "reach")),
        data=data,
        budget_bytes=budget_bytes,
        network=Network(
            connect_to={
                ("target.example", 80): ("127.0.0.2", ports["target"]),
                ("control.example", 80): ("127.0.0.3", ports["control"]),
            }
        ),
        seed=1,
        whereabouts=nowhere,
    )


def test_a_run_stores_line_checks_and_interleaved_pairs(
    tmp_path: Path, served: dict[str, int]
) -> None:
    emitter = Quiet()
    ended = execute(options(tmp_path, served), TwoPairs(), emitter)
    assert ended.status is Status.DONE
    (path,) = run_files(tmp_path)
    assert path == ended.file
    records = read(path).records
    assert [r.kind for r in records if r.service == "line"] == ["reach"]
    fetches = [r for r in records if r.kind == "fetch"]
    assert [r.round for r in fetches] == [0, 0, 1, 1]
    assert [{r.arm for r in fetches[i : i + 2]} for i in (0, 2)] == [{"target", "control"}] * 2
    assert all(r.failure is None and r.fetch and r.fetch.body_bytes == SIZE for r in fetches)
    assert len({r.session for r in fetches}) == 1
    assert emitter.concluded == ["twitter fetch", "twitter reach"]
    assert ended.used_bytes > 4 * SIZE


def test_nothing_of_the_volunteers_address_is_in_a_record(
    tmp_path: Path, served: dict[str, int]
) -> None:
    execute(options(tmp_path, served), TwoPairs(), Quiet())
    (path,) = run_files(tmp_path)
    assert b"127.0.0.1" not in path.read_bytes()


def test_a_dead_line_is_kept_as_a_record_and_said_in_one_line(
    tmp_path: Path, served: dict[str, int]
) -> None:
    emitter = Quiet()
    given = options(tmp_path, served)
    unreachable = Network(connect_to={("control.example", 80): ("255.255.255.255", 80)})
    ended = execute(msgspec.structs.replace(given, network=unreachable), TwoPairs(), emitter)
    assert ended.status is Status.LINE_DOWN
    (sentence,) = emitter.said
    assert sentence.startswith("The line is down: ")
    (path,) = run_files(tmp_path)
    (record,) = read(path).records
    assert record.service == "line"
    assert record.failure is not None


def test_a_run_ends_at_its_budget_and_says_what_was_left_out(
    tmp_path: Path, served: dict[str, int]
) -> None:
    emitter = Quiet()
    ended = execute(options(tmp_path, served, budget_bytes=100_000), TwoPairs(), emitter)
    assert ended.status is Status.PARTIAL
    assert emitter.missing == [
        "twitter fetch: the byte budget was used up: raise --budget, or try again tomorrow"
    ]


def test_a_session_that_the_budget_cuts_says_so_in_its_last_records(
    tmp_path: Path, served: dict[str, int]
) -> None:
    given = options(tmp_path, served, budget_bytes=int(2.5 * 2 * 1.06 * SIZE))
    ended = execute(given, Tireless(), Quiet())
    assert ended.file is not None
    fetches = [r for r in read(ended.file).records if r.kind == "fetch"]
    assert [r.round for r in fetches] == [0, 0, 1, 1]
    assert [r.out_of_budget for r in fetches[:2]] == [False, False]
    assert fetches[-1].out_of_budget


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_ends_at_once_and_keeps_what_is_done(
    tmp_path: Path, served: dict[str, int], number: signal.Signals
) -> None:
    given = options(tmp_path, served, path="/slow")
    interrupted_at: list[float] = []

    def interrupt() -> None:
        while not any(path.stat().st_size for path in run_files(tmp_path)):
            time.sleep(0.01)
        time.sleep(1.5)
        interrupted_at.append(time.monotonic())
        os.kill(os.getpid(), number)

    threading.Thread(target=interrupt, daemon=True).start()
    ended = execute(given, TwoPairs(), Quiet())
    assert ended.status is Status.INTERRUPTED
    assert time.monotonic() - interrupted_at[0] < 2.0
    (path,) = run_files(tmp_path)
    assert path.parent.name == "new"
    contents = read(path)
    assert contents.torn_bytes == 0
    assert contents.records[0].service == "line"


def test_a_data_folder_that_cannot_be_used_is_a_sentence(
    tmp_path: Path, served: dict[str, int]
) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(CommandError, match="--data"):
        execute(options(tmp_path / "file", served), TwoPairs(), Quiet())
