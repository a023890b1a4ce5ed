"""Calls broken, messages fine."""

import msgspec
import pytest
from builders import call, fetch, reach, session

from analysis.calls_only import calls_broken_messages_fine
from analysis.lines import finding_lines
from analysis.verdict import judge


def finding(kind, verdict):
    trials = {
        "fetch": session([fetch(number=n) for n in range(3)]),
        "reach": [reach(), reach("control")],
        "call": [call(), call("control")],
    }
    return msgspec.structs.replace(judge(trials[kind]), verdict=verdict)


@pytest.mark.parametrize(
    ("verdicts", "expected"),
    [
        ({"call": "call_degraded", "reach": "normal"}, True),
        ({"call": "call_degraded", "reach": "normal", "fetch": "normal"}, True),
        ({"call": "call_degraded", "reach": "normal", "fetch": "throttled"}, False),
        ({"call": "call_degraded", "reach": "inconclusive"}, False),
        ({"call": "call_degraded"}, False),
        ({"call": "normal", "reach": "normal"}, False),
        ({"reach": "normal"}, False),
        ({}, False),
    ],
)
def test_only_a_spoiled_call_beside_working_messages_is_that(verdicts, expected):
    findings = [finding(kind, verdict) for kind, verdict in verdicts.items()]
    assert calls_broken_messages_fine(findings) is expected


def test_a_list_of_findings_says_of_which_service_only_calls_are_spoiled():
    alone = [finding("call", "call_degraded"), finding("reach", "normal")]
    named = [msgspec.structs.replace(item, service="whatsapp") for item in alone]
    more = [msgspec.structs.replace(item, service="telegram") for item in alone[:1]]
    said = list(finding_lines([*named, *more], every=False))
    assert said[3:] == ["whatsapp on RU AS12389: calls are spoiled and everything else of it works"]
