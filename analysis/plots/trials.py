"""Plots of single trials: what the probe saw in one session or a few."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analysis.fetches import figures
from analysis.pairs import Pair, pair_up
from analysis.plots import style
from analysis.runfiles import Session
from probe.measurement import Call, Measurement
from probe.trace import FATES, unpack_trace

_LOST: Final = {
    "up": frozenset({"lost_up"}),
    "down": frozenset({"lost_down", "late"}),
    "either way": frozenset({"lost", "lost_up", "lost_down"}),
}
#: Packets are grouped so that a point rests on about this many.
_POINTS: Final = 24
_MOST_TIMELINES: Final = 12


def pairs_of(sessions: Sequence[Session]) -> list[Pair]:
    """Return the complete pairs of sessions, in order."""
    return [pair for session in sessions for pair in pair_up(session.trials)]


def goodput(sessions: Sequence[Session], title: str) -> Figure:
    """Draw target beside control goodput, a column a pair, on a logarithmic scale.

    A transfer that ended early is a bound, drawn with an arrow; one that failed stands as a cross
    at the foot.

    Args:
        sessions: fetch sessions of one service.
        title: what the plot shows.
    """
    pairs = [pair for pair in pairs_of(sessions) if pair.target.fetch and pair.control.fetch]
    with style.styled():
        figure, (axes,) = style.canvas(2.5)
        style.head(figure, f"{title}: goodput, n = {len(pairs)} pairs")
        if not pairs:
            style.nothing(axes, "no complete pair")
            return figure
        floor = _floor_bps(pairs)
        for arm, colour, marker, shift in (
            ("control", style.CONTROL, "o", 0.12),
            ("target", style.TARGET, "D", -0.12),
        ):
            trials = [getattr(pair, arm) for pair in pairs]
            _strip(axes, trials, floor, (arm, colour, marker, shift))
        style.rate_axis(axes)
        axes.set_xlim(-0.6, len(pairs) - 0.4)
        axes.set_xticks(range(len(pairs)) if len(pairs) <= _POINTS else [])
        axes.set_xticklabels([str(i + 1) for i in range(len(axes.get_xticks()))])
        axes.set_xlabel("pair, in the order measured")
        axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5))
        return figure


def timeline(sessions: Sequence[Session], title: str) -> Figure:
    """Draw how many bytes each transfer had delivered over time; a limit is a straight slope.

    Args:
        sessions: fetch sessions of one service.
        title: what the plot shows.
    """
    pairs = [pair for pair in pairs_of(sessions) if pair.target.fetch and pair.control.fetch]
    with style.styled():
        figure, (axes,) = style.canvas(2.5)
        shown = pairs[-_MOST_TIMELINES:]
        more = f", the last {len(shown)} of {len(pairs)} pairs" if len(pairs) > len(shown) else ""
        style.head(figure, f"{title}: bytes delivered{more or f', n = {len(pairs)} pairs'}")
        drawn = 0
        for arm, colour, line in (
            ("control", style.CONTROL, "--"),
            ("target", style.TARGET, "-"),
        ):
            label: str | None = arm
            for pair in shown:
                fetch = getattr(pair, arm).fetch
                if not fetch.timeline.t_s:
                    continue
                kilobytes = np.array(fetch.timeline.bytes) / 1000
                axes.plot(fetch.timeline.t_s, kilobytes, line, color=colour, lw=1.3, label=label)
                label = None
                drawn += 1
        if not drawn:
            style.nothing(axes, "no timeline was recorded")
            return figure
        axes.set_xlabel("seconds since the trial began")
        axes.set_ylabel("kB delivered")
        axes.set_xlim(left=0)
        axes.set_ylim(bottom=0)
        axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5))
        return figure


def loss(sessions: Sequence[Session], title: str) -> Figure:
    """Draw the share of packets lost by place in the call, for the app's shape and random bytes.

    Args:
        sessions: call sessions of one service.
        title: what the plot shows.
    """
    calls = [
        (pair.target.call, pair.control.call)
        for pair in pairs_of(sessions)
        if pair.target.call and pair.control.call
    ]
    directions = _directions(calls)
    with style.styled():
        figure, panels = style.canvas(1.0 + 1.45 * len(directions), len(directions))
        style.head(figure, f"{title}: packets lost, n = {len(calls)} flow pairs")
        for axes, direction in zip(panels, directions, strict=True):
            for flows, label, colour, marker in (
                ([pair[1] for pair in calls], "random bytes", style.CONTROL, "o"),
                ([pair[0] for pair in calls], "app's shape", style.TARGET, "D"),
            ):
                _loss_line(axes, flows, direction, (label, colour, marker))
            axes.set_ylim(-0.03, 1.03)
            axes.set_ylabel(direction)
            style.percent_axis(axes)
            if not calls:
                style.nothing(axes, "no complete flow pair")
        panels[-1].set_xlabel("packet of the flow (0 is the first)")
        if calls:
            panels[0].legend(loc="center left", bbox_to_anchor=(1.0, 0.5))
        return figure


def _strip(
    axes: Axes,
    trials: Sequence[Measurement],
    floor_bps: float,
    look: tuple[str, str, str, float],
) -> None:
    label, colour, marker, shift = look
    found = [figures(trial) for trial in trials]
    at = np.arange(len(trials)) + shift
    moved = np.array([item.goodput_bps for item in found])
    there = moved > 0
    whole = np.array([item.complete for item in found])
    axes.plot(
        at[there], moved[there], marker, color=colour, ms=5, label=f"{label} (n = {there.sum()})"
    )
    cut = there & ~whole
    axes.plot(at[cut], moved[cut] * 0.72, "v", color=colour, ms=4, alpha=0.8)
    if (~there).any():
        feet = np.full((~there).sum(), floor_bps)
        axes.plot(at[~there], feet, "x", color=colour, label=f"{label}: nothing came")


def _floor_bps(pairs: Sequence[Pair]) -> float:
    speeds = [figures(trial).goodput_bps for pair in pairs for trial in (pair.target, pair.control)]
    return min((speed for speed in speeds if speed > 0), default=1000.0) / 2


def _directions(calls: Sequence[tuple[Call, Call]]) -> tuple[str, ...]:
    relayed = any(call.peer == "relay" for pair in calls for call in pair)
    return ("either way",) if relayed else ("up", "down")


def _loss_line(
    axes: Axes, flows: Sequence[Call], direction: str, look: tuple[str, str, str]
) -> None:
    """Plot the share lost in groups of neighbouring packets, over all flows."""
    label, colour, marker = look
    filled = marker != "o"
    tallies = [_lost(flow, _LOST[direction]) for flow in flows]
    longest = max((len(tally) for tally in tallies), default=0)
    if not longest:
        return
    sent, lost = np.zeros(longest), np.zeros(longest)
    for tally in tallies:
        sent[: len(tally)] += ~np.isnan(tally)
        lost[: len(tally)] += np.nan_to_num(tally)
    edges = np.unique(np.linspace(0, longest, min(_POINTS, longest) + 1).astype(int))
    n, k = np.add.reduceat(sent, edges[:-1]), np.add.reduceat(lost, edges[:-1])
    middle = (edges[:-1] + edges[1:] - 1) / 2
    there = n > 0
    axes.plot(
        middle[there],
        k[there] / n[there],
        marker + "-",
        color=colour,
        ms=4 if filled else 6.5,
        mfc=colour if filled else "none",
        lw=1.1,
        label=f"{label}\n(n = {int(n.sum())} packets)",
    )


def _lost(call: Call, fates: frozenset[str]) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """Return 1 for each packet lost in a direction, 0 for one that made it, NaN for none."""
    columns = unpack_trace(call.trace)
    index = {at for at, fate in enumerate(FATES) if fate in fates}
    values = [np.nan if fate is None else float(fate in index) for fate in columns.get("fate", [])]
    return np.array(values)
