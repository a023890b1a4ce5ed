"""The loss process of a flow: how much, in what runs, since when, and of which kind.

Memoryless loss is a filter that tosses for every packet; periodic loss is a policer; loss in runs
is congestion or radio. A loss percentage alone tells none of them apart.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final, Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

Losses = NDArray[np.bool_]
Process = Literal["cut_off", "policed", "bursty", "random_loss"]

#: Received packets that end a burst (RFC 3611 section 4.7.2, the recommended Gmin).
GMIN: Final = 16
#: Chance of seeing a change point, or a kind of loss, where there is none.
_ERROR: Final = 0.001
#: Gaps between losses of a memoryless process vary by about their mean; a bucket's hardly do.
_PERIODIC: Final = 0.5
_FEWEST_GAPS: Final = 10
#: From the onset on everything is gone, for at least so many packets.
_CUT_RATIO: Final = 0.98
_CUT_PACKETS: Final = 16


class LossFigures(msgspec.Struct, frozen=True, kw_only=True):
    """Loss of one direction of one flow.

    ``after_loss_ratio`` is P(lost | previous lost), ``None`` without two losses to tell;
    ``burst_ratio`` is G.107's BurstR.
    """

    packets: int
    lost: int
    loss_ratio: float
    after_loss_ratio: float | None
    runs: int
    mean_run: float
    longest_run: int
    burst_ratio: float


class Bursts(msgspec.Struct, frozen=True, kw_only=True):
    """Burst and gap metrics of RFC 3611 section 4.7.2, by its definition.

    Densities are losses over packets times 256, as the RFC carries them, not rounded or capped.
    """

    bursts: int
    burst_packets: int
    burst_density: float
    gap_density: float
    mean_burst_s: float


def figures(lost: Losses) -> LossFigures:
    """Count losses and their runs.

    Args:
        lost: one entry a packet, in the order sent.

    Returns:
        The figures; zeros for a flow without packets.
    """
    packets, count = len(lost), int(lost.sum())
    lengths = run_lengths(lost)
    ratio = count / packets if packets else 0.0
    # A loss at the very end has no packet after it to be lost or not.
    followed = int(lost[:-1].sum())
    both = int((lost[:-1] & lost[1:]).sum())
    mean_run = float(np.mean(lengths)) if len(lengths) else 0.0
    return LossFigures(
        packets=packets,
        lost=count,
        loss_ratio=ratio,
        after_loss_ratio=both / followed if followed else None,
        runs=len(lengths),
        mean_run=mean_run,
        longest_run=max(lengths, default=0),
        burst_ratio=max(mean_run * (1.0 - ratio), 1.0),
    )


def run_lengths(lost: Losses) -> list[int]:
    """Return the length of each run of consecutive losses.

    Args:
        lost: one entry a packet.

    Returns:
        Packets, in the order of the runs.
    """
    edges = np.diff(np.concatenate([[0], lost.astype(np.int8), [0]]))
    return [int(n) for n in np.flatnonzero(edges == -1) - np.flatnonzero(edges == 1)]


def bursts(lost: Losses, interval_s: float, gmin: int = GMIN) -> Bursts:
    """Divide a flow into bursts and gaps.

    Args:
        lost: one entry a packet, lost or discarded.
        interval_s: between packets.
        gmin: received packets that end a burst.

    Returns:
        The metrics.
    """
    where = np.flatnonzero(lost)
    groups = np.split(where, np.flatnonzero(np.diff(where) > gmin) + 1) if len(where) else []
    spans = [(len(g), int(g[-1] - g[0]) + 1) for g in groups if len(g) > 1]
    inside, packets = sum(n for n, _ in spans), sum(span for _, span in spans)
    gap_packets = len(lost) - packets
    return Bursts(
        bursts=len(spans),
        burst_packets=packets,
        burst_density=256.0 * inside / packets if packets else 0.0,
        gap_density=256.0 * (len(where) - inside) / gap_packets if gap_packets else 0.0,
        mean_burst_s=packets * interval_s / len(spans) if spans else 0.0,
    )


def onset(flows: Sequence[Losses]) -> int | None:
    """Find the packet from which loss sets in, by the likelihood of one change point.

    Args:
        flows: of the same kind, aligned at their first packet.

    Returns:
        Index of the first packet after the change, counted from 0; ``None`` where one constant
        loss ratio explains the flows as well (likelihood ratio under packets / 0.001), or loss
        falls at the change.
    """
    length = max(map(len, flows), default=0)
    if length < 2:  # noqa: PLR2004 - a change needs two sides
        return None
    lost, seen = np.zeros(length), np.zeros(length)
    for flow in flows:
        lost[: len(flow)] += flow
        seen[: len(flow)] += 1.0
    before, packets = np.cumsum(lost)[:-1], np.cumsum(seen)[:-1]
    after, rest = lost.sum() - before, seen.sum() - packets
    whole = _log_likelihood(np.array([lost.sum()]), np.array([seen.sum()]))[0]
    gain = _log_likelihood(before, packets) + _log_likelihood(after, rest) - whole
    gain[after / rest <= before / packets] = -np.inf
    best = int(np.argmax(gain))
    return best + 1 if gain[best] >= math.log(length / _ERROR) else None


def process(flows: Sequence[Losses], start: int = 0) -> Process:
    """Name the kind of loss.

    Args:
        flows: in which packets were lost.
        start: the onset; what comes before is left out.

    Returns:
        ``cut_off`` when nothing comes any more, ``policed`` for regular gaps, ``bursty`` for
        more loss after a loss than chance gives, else ``random_loss``.
    """
    rest = [flow[start:] for flow in flows if len(flow) > start]
    packets = sum(map(len, rest))
    count = int(sum(flow.sum() for flow in rest))
    if not count:
        return "random_loss"
    ratio = count / packets
    if start > 0 and ratio >= _CUT_RATIO and packets >= _CUT_PACKETS * len(rest):
        return "cut_off"
    gaps = np.concatenate([np.diff(np.flatnonzero(flow)) for flow in rest])
    if len(gaps) >= _FEWEST_GAPS and gaps.std() < _PERIODIC * gaps.mean() * (1.0 - ratio) ** 0.5:
        return "policed"
    followed = int(sum(flow[:-1].sum() for flow in rest))
    both = int(sum((flow[:-1] & flow[1:]).sum() for flow in rest))
    if both > 1 and upper_tail(both, followed, ratio) < _ERROR and both / followed > 2.0 * ratio:
        return "bursty"
    return "random_loss"


def upper_tail(hits: int, tries: int, chance: float) -> float:
    """Return the exact binomial probability of at least so many hits.

    Args:
        hits: at least this many.
        tries: of this many.
        chance: each with this probability.

    Returns:
        P(X >= hits).
    """
    if hits <= 0 or chance >= 1.0:
        return 1.0
    if hits > tries or chance <= 0.0:
        return 0.0
    ways = math.lgamma(tries + 1)
    log_p, log_q = math.log(chance), math.log1p(-chance)
    total = 0.0
    for k in range(hits, tries + 1):
        log_term = ways - math.lgamma(k + 1) - math.lgamma(tries - k + 1)
        term = math.exp(log_term + k * log_p + (tries - k) * log_q)
        total += term
        # Past the mode the terms only fall: what is left is beyond double precision.
        if k > tries * chance and term < 1e-18 * total:
            break
    return min(total, 1.0)


def _log_likelihood(lost: NDArray[np.float64], packets: NDArray[np.float64]) -> NDArray[np.float64]:
    """Greatest Bernoulli log likelihood of so many losses among so many packets."""
    kept = packets - lost
    with np.errstate(divide="ignore", invalid="ignore"):
        terms = lost * np.log(lost / packets), kept * np.log(kept / packets)
    return np.nan_to_num(terms[0]) + np.nan_to_num(terms[1])
