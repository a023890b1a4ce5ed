"""What is expected where nobody interferes: null shares, offsets, and a probe's own past."""

from __future__ import annotations

from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from analysis import bins
from analysis.rollup import HOURS_PER_WEEK, NONE, Columns, groups
from analysis.shares import excess, percent

CONTROL: Final = "control"
#: A pair is a hit when the target is slower than a quarter of its control, after the offset.
HIT_BIN: Final = -2 * bins.BINS_PER_OCTAVE
#: No null share is believed to be smaller: a judge's alpha, and the oddities of single lines.
FLOOR_SHARE: Final = 0.01
#: How much more often a pair falls under a quarter by chance when target and control sit on
#: different networks: Student-t tails of df 1.6 go with scale to the power of df, and the scales
#: are 0.45 and 0.18 (fitted to the Russia Twitter Throttle data set, CC BY 4.0).
DISTANT: Final = (0.45 / 0.18) ** 1.6
#: Fewest votes of other countries that give a null share of their own.
_ENOUGH_VOTES: Final = 200
_ENOUGH_NETWORKS: Final = 5
_ENOUGH_COUNTRIES: Final = 3
_INVOLVED_P: Final = 0.001


class Null(msgspec.Struct, frozen=True):
    """The share of hits expected without interference, the offset, and where both come from.

    ``offset_bins`` is the target's usual disadvantage beside its control, in ratio bins, 0 or
    less. A usual advantage is not held against it: where the line itself is the limit there is
    none to lose. ``countries`` are those the share was measured in; none where it was not.
    """

    share: float
    offset_bins: int
    source: str
    countries: tuple[str, ...] = ()


def is_hit(votes: Columns, offset_bins: int) -> NDArray[np.bool_]:
    """Tell which rows of :func:`analysis.rollup.votes` are hits.

    Args:
        votes: the roll-up.
        offset_bins: :attr:`Null.offset_bins`, for what nobody has judged.

    Returns:
        Shape of the columns: the judge's word where there is one, else the ratio's.
    """
    judged = votes["hit"] != NONE
    slow = (votes["ratio_bin"] != NONE) & (votes["ratio_bin"] < HIT_BIN + offset_bins)
    return np.asarray(np.where(judged, votes["hit"] == 1, slow), dtype=np.bool_)


def control_share(votes: Columns) -> tuple[int, int]:
    """Count control-against-control votes that would have been hits, either way round.

    Returns:
        Half the hits (either control may be the slow one), rounded up, and the votes.
    """
    there = (votes["service"] == CONTROL) & (votes["ratio_bin"] != NONE)
    ratio, n = votes["ratio_bin"][there], votes["n"][there]
    apart = (ratio < HIT_BIN) | (ratio >= -HIT_BIN)
    return int(np.ceil(n[apart].sum() / 2)), int(n.sum())


def nulls(votes: Columns) -> dict[tuple[str, str, str], Null]:
    """Estimate what each country would show of each service without interference.

    From the votes of countries that are not involved, where there are enough; else from
    control-against-control pairs, scaled to distant controls; else the floor. A country has no
    say in its own null. Control-against-control pairs stand in for a service that nobody slows:
    they are tested against the same null as the services are.

    Args:
        votes: the roll-up, all services and countries.

    Returns:
        From (service, kind, country) to the share, the offset and where they come from.
    """
    found = {
        (service, kind, country): null
        for (service, kind), rows in groups(votes, ("service", "kind")).items()
        for country, null in _nulls(_part(votes, rows), control_share(votes)).items()
    }
    for (service, kind, country), null in found.items():
        if service == CONTROL:
            same = [
                other.share
                for (name, k, c), other in found.items()
                if (k, c) == (kind, country) and name != CONTROL
            ]
            share = max(same, default=null.share)
            found[service, kind, country] = Null(share, null.offset_bins, "that of the services")
    return found


def _nulls(votes: Columns, controls: tuple[int, int]) -> dict[str, Null]:
    """Do the same for one service and kind."""
    k, n = controls
    chance = min(0.5, max(FLOOR_SHARE, DISTANT * k / n)) if n else DISTANT * FLOOR_SHARE
    offset = _offset(votes)
    hits = is_hit(votes, offset)
    countries = groups(votes, ("country",))
    calm = np.ones(len(hits), dtype=bool)
    for rows in countries.values():
        found = int(votes["n"][rows][hits[rows]].sum())
        calm[rows] = excess(found, int(votes["n"][rows].sum()), chance) >= _INVOLVED_P
    result = {}
    for (country,), rows in countries.items():
        others = calm.copy()
        others[rows] = False
        judged = bool((votes["hit"][rows] != NONE).any())
        result[country] = _null(votes, others, FLOOR_SHARE if judged else chance, controls, offset)
    return result


def _null(
    votes: Columns,
    others: NDArray[np.bool_],
    chance: float,
    controls: tuple[int, int],
    offset: int,
) -> Null:
    total = int(votes["n"][others].sum())
    if total >= _ENOUGH_VOTES:
        hits = int(votes["n"][others & is_hit(votes, offset)].sum())
        share = max(FLOOR_SHARE, hits / total)
        measured = tuple(np.unique(votes["country"][others]).tolist())
        return Null(share, offset, f"other countries: {percent(hits, total)}", measured)
    if chance == FLOOR_SHARE:
        return Null(chance, 0, "the least that is believed")
    if controls[1]:
        return Null(chance, offset, f"control against control: {percent(*controls)}, scaled")
    return Null(chance, offset, "no comparison in the data: the share known from elsewhere")


class Usual(msgspec.Struct, frozen=True):
    """A probe's usual log2 ratio of target over control, by hour of the week (0: Monday 00 UTC).

    ``centre`` and ``spread`` have shape (168,): median, and median absolute deviation scaled to a
    standard deviation. ``n`` counts the sessions behind each hour.
    """

    centre: NDArray[np.float64]
    spread: NDArray[np.float64]
    n: NDArray[np.int64]


#: Sessions at an hour of the week that weigh as much as the probe's whole past.
SHRINK: Final = 8
#: Sessions that make a past, and how many spreads below its centre are far.
PAST: Final = 20
FAR: Final = 5.0
_MAD_TO_SD: Final = 1.4826


def usual(past: Columns) -> Usual:
    """Describe one probe's past of one service, shrunk to its own median where an hour is thin.

    Args:
        past: its rows of :func:`analysis.rollup.weeks`.

    Returns:
        One centre and spread for each hour of the week, weighted ``n / (n + 8)``.
    """
    hour, weights = past["hour_of_week"], past["n"]
    values = _log2_ratio(past)
    middle = _median(values, weights)
    wide = _spread(values, middle, weights)
    centre, spread = np.full(HOURS_PER_WEEK, middle), np.full(HOURS_PER_WEEK, wide)
    counts = np.bincount(hour, weights, minlength=HOURS_PER_WEEK).astype(np.int64)
    for at in np.flatnonzero(counts):
        here = hour == at
        trust = counts[at] / (counts[at] + SHRINK)
        local = _median(values[here], weights[here])
        centre[at] = trust * local + (1 - trust) * middle
        spread[at] = trust * _spread(values[here], local, weights[here]) + (1 - trust) * wide
    return Usual(centre, spread, counts)


def unusual(weeks: Columns) -> dict[tuple[str, str], tuple[int, int]]:
    """Count sessions far below what is usual for their probe, service and hour of the week.

    A hint where to look, never evidence: nothing was compared at the same time.

    Args:
        weeks: :func:`analysis.rollup.weeks`.

    Returns:
        From service and kind to how many were, of how many of probes with enough of a past.
    """
    found: dict[tuple[str, str], tuple[int, int]] = {}
    for (service, kind, _), rows in groups(weeks, ("service", "kind", "probe")).items():
        past = _part(weeks, rows)
        total = int(past["n"].sum())
        if total < PAST:
            continue
        norm = usual(past)
        hour = past["hour_of_week"]
        spread = np.maximum(norm.spread[hour], 1 / bins.BINS_PER_OCTAVE)
        far = _log2_ratio(past) < norm.centre[hour] - FAR * spread
        before = found.get((service, kind), (0, 0))
        found[service, kind] = before[0] + int(past["n"][far].sum()), before[1] + total
    return found


def _log2_ratio(past: Columns) -> NDArray[np.float64]:
    return np.asarray((past["ratio_bin"] + 0.5) / bins.BINS_PER_OCTAVE, dtype=np.float64)


def _spread(values: NDArray[np.float64], middle: float, weights: NDArray[np.int64]) -> float:
    return _MAD_TO_SD * _median(np.abs(values - middle), weights)


def _offset(votes: Columns) -> int:
    """Return the target's usual disadvantage, in ratio bins: what most countries agree on.

    A country's is the median of its networks' medians; the median over countries is taken, so
    that no single country, however many networks it slows, can make slowness look usual.
    """
    by_country: dict[str, list[float]] = {}
    for (country, _), rows in groups(votes, ("country", "asn")).items():
        there = votes["ratio_bin"][rows] != NONE
        if there.any():
            middle = _median(votes["ratio_bin"][rows][there], votes["n"][rows][there])
            by_country.setdefault(country, []).append(middle)
    medians = [np.median(found) for found in by_country.values() if len(found) >= _ENOUGH_NETWORKS]
    return min(0, round(float(np.median(medians)))) if len(medians) >= _ENOUGH_COUNTRIES else 0


def _part(columns: Columns, rows: slice) -> Columns:
    return {name: values[rows] for name, values in columns.items()}


def _median(values: NDArray[np.float64], weights: NDArray[np.int64]) -> float:
    if not len(values):
        return float("nan")
    order = np.argsort(values, kind="stable")
    reached = np.cumsum(weights[order])
    return float(values[order][np.searchsorted(reached, reached[-1] / 2)])
