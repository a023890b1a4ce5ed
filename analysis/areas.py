"""One network, one service, one window: is the share of slow pairs more than chance?

A cell is one AS and service. Each probe has one vote a day; the votes that are hits are compared
with the null share by the exact binomial, and all cells of a report are corrected together
(Benjamini-Hochberg at 5 %). Counts see a service that is throttled on a third of the lines;
medians do not. Networks are never pooled: their mix drifts, and a drifting mix looks like an event.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from analysis import bins
from analysis.baseline import CONTROL, FLOOR_SHARE, Null, is_hit, nulls
from analysis.intervals import wilson
from analysis.rollup import NONE, Cell, Columns, Rolled, groups
from analysis.shares import adjusted, below, excess, log_ratio, percent

#: Share of false calls among all calls of a report.
FALSE_SHARE: Final = 0.05
#: The evidence floor: with less, a cell says so instead of answering.
MIN_SESSIONS: Final = 10
MIN_PROBES: Final = 3
#: The part of a cell's error budget that goes to tests near a known rate. Of even and 3 to 1, the
#: second found one network more in the half of the 2021 networks that is for choosing.
NEAR_BUDGET: Final = 0.75
#: The smallest share of throttled lines the test can clear a network of.
CLEARED_SHARE: Final = 0.2

Answer = Literal["slowed", "clear", "open", "too little"]


class Area(msgspec.Struct, frozen=True, kw_only=True):
    """What one network's sessions say of one service.

    ``sessions`` and ``hits`` count everything, ``judged`` those a judge has decided alone;
    ``votes`` and ``vote_hits`` one session a probe and
    day. Speeds are medians in bit/s, of all sessions and of the hits alone. ``mechanism`` is how
    the hits failed most often, where they failed instead of being slow; ``near_hits`` counts the
    vote hits near the rate that the service is held to, where that is known.
    """

    service: str
    kind: str
    country: str
    asn: int
    network: str | None
    grade: str
    first_s: int
    last_s: int
    sessions: int
    judged: int
    pairs: int
    hits: int
    probes: int
    hit_probes: int
    votes: int
    vote_hits: int
    null: Null
    p_value: float
    q_value: float = 1.0
    answer: Answer = "open"
    target_bps: float | None = None
    control_bps: float | None = None
    hit_bps: float | None = None
    slowdown: float | None = None
    mechanism: str | None = None
    near_hits: int | None = None

    @property
    def cell(self) -> Cell:
        """Service, kind, country and AS."""
        return self.service, self.kind, self.country, self.asn

    @property
    def share(self) -> float:
        """The share of sessions that were hits."""
        return self.hits / self.sessions

    @property
    def log_odds(self) -> float:
        """Natural log likelihood ratio of at least five times the null share against the null."""
        other = alternative(self.null.share)
        return log_ratio(self.vote_hits, self.votes, self.null.share, other)

    @property
    def why(self) -> str:
        """The sentence, with its counts."""
        if self.answer == "too little":
            return (
                f"{self.sessions} sessions from {self.probes} lines; "
                f"{MIN_SESSIONS} from {MIN_PROBES} are the least that is judged."
            )
        how = "were slower than a quarter of a control in the same minutes"
        if self.mechanism:
            how = "failed where a control did not"
        counts = (
            f"Of one test per line and day, {percent(self.vote_hits, self.votes)} {how}; "
            f"chance explains {100 * self.null.share:.1f} %"
        )
        if self.answer == "slowed":
            near = "" if self.near_hits is None else f", {self.near_hits} of them near one rate"
            return f"{counts}{near} (q {below(self.q_value)})."
        if self.answer == "clear":
            return f"{counts}. That fewer than {100 * CLEARED_SHARE:.0f} % are slowed is certain."
        return f"{counts}: too few tests to tell."


def alternative(null_share: float) -> float:
    """Return the share that is tested against the null: five times it, at least 20 %."""
    return min(0.9, max(5 * null_share, 0.2))


def judge_areas(rolled: Rolled) -> list[Area]:
    """Test every cell of a report.

    Args:
        rolled: the report's roll-ups.

    Returns:
        One area a cell, control-against-control pairs among them, in the order of the cells.
    """
    expected = nulls(rolled.votes)
    places = {name: groups(getattr(rolled, name)) for name in rolled.__struct_fields__}
    found = []
    for cell in places["cells"]:
        null = expected.get(cell[:3])
        if null is not None:
            here = {name: _rows(rolled, name, where.get(cell)) for name, where in places.items()}
            found.append(_area(cell, here, null))
    return _together(found)


def sharpen(areas: Sequence[Area], pins: Mapping[tuple[str, str], Columns]) -> list[Area]:
    """Test again where the rate that a service is held to is known.

    Few tests are slow by chance *and* near that rate, so that a small network needs fewer of them.
    Most of a cell's error budget goes to that test, the rest stays with the plain one: another
    limit elsewhere must not be missed.

    Args:
        areas: what :func:`judge_areas` returned.
        pins: :func:`analysis.rollup.pinned` of the services whose rate is known.

    Returns:
        The same cells, those of such services answered anew.
    """
    near = {
        cell: int(part["votes"][rows].sum())
        for part in pins.values()
        for cell, rows in groups(part).items()
    }
    known = [area for area in areas if area.cell[:2] in pins and not area.judged]
    votes: dict[tuple[str, str, str], tuple[int, int]] = {}
    for area in known:
        hits, n = votes.get(area.cell[:3], (0, 0))
        votes[area.cell[:3]] = hits + near.get(area.cell, 0), n + area.votes
    return _together(
        [
            _sharpened(area, near.get(area.cell, 0), votes) if area in known else area
            for area in areas
        ]
    )


def _sharpened(area: Area, near: int, votes: dict[tuple[str, str, str], tuple[int, int]]) -> Area:
    counted = [votes.get((*area.cell[:2], country), (0, 0)) for country in area.null.countries]
    total = sum(n for _, n in counted)
    chance = sum(hits for hits, _ in counted) / total if total else area.null.share
    chance = min(max(chance, FLOOR_SHARE), area.null.share)
    p_near = excess(near, area.votes, chance) if area.votes else 1.0
    p_value = min(area.p_value / (1 - NEAR_BUDGET), p_near / NEAR_BUDGET, 1.0)
    return msgspec.structs.replace(area, p_value=p_value, near_hits=near)


def _together(areas: list[Area]) -> list[Area]:
    """Correct for the number of cells; controls are corrected apart, for they are no claims."""
    answered: dict[int, Area] = {}
    for of_controls in (False, True):
        family = [
            at
            for at, area in enumerate(areas)
            if (area.service == CONTROL) == of_controls and _enough(area)
        ]
        q_values = adjusted(np.array([areas[at].p_value for at in family]))
        for at, q_value in zip(family, q_values, strict=True):
            answered[at] = _answered(areas[at], float(q_value))
    return [
        answered.get(at, msgspec.structs.replace(area, answer="too little"))
        for at, area in enumerate(areas)
    ]


def _enough(area: Area) -> bool:
    return area.sessions >= MIN_SESSIONS and area.probes >= MIN_PROBES


def _answered(area: Area, q_value: float) -> Area:
    answer: Answer = "open"
    if q_value < FALSE_SHARE:
        answer = "slowed"
    elif wilson(area.vote_hits, area.votes)[1] < CLEARED_SHARE:
        answer = "clear"
    return msgspec.structs.replace(area, q_value=q_value, answer=answer)


def _rows(rolled: Rolled, name: str, rows: slice | None) -> Columns:
    columns: Columns = getattr(rolled, name)
    return {key: values[rows or slice(0, 0)] for key, values in columns.items()}


def _area(cell: Cell, here: dict[str, Columns], null: Null) -> Area:
    service, kind, country, asn = cell
    counts, votes, tests = here["cells"], here["votes"], here["tests"]
    vote_hits, test_hits = is_hit(votes, null.offset_bins), is_hit(tests, null.offset_bins)
    n_votes, k_votes = int(votes["n"].sum()), int(votes["n"][vote_hits].sum())
    slowed = _ratio_of_hits(tests, test_hits)
    return Area(
        service=service,
        kind=kind,
        country=country,
        asn=asn,
        network=counts["network"][0],
        grade=counts["control_kind"][0] or "D",
        judged=int(counts["judged"][0]),
        first_s=int(counts["first_s"][0]),
        last_s=int(counts["last_s"][0]),
        sessions=int(counts["sessions"][0]),
        pairs=int(counts["pairs"][0]),
        hits=int(tests["n"][test_hits].sum()),
        probes=int(counts["probes"][0]),
        hit_probes=int(counts["hit_probes"][0]),
        votes=n_votes,
        vote_hits=k_votes,
        null=null,
        p_value=excess(k_votes, n_votes, null.share) if n_votes else 1.0,
        target_bps=_median(here["target"]),
        control_bps=_median(here["control"]),
        hit_bps=_median(here["rates"], bins.RATE_BINS_PER_OCTAVE),
        slowdown=None if slowed is None else 1 / slowed,
        mechanism=_commonest(here["mechanisms"]),
    )


def _commonest(counted: Columns) -> str | None:
    return str(counted["mechanism"][np.argmax(counted["n"])]) if len(counted["n"]) else None


def _median(histogram: Columns, per_octave: int = bins.BINS_PER_OCTAVE) -> float | None:
    if not len(histogram["n"]):
        return None
    return bins.quantile(histogram["bin"], histogram["n"], 0.5, per_octave)


def _ratio_of_hits(tests: Columns, hits: NDArray[np.bool_]) -> float | None:
    there = hits & (tests["ratio_bin"] != NONE)
    if not there.any():
        return None
    return bins.quantile(tests["ratio_bin"][there], tests["n"][there], 0.5)
