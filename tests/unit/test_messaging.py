"""Calls broken, messages fine: asked while a call is under way, and told by one predicate."""

import random
import time
from collections.abc import Sequence
from pathlib import Path

import msgspec
import pytest
import trustme
from builders import call
from far_ends import certify

from analysis.messaging import messages_work
from probe.bench import Bench, Running
from probe.call_pairs import far_end_pair
from probe.farend import FarEndConfig, serve
from probe.limits import Limits
from probe.line import Line
from probe.measurement import Check, Measurement, Vantage
from probe.network import Network
from probe.recorder import Recorder
from probe.session_kinds import CallSession
from probe.store import RunFile


class Deaf:
    """A judge nobody asks in these tests."""


def with_checks(*failures: str | None) -> Measurement:
    trial = call()
    checks = tuple(Check(endpoint="e", failure=failure) for failure in failures)
    body = msgspec.structs.replace(trial.call, messaging=checks)
    return msgspec.structs.replace(trial, call=body)


@pytest.mark.parametrize(
    ("trials", "expected"),
    [
        ([with_checks(None, None)], True),
        ([with_checks("generic_timeout_error"), with_checks("connection_reset")], False),
        ([with_checks(None), with_checks("connection_reset")], None),
        ([with_checks()], None),
        ([], None),
    ],
)
def test_the_predicate_is_true_false_or_unknown(
    trials: Sequence[Measurement], expected: bool | None
) -> None:
    assert messages_work(trials) is expected


async def test_the_first_call_of_a_session_keeps_what_the_service_answered_meanwhile(
    tmp_path: Path,
) -> None:
    chain, key = certify(trustme.CA(), tmp_path, "far.example")
    config = FarEndConfig(host="127.0.0.1", calls=(0,), https_port=0, certificate=chain, key=key)
    async with serve(config) as running:
        network = Network(
            connect_to={
                ("far.example", 3478): ("127.0.0.1", running.call_ports[0]),
                ("chat.example", 5222): ("127.0.0.1", running.https_port),
                ("gone.example", 5222): ("127.0.0.1", 1),
            }
        )
        plan = CallSession(
            service="whatsapp",
            host="far.example",
            ports=(3478,),
            profile="voip-60",
            shape="whatsapp",
            messaging=("chat.example:5222", "gone.example:5222"),
            duration_s=2.0,
        )
        with RunFile(tmp_path, "run") as file:
            line = Line()
            bench = Bench(
                network=network,
                limits=Limits(tmp_path / "limits.json", 10**7, time.monotonic, time.time),
                line=line,
                recorder=Recorder(file, "run", Vantage(), time.time),
                judge=Deaf(),
                rng=random.Random(1),
                tell=lambda _: None,
            )
            async with line.hold(0) as hold:
                session = Running(plan, "session", hold, [])
                first = await far_end_pair(session, plan, 0, bench)
                second = await far_end_pair(session, plan, 1, bench)
    target, control = first
    assert target.call is not None
    assert [check.failure for check in target.call.messaging] == [None, "connection_refused"]
    assert control.call is not None
    assert control.call.messaging == ()
    assert all(trial.call and trial.call.messaging == () for trial in second)
    assert target.call.sent == control.call.sent > 0
