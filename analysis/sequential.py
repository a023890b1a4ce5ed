"""The sequential test on pairs: is the target at least twice as slow as its control?

Evidence is a *test martingale*: each pair multiplies it by a factor whose mean is at most 1 when
nothing is wrong. So it may be looked at after every pair, and the chance that it ever reaches
``1/ALPHA`` without cause is at most ``ALPHA`` (Ville 1939; Wald 1945 for the ratio test itself).

The factor is the likelihood ratio of Student-t noise, because two unthrottled controls fetched by
one user in one session differ by heavy-tailed amounts: degrees of freedom 1.6 and scale 0.18 in
log ratio, fitted to the Russia Twitter Throttle data set (4ndv/russia-twitter-throttle, CC BY
4.0), 0.45 where target and control sit on different networks. The log ratio is clipped (Huber
1965, the minimax test under contaminated noise), which makes it monotone: a target that is a
hundred times slower never counts for less than one that is twice as slow, as the bare t ratio
would have it. Dividing by its mean under each hypothesis keeps both error bounds exact, and by
monotony they hold for every slowdown of 1x or less and of 2x or more.

Some censors slow only a share of the connections (Xue et al., IMC 2021: a third of them behind
some load balancers). A pair then is slow or as usual by the toss, so its factor under such an
alternative is the mean of a slow pair's and 1, which has the same mean of at most 1 when nothing
is wrong. A session in which a pair was wildly slow is not cleared before that share is unlikely.

A transfer that was cut short gives an interval for its log ratio instead of a point; each
hypothesis is then credited with the end of the interval that is worst for it.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Final, Literal, NamedTuple

import msgspec

ALPHA: Final = 0.001
BETA: Final = 0.01
DF: Final = 1.6
#: Scale of the noise in natural log ratio, by kind of control. C: another network's server.
SCALE: Final = {"A": 0.18, "B": 0.18, "C": 0.45}
#: Most pairs a session may use. At scale 0.45 a true 2x needs up to 25 in 95 of 100 sessions;
#: the rest is what the power of 99 % costs.
CAP_PAIRS: Final = {"A": 25, "B": 25, "C": 50}
#: Fewest pairs before a decision: a rate and its repeatability need three transfers.
MIN_PAIRS: Final = 3
#: Share of pairs that are slow where only some are: about what was seen in Russia in 2021.
SHARE: Final = 0.3
#: Half-width of the unclipped part, in units of the log alternative, about its middle. Of 0.3 to
#: 0.8 in simulations with seed 1, this one needs fewest pairs at both scales.
_CLIP: Final = 0.35
#: A target cut by the judge has run this long, so that its rate can still be estimated and a
#: frozen transfer (10 s without a byte) can be told from a slow one.
SETTLED_S: Final = 12.0
#: A pair this slow is rare by chance: of two controls in one session 1 pair in 110 (Russia Twitter
#: Throttle data set). Beside a distant control as many scales, in which noise does it in 1 of 35.
_WILD: Final = math.log(4.0)
_WILD_SCALES: Final = 5.0
#: A session with wild pairs is cleared once so few of so many have this chance at ``SHARE``.
_FEW: Final = 0.05
_CAP_WILD: Final = 25

Decision = Literal["slower", "clear"]


class Alternative(NamedTuple):
    """A slowdown tested: how many times slower, its weight, in which share of the pairs."""

    ratio: float
    weight: float
    share: float = 1.0


#: The first is the stated alternative, at which a service is cleared. The next two decide gross
#: cases in three or four pairs even against a distant control, the last two partial ones.
ALTERNATIVES: Final = (
    Alternative(2.0, 0.91),
    Alternative(10.0, 0.02),
    Alternative(50.0, 0.03),
    Alternative(5.0, 0.02, SHARE),
    Alternative(30.0, 0.02, SHARE),
)


def scale(grade: str) -> float:
    """Return the scale of the noise to expect beside a kind of control.

    Args:
        grade: ``A``, ``B`` or ``C``; anything else is taken for the widest.

    Returns:
        Scale in natural log ratio.
    """
    return SCALE.get(grade, SCALE["C"])


class LogRatio(msgspec.Struct, frozen=True):
    """Log of target over control goodput: a point, or the interval a cut transfer leaves."""

    low: float
    high: float


class Evidence(msgspec.Struct, frozen=True, kw_only=True):
    """The state of one session's test.

    ``slower`` holds one log martingale per alternative against "no slower"; ``clear`` the one
    against "at least twice as slow". ``wild`` counts pairs slower than noise is likely to make,
    ``mirrored`` those in which the control was as slow beside its target.
    """

    scale: float
    pairs: int = 0
    wild: int = 0
    mirrored: int = 0
    slower: tuple[float, ...] = (0.0,) * len(ALTERNATIVES)
    clear: float = 0.0

    @property
    def partial(self) -> bool:
        """Whether the likeliest alternative is one in which only some pairs are slow."""
        terms = _weighted(self)
        return ALTERNATIVES[terms.index(max(terms))].share < 1.0


def exactly(log_ratio: float) -> LogRatio:
    """Wrap a log ratio that was measured on two complete transfers.

    Args:
        log_ratio: natural log of target over control goodput.

    Returns:
        The interval of length zero.
    """
    return LogRatio(log_ratio, log_ratio)


def update(state: Evidence, observed: LogRatio) -> Evidence:
    """Add one pair.

    Args:
        state: evidence so far.
        observed: log ratio of the pair; infinite ends where nothing bounds it.

    Returns:
        The evidence after the pair.
    """
    stated = ALTERNATIVES[0].ratio
    against = _increment(observed.low, state.scale, stated)
    return Evidence(
        scale=state.scale,
        pairs=state.pairs + 1,
        wild=state.wild + is_wild(observed, state.scale),
        mirrored=state.mirrored + is_wild(LogRatio(-observed.high, -observed.low), state.scale),
        slower=tuple(
            total + _log_factor(observed.high, state.scale, alternative)
            for total, alternative in zip(state.slower, ALTERNATIVES, strict=True)
        ),
        clear=state.clear - against - _log_mean(state.scale, stated),
    )


def is_wild(observed: LogRatio, scale: float) -> bool:
    """Say whether a pair is slower than noise is likely to make one.

    Args:
        observed: log ratio of the pair.
        scale: of the noise.

    Returns:
        Whether the target was at least four times slower, or five scales of a wider noise.
    """
    return observed.high < -max(_WILD, _WILD_SCALES * scale)


def log_evidence(state: Evidence) -> float:
    """Weigh the alternatives into one log martingale against "no slower".

    Args:
        state: evidence of a session.

    Returns:
        Natural log of a number whose mean is at most 1 when nothing is wrong.
    """
    terms = _weighted(state)
    top = max(terms)
    return top + math.log(sum(math.exp(term - top) for term in terms))


def log_odds(state: Evidence) -> float:
    """Sum the evidence up in one number.

    Args:
        state: evidence of a session.

    Returns:
        Log evidence for "slower" where that leads, minus the log evidence for "clear" otherwise.
    """
    slower = log_evidence(state)
    return slower if slower >= state.clear else -state.clear


def decide(state: Evidence) -> Decision | None:
    """Say whether the evidence suffices.

    Args:
        state: evidence of a session.

    Returns:
        ``slower`` (false in at most ``ALPHA``), ``clear`` (misses 2x in at most ``BETA``), or
        ``None`` while neither holds.
    """
    if state.pairs < MIN_PAIRS:
        return None
    if log_evidence(state) >= -math.log(ALPHA):
        # Chance may bring two bad moments close together, and a mechanism is read from three.
        # Where controls are slow too, the line may be.
        few = state.wild < MIN_PAIRS * (1 + state.mirrored)
        return None if state.partial and few else "slower"
    # A line that makes controls slow too, more than once, makes as many targets slow.
    by_line = state.mirrored if state.mirrored > 1 else 0
    if _refutes(state) and _explains(state.wild - by_line, state.pairs):
        return "clear"
    return None


def is_spent(state: Evidence, grade: str) -> bool:
    """Say whether an undecided session has had its pairs.

    Args:
        state: evidence of a session.
        grade: of its control.

    Returns:
        Whether they are as many as may be made. Where only wild pairs stand against clearing it,
        fewer are: they would show a censor of ``SHARE``.
    """
    most = CAP_PAIRS.get(grade, CAP_PAIRS["C"])
    return state.pairs >= (min(most, _CAP_WILD) if _refutes(state) else most)


def settled(
    bytes_so_far: int, t_s: float, control_goodput_bps: float, total_bytes: int = 400_000
) -> bool:
    """Say whether a running target transfer can be ended without losing evidence.

    Time only passes: whatever comes after ``t_s``, the whole transfer's goodput ends at or below
    ``total_bytes / t_s``. Once that bound lies where the clipped log ratio of every alternative
    is already at its ceiling, the pair's evidence is what it would be at the end, so ending it
    biases nothing. ``SETTLED_S`` is kept all the same, for the rate and the stop point.

    Args:
        bytes_so_far: bytes received; a transfer that has them all is left to end by itself.
        t_s: seconds since the trial began.
        control_goodput_bps: goodput of the session's slowest control so far, bit/s.
        total_bytes: size of the transfer, both arms.

    Returns:
        Whether the rest of the transfer can no longer change the evidence.
    """
    if t_s < SETTLED_S or control_goodput_bps <= 0.0 or bytes_so_far >= total_bytes:
        return False
    ceiling = max(math.log(each.ratio) * (0.5 + _CLIP) for each in ALTERNATIVES)
    return 8.0 * total_bytes / t_s <= control_goodput_bps * math.exp(-ceiling)


def _weighted(state: Evidence) -> list[float]:
    """Log martingale of each alternative with its weight."""
    return [
        total + math.log(alternative.weight)
        for total, alternative in zip(state.slower, ALTERNATIVES, strict=True)
    ]


def _refutes(state: Evidence) -> bool:
    """Whether a slowdown of all pairs is ruled out."""
    return state.clear >= -math.log(BETA)


def _explains(wild: int, pairs: int) -> bool:
    """Whether a censor of ``SHARE`` would have made more wild pairs than these."""
    chances = (
        math.comb(pairs, count) * SHARE**count * (1.0 - SHARE) ** (pairs - count)
        for count in range(wild + 1)
    )
    return wild <= 0 or sum(chances) <= _FEW


def _log_factor(log_ratio: float, scale: float, alternative: Alternative) -> float:
    """Log of what a pair multiplies an alternative's evidence by."""
    slow = _increment(log_ratio, scale, alternative.ratio) - _log_mean(scale, alternative.ratio)
    if alternative.share == 1.0:
        return slow
    return math.log1p(alternative.share * math.expm1(slow))


def _increment(log_ratio: float, scale: float, alternative: float) -> float:
    """Clipped log likelihood ratio of "``alternative`` times slower" to "no slower"."""
    shift = math.log(alternative)
    low, high = -shift * (0.5 + _CLIP), -shift * (0.5 - _CLIP)
    clipped = min(max(log_ratio, low), high)
    return _log_density(clipped + shift, scale) - _log_density(clipped, scale)


@lru_cache(maxsize=64)
def _log_mean(scale: float, alternative: float) -> float:
    """Log of the mean that a pair's factor has under "no slower".

    By symmetry about ``-log(alternative)/2`` the mean of the inverse factor under the alternative
    is the same number.
    """
    shift = math.log(alternative)
    low, high = -shift * (0.5 + _CLIP), -shift * (0.5 - _CLIP)
    top = math.exp(_increment(low, scale, alternative))
    return math.log(
        top * _cumulative(low / scale)
        + _cumulative((high + shift) / scale)
        - _cumulative((low + shift) / scale)
        + (1.0 - _cumulative(high / scale)) / top
    )


def _log_density(x: float, scale: float) -> float:
    """Log density of Student's t up to a constant, which every ratio cancels."""
    return -(DF + 1.0) / 2.0 * math.log1p((x / scale) ** 2 / DF)


def _cumulative(x: float) -> float:
    """Distribution function of Student's t with ``DF``, by Simpson's rule to about 1e-10."""
    constant = math.exp(math.lgamma((DF + 1) / 2) - math.lgamma(DF / 2)) / math.sqrt(DF * math.pi)
    # x = sinh(u) spreads the nodes over the heavy tail.
    end = math.asinh(abs(x))
    steps = 400
    width = end / steps
    total = 0.0
    for i in range(steps + 1):
        u = i * width
        weight = 1 if i in (0, steps) else 4 if i % 2 else 2
        total += weight * math.cosh(u) * math.exp(_log_density(math.sinh(u), 1.0))
    half = constant * total * width / 3.0
    return 0.5 + math.copysign(half, x)
