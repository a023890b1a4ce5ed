"""The evaluation behind the emulated censor: which runs are made, and how findings are counted."""

import asyncio
import json
import os
import time
from pathlib import Path

import msgspec
import pytest
from builders import policed, session

from analysis.evaluate import lab_runs
from analysis.evaluate.confusion import counted, macro_f1, scores, table
from analysis.evaluate.lab_compare import NO_RECORD, Outcome, cost, outcome
from analysis.evaluate.lab_evaluation import (
    Discarded,
    Evaluation,
    compare,
    evaluate,
    forget_unfit,
    unfit,
)
from analysis.evaluate.lab_matrix import (
    Cell,
    Expected,
    Preset,
    asked,
    matrix,
    quick_matrix,
    read_presets,
    scope,
)
from analysis.evaluate.lab_report import markdown, row
from analysis.evaluate.lab_runs import (
    LabError,
    Ran,
    command,
    keep_presets,
    kept,
    known_presets,
    own_presets,
)
from analysis.verdict import judge
from probe.measurement import encode

SERVICES = {
    "twitter": ("fetch",),
    "google": ("fetch",),
    "whatsapp": ("fetch", "reach", "call"),
    "telegram": ("fetch", "reach", "call"),
}
POLICED = Expected(
    service="twitter",
    kind="fetch",
    verdict="throttled",
    mechanisms=("policed", "random_loss"),
    rate_bps=130_000,
)
LOSSY_CALLS = Expected(
    service="whatsapp",
    kind="call",
    verdict="call_degraded",
    mechanisms=("random_loss",),
    direction="up",
    onset_packet=31,
)
CELL = Cell(
    preset="policer", engine="loopback", seed=1, services=("twitter", "google"), kinds=("fetch",)
)


def preset(*expected, name="policer", probability=1.0, engines=("loopback", "netns")):
    return Preset(
        name=name,
        title=name,
        engines=engines,
        probability=probability,
        services=SERVICES,
        expected=expected,
    )


def policed_session(**fields):
    return session([policed(number=number) for number in range(3)], **fields)


def found(expected, verdict, mechanism=None, **fields):
    """The outcome of a run in which this was expected and that was found."""
    whole = judge(policed_session())
    changed = msgspec.structs.replace(whole, verdict=verdict, mechanism=mechanism, **fields)
    return Outcome(
        cell=CELL, service="twitter", kind="fetch", expected=expected, finding=changed, cost=None
    )


# --- The matrix -----------------------------------------------------------------------------------


def test_a_run_asks_about_what_is_expected_and_one_service_beside_it():
    assert scope(preset(POLICED)) == (("twitter", "google"), ("fetch",))
    assert scope(preset(LOSSY_CALLS)) == (("whatsapp", "telegram"), ("call",))


def test_where_no_other_service_has_calls_one_is_fetched_from():
    telegram = msgspec.structs.replace(LOSSY_CALLS, service="telegram")
    services, kinds = scope(preset(LOSSY_CALLS, telegram))
    assert services == ("twitter", "whatsapp", "telegram")
    assert kinds == ("fetch", "call")


def test_where_nobody_is_singled_out_two_services_are_asked():
    assert scope(preset()) == (("twitter", "whatsapp"), ("fetch", "reach", "call"))
    star = Expected(service="*", kind="fetch", verdict="slow_line")
    assert scope(preset(star)) == (("twitter", "google"), ("fetch",))


def test_a_run_is_asked_only_what_a_service_offers():
    cell = msgspec.structs.replace(CELL, services=("twitter", "whatsapp"), kinds=("fetch", "call"))
    assert asked(cell, preset()) == [
        ("twitter", "fetch"),
        ("whatsapp", "fetch"),
        ("whatsapp", "call"),
    ]


def test_on_loopback_nobody_is_asked_whether_a_service_is_reached():
    cell = msgspec.structs.replace(CELL, services=("whatsapp",), kinds=("fetch", "reach"))
    assert asked(cell, preset()) == [("whatsapp", "fetch")]
    behind_kernels = msgspec.structs.replace(cell, engine="netns")
    assert asked(behind_kernels, preset()) == [("whatsapp", "fetch"), ("whatsapp", "reach")]


def test_a_preset_runs_on_the_engines_that_can_carry_it_seed_after_seed():
    known = {"a": preset(name="a"), "b": preset(name="b", engines=("netns",))}
    cells = matrix(known, ("loopback", "netns"), (7, 8))
    assert [cell.path for cell in cells[:3]] == ["loopback/a/7", "netns/a/7", "netns/b/7"]
    assert len(cells) == 6


def test_a_quick_matrix_takes_the_engines_in_turn():
    known = {
        "a": preset(name="a"),
        "b": preset(name="b"),
        "c": preset(name="c", engines=("netns",)),
    }
    assert [cell.path for cell in quick_matrix(known, ("loopback", "netns"), 7)] == [
        "loopback/a/7",
        "netns/b/7",
        "netns/c/7",
    ]
    assert len(quick_matrix(known, ("loopback",), 7)) == 2


def test_a_quick_matrix_begins_with_what_has_the_most_to_ask():
    known = {"short": preset(POLICED, name="short"), "long": preset(name="long")}
    cells = quick_matrix(known, ("loopback",), 7)
    assert [cell.preset for cell in cells] == ["long", "short"]


def test_a_censor_that_takes_one_connection_in_three_is_given_three_sessions():
    (cell,) = matrix({"p": preset(POLICED, probability=0.33)}, ("netns",), (5,))
    assert cell.sessions == 3
    assert len(set(cell.seeds)) == 3


def test_an_expectation_for_all_gives_way_to_one_by_name():
    star = Expected(service="*", kind="fetch", verdict="slow_line")
    whole = preset(star, POLICED)
    assert whole.expects("twitter", "fetch").verdict == "throttled"
    assert whole.expects("google", "fetch").verdict == "slow_line"
    assert whole.expects("google", "reach").verdict == "normal"


# --- One run --------------------------------------------------------------------------------------


def test_a_policer_found_with_its_rate_is_right_in_every_respect():
    seen = outcome(CELL, POLICED, "twitter", "fetch", [policed_session()])
    assert seen.right
    assert seen.exact
    assert seen.mechanism_right
    assert seen.rate_right
    assert seen.covered
    assert abs(seen.rate_error) < 0.05
    assert seen.wrong == ()


def test_sessions_are_judged_together():
    seen = outcome(CELL, POLICED, "twitter", "fetch", [policed_session(), policed_session()])
    assert seen.finding.sessions == 2


def test_a_run_without_records_is_wrong_and_says_so():
    seen = outcome(CELL, POLICED, "twitter", "fetch", [])
    assert seen.verdict == NO_RECORD
    assert seen.wrong == ("no record, expected throttled",)


def test_a_verdict_that_is_honest_too_is_right_but_not_exact():
    partial = msgspec.structs.replace(POLICED, accept=("inconclusive",))
    seen = found(partial, "inconclusive")
    assert seen.right
    assert not seen.exact
    assert seen.mechanism_right is None
    assert seen.rate_right is None


def test_blame_on_a_free_service_is_a_false_alarm():
    free = Expected(service="google", kind="fetch", verdict="normal")
    assert found(free, "throttled", "policed").false_alarm
    assert not found(free, "slow_line").false_alarm
    assert not found(POLICED, "throttled", "policed").false_alarm


def test_a_rate_that_is_missing_or_too_far_off_is_wrong():
    rate = judge(policed_session()).rate_bps
    twice = msgspec.structs.replace(rate, value=260e3)
    assert found(POLICED, "throttled", "policed", rate_bps=None).wrong == ("rate not found",)
    assert found(POLICED, "throttled", "policed", rate_bps=twice).wrong == ("rate +100.0% off",)


def test_a_lower_bound_is_wrong_only_above_the_rate():
    rate = judge(policed_session()).rate_bps
    below = msgspec.structs.replace(rate, value=90e3, lower_bound=True)
    above = msgspec.structs.replace(rate, value=160e3, lower_bound=True)
    assert found(POLICED, "throttled", "policed", rate_bps=below).rate_right
    assert not found(POLICED, "throttled", "policed", rate_bps=above).rate_right


def test_direction_and_onset_of_a_call_are_held_to_the_preset():
    right = found(LOSSY_CALLS, "call_degraded", "random_loss", direction="up", onset_packet=32)
    assert right.direction_right
    assert right.onset_error == 2
    late = found(LOSSY_CALLS, "call_degraded", "random_loss", direction="both", onset_packet=90)
    assert late.wrong == ("direction both, expected up", "onset 60 packets off")


def test_the_cost_ends_where_the_judge_wants_no_more():
    decided = policed_session()
    more = session([policed(number=number) for number in range(6)])
    assert cost(more) == cost(decided)
    assert cost(decided).bytes == sum(trial.fetch.body_bytes for trial in decided)


# --- Tables ---------------------------------------------------------------------------------------


def test_any_of_several_right_mechanisms_counts_as_the_first():
    assert found(POLICED, "throttled", "random_loss").mechanisms == ("throttled policed",) * 2
    assert found(POLICED, "throttled", "shaped").mechanisms == (
        "throttled policed",
        "throttled shaped",
    )
    assert found(POLICED, "normal").mechanisms == ("throttled policed", "none")
    chancy = msgspec.structs.replace(POLICED, accept=("normal",))
    assert found(chancy, "normal").mechanisms is None
    assert found(msgspec.structs.replace(POLICED, mechanisms=()), "normal").mechanisms is None


def test_the_f1_of_a_class_falls_by_misses_and_by_false_alarms():
    pairs = [("a", "a"), ("a", "none"), ("none", "a"), ("b", "b"), ("none", "none")]
    told = {score.name: score.f1 for score in scores(pairs, nothing="none")}
    assert told == {"a": pytest.approx(0.5), "b": 1.0}
    assert macro_f1(scores(pairs, nothing="none")) == pytest.approx(0.75)
    assert macro_f1([]) is None


def test_a_confusion_table_has_a_row_an_expected_class():
    heading, rows = counted([("a", "a"), ("a", "b"), ("b", "b"), ("b", "b")])
    assert heading[1:] == ["a", "b"]
    assert rows == [["a", "1", "1"], ["b", "", "2"]]
    assert table(heading, rows).count("\n") == 4


def test_the_section_names_each_disagreement_and_each_run_that_does_not_count():
    outcomes = (
        outcome(CELL, POLICED, "twitter", "fetch", [policed_session()]),
        found(Expected(service="google", kind="fetch", verdict="normal"), "throttled", "policed"),
    )
    left_out = (Discarded("netns/policer/1", "found no root, expected it"),)
    text = markdown(Evaluation(outcomes, left_out, 0.012), "Behind a censor")
    assert text.startswith("## Behind a censor\n")
    assert "| somebody blamed where nobody is in the way | 100 % (1 of 1)" in text
    assert "throttled, expected normal" in text
    assert "found no root, expected it" in text
    assert "Runs counted: 1 on loopback" in text


def test_variations_of_a_preset_share_a_row_that_names_all_that_was_expected():
    free = Expected(service="twitter", kind="fetch", verdict="normal")
    outcomes = tuple(
        msgspec.structs.replace(
            found(expected, "throttled", "policed"),
            cell=msgspec.structs.replace(CELL, preset=f"policer@{number}"),
        )
        for number, expected in enumerate((POLICED, free))
    )
    text = markdown(Evaluation(outcomes, (), 0.0), "x")
    assert "| policer | loopback | twitter fetch | normal or throttled | 1 of 2 |" in text


def test_an_outcome_is_one_json_object():
    seen = outcome(CELL, POLICED, "twitter", "fetch", [policed_session()])
    told = json.loads(msgspec.json.encode(row(seen)))
    assert (told["preset"], told["verdict"], told["right"]) == ("policer", "throttled", True)
    assert told["finding"]["mechanism"] == "policed"


# --- Runs kept and runs left out ------------------------------------------------------------------


def test_a_run_is_left_out_for_what_happened_to_it():
    done = Ran(cell=CELL, statuses=(0, 4), wall_s=60.0, said=("kept",))
    assert unfit(done, 0.01) == ""
    assert "held up for 0.30 s" in unfit(done, 0.30)
    failed = msgspec.structs.replace(done, statuses=(0, 1), said=("probe: found no root",))
    assert unfit(failed, 0.0) == "probe: found no root"
    overrun = msgspec.structs.replace(done, said=("this machine was too slow: 3 packets", "kept"))
    assert "3 packets" in unfit(overrun, 0.0)


def test_every_service_that_was_asked_about_has_an_outcome():
    ran = Ran(cell=CELL, statuses=(0,), wall_s=1.0)
    seen = compare(ran, preset(POLICED), [policed_session()])
    assert [(item.service, item.verdict) for item, _ in seen] == [
        ("twitter", "throttled"),
        ("google", NO_RECORD),
    ]


def test_what_was_kept_can_be_judged_again(tmp_path):
    place = tmp_path / CELL.path
    (place / "data" / "new").mkdir(parents=True)
    lines = b"".join(encode(trial) + b"\n" for trial in policed_session())
    (place / "data" / "new" / "run.jsonl").write_bytes(lines)
    ran = Ran(cell=CELL, statuses=(0,), wall_s=1.0)
    (place / "run.json").write_bytes(msgspec.json.encode(ran))
    assert kept(tmp_path) == [ran]
    seen = evaluate(tmp_path, kept(tmp_path), {"policer": preset(POLICED)})
    assert [item.right for item in seen.outcomes] == [True, False]
    gone = evaluate(tmp_path, kept(tmp_path), {})
    assert gone.discarded == (Discarded(CELL.path, "there is no such preset any more"),)


def test_a_run_that_does_not_count_is_made_again(tmp_path):
    slow, fine = (msgspec.structs.replace(CELL, seed=seed) for seed in (1, 2))
    for cell, status in ((slow, 1), (fine, 0)):
        ran = Ran(cell=cell, statuses=(status,), wall_s=1.0, said=("found no root",))
        (tmp_path / cell.path).mkdir(parents=True)
        (tmp_path / cell.path / "run.json").write_bytes(msgspec.json.encode(ran))
    told = []
    forget_unfit(tmp_path, told.append)
    assert [ran.cell for ran in kept(tmp_path)] == [fine]
    assert told == [f"{slow.path}: once more, found no root"]


def test_a_folder_without_runs_is_refused(tmp_path):
    with pytest.raises(LabError, match="found no runs"):
        kept(tmp_path)


def test_the_probe_is_run_as_a_person_would_run_it(tmp_path):
    words = command(CELL, 1, tmp_path)
    split = words.index("--")
    assert words[3:split] == ["lab", "run", "--engine", "loopback", "--seed", "1", "policer"]
    assert words[-4:] == ["--only", "twitter,google", "--kinds", "fetch"]


def test_presets_of_ones_own_are_kept_beside_the_runs_behind_them(tmp_path):
    mine, runs = tmp_path / "mine.toml", tmp_path / "runs"
    mine.write_text("one")
    assert own_presets(runs) is None
    keep_presets(mine, runs)
    keep_presets(mine, runs)
    there = own_presets(runs)
    assert there is not None
    assert there.read_text() == "one"
    words = command(CELL, 1, tmp_path, there)
    assert words[3:7] == ["lab", "run", "--presets", str(there)]


def test_runs_behind_other_presets_are_not_mixed_with_these(tmp_path):
    mine, runs = tmp_path / "mine.toml", tmp_path / "runs"
    mine.write_text("one")
    keep_presets(mine, runs)
    mine.write_text("two")
    with pytest.raises(LabError, match="found other presets"):
        keep_presets(mine, runs)
    stock = tmp_path / "stock" / CELL.path
    stock.mkdir(parents=True)
    (stock / "run.json").write_text("{}")
    with pytest.raises(LabError, match="the program's own presets"):
        keep_presets(mine, tmp_path / "stock")


def test_every_preset_of_the_program_can_be_read_and_asked_about():
    known = known_presets()
    cells = matrix(known, ("loopback", "netns"), (1,))
    assert {cell.preset for cell in cells} == set(known)
    assert all(asked(cell, known[cell.preset]) for cell in cells)


def test_a_preset_is_read_from_its_line():
    line = json.dumps(msgspec.to_builtins(preset(POLICED)) | {"source": "unknown here"})
    assert read_presets([line]) == {"policer": preset(POLICED)}


async def test_a_run_that_is_broken_off_leaves_no_process_and_no_mark(tmp_path, monkeypatch):
    slow = ("/bin/sh", "-c", f"echo $$ > {tmp_path}/pid; exec sleep 60")
    monkeypatch.setattr(lab_runs, "PROBE", slow)
    task = asyncio.create_task(lab_runs.run_all([CELL], tmp_path, 1, lambda *_: None))
    pid = await asyncio.to_thread(number_in, tmp_path / "pid")
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    assert not (tmp_path / CELL.path / "run.json").exists()


async def test_what_a_folder_holds_is_not_run_again(tmp_path, monkeypatch):
    monkeypatch.setattr(lab_runs, "PROBE", ("/bin/true",))
    told = []
    for _ in range(2):
        await lab_runs.run_all([CELL], tmp_path, 1, lambda ran, left: told.append((ran, left)))
    assert [(ran.statuses, left) for ran, left in told] == [((0,), 0)]


def number_in(file: Path) -> int:
    for _ in range(500):
        if file.exists() and file.read_text().strip():
            return int(file.read_text())
        time.sleep(0.01)
    raise AssertionError("the command did not start")
