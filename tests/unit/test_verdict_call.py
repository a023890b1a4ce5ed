"""Hand-made call sessions and the one finding each must give."""

import msgspec
import numpy as np
import pytest
from builders import call, trial

from analysis.finding import to_json
from analysis.verdict import advise, judge
from probe import failure
from probe.measurement import Call, Host


def bernoulli(seed, ratio, fate="lost_up", packets=333, start=0):
    rng = np.random.default_rng(seed)
    lost = rng.random(packets) < ratio
    return [fate if lost[i] and i >= start else "ok" for i in range(packets)]


def calls(target, control=None, count=2, **fields):
    """Pairs of flows; each side gets the number of its pair and returns the fates."""
    trials = []
    for n in range(count):
        trials.append(call(number=n, fates=target(n), **fields))
        fates = control(n) if control else None
        trials.append(call("control", n, fates=fates, **fields))
    return trials


def test_two_clean_pairs_are_normal():
    finding = judge(calls(lambda _: ["ok"] * 333))
    assert finding.verdict == "normal"
    assert finding.direction is None
    assert "3% more loss is ruled out" in finding.why


def test_random_loss_of_what_is_sent_is_found_with_its_direction_and_onset():
    finding = judge(calls(lambda n: bernoulli(n, 0.3, start=30), count=3))
    assert (finding.verdict, finding.mechanism) == ("call_degraded", "random_loss")
    assert finding.direction == "up"
    assert abs(finding.onset_packet - 30) <= 5
    assert "of the packets they send" in finding.why
    assert "lose none" in finding.why


def test_loss_on_the_way_back_is_down():
    finding = judge(calls(lambda n: bernoulli(n, 0.1, "lost_down")))
    assert (finding.verdict, finding.direction) == ("call_degraded", "down")
    assert finding.onset_packet is None


def test_loss_both_ways_is_both():
    def both(n):
        up, down = bernoulli(n, 0.15), bernoulli(n + 9, 0.15, "lost_down")
        return [u if u != "ok" else d for u, d in zip(up, down, strict=True)]

    assert judge(calls(both)).direction == "both"


def test_loss_at_a_relay_has_no_direction():
    fates = {"target": lambda n: bernoulli(n, 0.2, "lost")}
    finding = judge(calls(fates["target"], peer="relay"))
    assert (finding.verdict, finding.direction) == ("call_degraded", None)


def test_periodic_loss_is_a_policer():
    finding = judge(calls(lambda _: ["lost_up" if i % 6 == 5 else "ok" for i in range(333)]))
    assert finding.mechanism == "policed"


def test_loss_in_runs_is_bursty():
    def runs(n):
        rng, lost, fates = np.random.default_rng(n), False, []
        for _ in range(333):
            lost = rng.random() < (0.8 if lost else 0.03)
            fates.append("lost_up" if lost else "ok")
        return fates

    assert judge(calls(runs, count=4)).mechanism == "bursty"


def test_a_flow_that_dies_is_cut_off():
    finding = judge(calls(lambda _: ["ok"] * 100 + ["lost_up"] * 50))
    assert (finding.mechanism, finding.onset_packet) == ("cut_off", 100)
    assert "nothing more gets through" in finding.why


def test_late_packets_are_a_delay():
    trials = []
    for n in range(2):
        trials += [call(number=n, rtt_s=0.35), call("control", n)]
    finding = judge(trials)
    assert (finding.verdict, finding.mechanism) == ("call_degraded", "delayed")
    assert "350 ms" in finding.why


def test_a_clock_that_was_set_is_not_a_delay():
    stepped = {"host": Host(clock_step_s=0.3)}
    trials = []
    for n in range(2):
        trials += [call(number=n, rtt_s=0.35, fields=stepped), call("control", n)]
    assert judge(trials).verdict == "normal"


def test_flows_timed_by_different_clocks_are_not_compared_for_delay():
    stamped = {"host": Host(stamps=("rx", "tx"))}
    trials = []
    for n in range(2):
        trials += [call(number=n, rtt_s=0.35), call("control", n, fields=stamped)]
    assert judge(trials).verdict == "normal"


def test_three_calls_that_cannot_be_set_up_are_degraded():
    trials = []
    for n in range(3):
        silent = Call(planned=333, setup="no_answer")
        trials.append(
            trial("call", number=n, call=silent, failure=failure.TIMEOUT, service="whatsapp")
        )
        trials.append(call("control", n))
    finding = judge(trials)
    assert (finding.verdict, finding.mechanism) == ("call_degraded", "no_setup")


def test_no_way_out_is_not_a_call_that_cannot_be_set_up():
    trials = []
    for n in range(6):
        silent = Call(planned=333, setup="no_answer")
        trials.append(
            trial("call", number=n, call=silent, failure=failure.NETWORK_DOWN, service="whatsapp")
        )
        trials.append(call("control", n))
    finding = judge(trials)
    assert finding.verdict == "inconclusive"
    assert "no way out" in finding.why
    assert advise(trials[:6]).stop
    assert not advise(trials[:4]).stop


def test_loss_that_both_flows_share_is_the_line():
    def lossy(n):
        return bernoulli(n, 0.12)

    finding = judge(calls(lossy, lambda n: bernoulli(n + 50, 0.12), count=6))
    assert finding.verdict == "slow_line"


def test_one_bad_path_of_several_is_not_a_verdict():
    def once(n):
        return bernoulli(n, 0.4) if n == 1 else ["ok"] * 333

    assert judge(calls(once, count=4)).verdict in ("normal", "inconclusive")


def test_one_pair_is_never_enough():
    trials = calls(lambda n: bernoulli(n, 0.5), count=1)
    assert judge(trials).verdict == "inconclusive"
    assert not advise(trials).stop


def test_the_session_ends_at_six_pairs():
    def unlucky(n):
        return bernoulli(n, 0.035)

    trials = calls(unlucky, lambda n: bernoulli(n + 70, 0.01), count=6)
    assert advise(trials).stop


@pytest.mark.parametrize("verdict", ["normal", "call_degraded"])
def test_call_findings_say_direction_and_onset(verdict):
    ratio = 0.0 if verdict == "normal" else 0.3
    finding = judge(calls(lambda n: bernoulli(n, ratio)))
    assert finding.verdict == verdict
    assert {"direction", "onset_packet"} <= set(msgspec.json.decode(to_json(finding)))
