"""The tables on the runs behind the emulated censor. Pure."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from statistics import median
from typing import Any, Final, Literal

import numpy as np

from analysis.evaluate.confusion import Score, counted, macro_f1, scores, table
from analysis.evaluate.lab_compare import NOTHING, ONSET_TOLERANCE, RATE_TOLERANCE, Outcome
from analysis.evaluate.lab_evaluation import Evaluation
from analysis.evaluate.tables import Report, Row, share
from analysis.intervals import wilson

#: What nine rates in ten and more are to keep within.
_CLOSE: Final = 0.05
_SHOWN_RUNS: Final = 3
#: The preset whose cost has a target.
_POLICER: Final = "twitter-2021"


def markdown(found: Evaluation, title: str) -> str:
    """Write the section on the lab: the figures against their targets, then every table.

    Args:
        found: the evaluation.
        title: of the section.

    Returns:
        Markdown, aligned so that it is the text for a terminal too.
    """
    outcomes = found.outcomes
    named = [pair for item in outcomes if (pair := item.mechanisms)]
    told = scores(named, nothing=NOTHING)
    parts = (
        summary(found, told, title).text(),
        "Verdicts, expected against found:\n\n"
        + table(*counted(item.verdicts for item in outcomes)),
        "Mechanisms:\n\n" + table(*_mechanisms(named, told)),
        "Presets:\n\n" + table(*_by_preset(outcomes)),
        _disagreements(outcomes),
    )
    return "\n".join(parts)


def summary(found: Evaluation, told: Sequence[Score], title: str) -> Report:
    """Sum up the figures that have a target.

    Args:
        found: the evaluation.
        told: the score of each mechanism.
        title: of the section.

    Returns:
        One row a figure.
    """
    outcomes = found.outcomes
    free = [item for item in outcomes if not item.censored]
    calls = [item for item in outcomes if item.expected.verdict == "call_degraded"]
    others = [item for item in outcomes if item.censored and item not in calls]
    certain = [item for item in others if not item.expected.accept]
    chancy = [item for item in others if item.expected.accept]
    errors = [item.rate_error for item in outcomes if item.rate_error is not None]
    alarms = sum(item.false_alarm for item in free)
    rows = (
        _share("somebody blamed where nobody is in the way", (alarms, len(free)), 0.001, "at most"),
        _share("verdict as expected, or as honest", _hits(outcomes, lambda item: item.right)),
        _share("throttling or blocking found", _hits(certain, lambda item: item.exact), 0.99),
        _share("... of a part of the connections", _hits(chancy, lambda item: item.exact)),
        _share("degraded calls found", _hits(calls, lambda item: item.exact), 0.99),
        Row(what="mechanism, macro F1", value=macro_f1(told), target=0.95, sense="at least"),
        _share(f"rate within {_CLOSE:.0%}", _within(errors, _CLOSE), 0.95),
        _share(f"rate within {RATE_TOLERANCE:.0%}", _within(errors, RATE_TOLERANCE), 1.0),
        _share("rate right, or a bound that holds", _hits(outcomes, lambda item: item.rate_right)),
        _share("interval of the rate covers it", _hits(outcomes, lambda item: item.covered), 0.93),
        _share("direction right", _hits(outcomes, lambda item: item.direction_right)),
        _share(
            f"onset within {ONSET_TOLERANCE} packets",
            _hits(outcomes, lambda item: item.onset_right),
        ),
        *_costs([item for item in outcomes if item.cell.preset == _POLICER]),
    )
    return Report(title=title, rows=rows, notes=_notes(found))


def _share(
    what: str,
    counts: tuple[int, int],
    target: float | None = None,
    sense: Literal["at least", "at most"] = "at least",
) -> Row:
    """Make a share's row; where nothing was tried there is nothing to hold to a target."""
    hits, tries = counts
    return share(what, hits, tries, target=target if tries else None, sense=sense)


def _hits(outcomes: Iterable[Outcome], figure: Callable[[Outcome], bool | None]) -> tuple[int, int]:
    said = [hit for item in outcomes if (hit := figure(item)) is not None]
    return sum(said), len(said)


def _within(errors: Sequence[float], tolerance: float) -> tuple[int, int]:
    return sum(abs(error) <= tolerance for error in errors), len(errors)


def _costs(policed: Sequence[Outcome]) -> Iterable[Row]:
    costs = [item.cost for item in policed if item.cost and item.censored and item.exact]
    if not costs:
        return
    what = "policer of 2021, 95th percentile until the verdict"
    seconds = float(np.quantile([cost.seconds for cost in costs], 0.95))
    megabytes = float(np.quantile([cost.bytes for cost in costs], 0.95)) / 1e6
    yield Row(what=what, value=seconds, unit="s", target=60.0)
    yield Row(what=what, value=megabytes, unit="MB", target=3.0)


def _notes(found: Evaluation) -> tuple[str, ...]:
    runs = Counter(
        item.cell.engine for item in {item.cell.path: item for item in found.outcomes}.values()
    )
    made = ", ".join(f"{count} on {engine}" for engine, count in sorted(runs.items())) or "none"
    notes = [f"Runs counted: {made}. The probe was held up for {found.lag_s:.2f} s at worst."]
    reasons: dict[str, list[str]] = defaultdict(list)
    for item in found.discarded:
        reasons[item.why].append(item.run)
    for why, names in reasons.items():
        shown = ", ".join(names[:_SHOWN_RUNS]) + (" ..." if len(names) > _SHOWN_RUNS else "")
        notes.append(f"Not counted: {len(names)} ({shown}): {why}")
    return tuple(notes)


def _mechanisms(
    named: Sequence[tuple[str, str]], told: Sequence[Score]
) -> tuple[list[str], list[list[str]]]:
    taken: dict[str, Counter[str]] = defaultdict(Counter)
    for truth, answer in named:
        if answer != truth:
            taken[truth][answer] += 1
    rows = []
    for score in told:
        wrong = ", ".join(f"{name} {count}" for name, count in taken[score.name].most_common())
        rows.append([score.name, str(score.true), str(score.both), f"{score.f1:.2f}", wrong])
    wrong = ", ".join(f"{name} {count}" for name, count in taken[NOTHING].most_common())
    free = [pair for pair in named if pair[0] == NOTHING]
    rows.append([NOTHING, str(len(free)), str(sum(a == b for a, b in free)), "", wrong])
    return ["mechanism", "runs", "found", "F1", "taken for"], rows


def _by_preset(outcomes: Sequence[Outcome]) -> tuple[list[str], list[list[str]]]:
    groups: dict[tuple[str, str, str], list[Outcome]] = defaultdict(list)
    for item in outcomes:
        what = f"{item.service} {item.kind}"
        groups[item.cell.family, item.cell.engine, what].append(item)
    heading = ["preset", "engine", "what", "expected", "right", "95 % interval"]
    heading += ["exact", "mechanism", "rate", "direction", "onset", "median s", "median MB"]
    return heading, [[*of, *_figures(items)] for of, items in groups.items()]


def _figures(items: Sequence[Outcome]) -> list[str]:
    right, tries = _hits(items, lambda item: item.right)
    low, high = wilson(right, tries)
    costs = [item.cost for item in items if item.cost]
    figures = (
        lambda item: item.exact,
        lambda item: item.mechanism_right,
        lambda item: item.rate_right,
        lambda item: item.direction_right,
        lambda item: item.onset_right,
    )
    return [
        " or ".join(sorted({item.expected.verdict for item in items})),
        f"{right} of {tries}",
        f"{100 * low:.0f} - {100 * high:.0f} %",
        *(_of(*_hits(items, figure)) for figure in figures),
        f"{median(cost.seconds for cost in costs):.0f}" if costs else "",
        f"{median(cost.bytes for cost in costs) / 1e6:.1f}" if costs else "",
    ]


def _of(hits: int, tries: int) -> str:
    return f"{hits} of {tries}" if tries else ""


def _disagreements(outcomes: Sequence[Outcome]) -> str:
    wrong = [item for item in outcomes if item.wrong]
    if not wrong:
        return "Nothing was found otherwise than expected.\n"
    lines = [
        f"- {item.cell.path} {item.service} {item.kind}: {', '.join(item.wrong)}."
        f"{f' {item.finding.why}' if item.finding else ''}"
        for item in wrong
    ]
    return "\n".join(["Otherwise than expected:", "", *lines]) + "\n"


def row(item: Outcome) -> dict[str, Any]:
    """Write an outcome as one JSON object.

    Args:
        item: the outcome.

    Returns:
        The run, what was expected and found, what was right, and the whole finding.
    """
    return {
        "preset": item.cell.preset,
        "engine": item.cell.engine,
        "seed": item.cell.seed,
        "service": item.service,
        "kind": item.kind,
        "expected": item.expected,
        "verdict": item.verdict,
        "right": item.right,
        "exact": item.exact,
        "mechanism_right": item.mechanism_right,
        "rate_error": item.rate_error,
        "direction_right": item.direction_right,
        "onset_error": item.onset_error,
        "cost": item.cost,
        "finding": item.finding,
    }
