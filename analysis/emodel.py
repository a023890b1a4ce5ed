"""The E-model of ITU-T G.107: from delay and loss to the rating R and the mean opinion score.

Every intermediate carries the Recommendation's own name, so that the text can be laid beside it.
Peers use shortcuts that differ by tens of points; each figure here names its formula and codec.
"""

from __future__ import annotations

import math
from typing import Final, Literal

import msgspec

Band = Literal["narrow", "wide", "full"]


class Codec(msgspec.Struct, frozen=True):
    """Equipment impairment: ``ie`` without loss, and robustness ``bpl`` against it (G.113)."""

    name: str
    ie: float
    bpl: float
    band: Band = "narrow"


#: G.113 Appendix I, but for Opus, which has no tabulated values: those are fitted to WB-PESQ of
#: libopus 1.6.1 over eight clips of speech, provisional, on the narrow-band scale.
CODECS: Final = {
    codec.name: codec
    for codec in (
        Codec("g711-plc", 0.0, 25.1),
        Codec("g711", 0.0, 4.3),
        Codec("g729a-vad", 11.0, 19.0),
        Codec("amr-12.2", 5.0, 10.0),
        Codec("opus-60ms-24k", 12.1, 8.4),
        Codec("opus-60ms-24k-fec", 11.0, 27.2),
        Codec("opus-20ms-24k", 10.4, 8.1),
        Codec("amr-wb-12.65", 13.0, 4.3, "wide"),
        Codec("fullband", 10.2, 4.3, "full"),
    )
}
#: Best rating and impairment ceiling by band: G.107, G.107.1, G.107.2.
_BEST: Final = {"wide": 129.0, "full": 148.0}
_CEILING: Final = {"narrow": 95.0, "wide": 95.0, "full": 132.0}
_SCALE: Final = {"narrow": 1.0, "wide": 1.29, "full": 1.48}
_HIGHEST_R: Final = 100.0


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """The transmission parameters of G.107 (2015), table 1, with its default values.

    Levels and loudness ratings in dB, ``t ta tr`` (mean one-way delay of the echo path, absolute
    delay, round trip in the four-wire loop) in ms.
    """

    slr: float = 8.0
    rlr: float = 2.0
    stmr: float = 15.0
    lstr: float = 18.0
    ds: float = 3.0
    telr: float = 65.0
    wepl: float = 110.0
    t: float = 0.0
    ta: float = 0.0
    tr: float = 0.0
    qdu: float = 1.0
    nc: float = -70.0
    nfor: float = -64.0
    ps: float = 35.0
    pr: float = 35.0
    advantage: float = 0.0
    delay_sensitivity: float = 1.0
    least_delay_ms: float = 100.0


class Rating(msgspec.Struct, frozen=True, kw_only=True):
    """R with the terms it is made of: ``R = Ro - Is - Id - Ie,eff + A``."""

    r: float
    ro: float
    no: float
    simultaneous: float
    iolr: float
    ist: float
    iq: float
    delay: float
    idte: float
    idle: float
    idd: float
    equipment: float


def rate(line: Line, *, ie_eff: float = 0.0) -> Rating:
    """Rate a narrow-band connection by the full G.107.

    Args:
        line: its parameters.
        ie_eff: effective equipment impairment (:func:`effective_impairment`).

    Returns:
        R and its terms; R is 93.206 for the defaults.
    """
    no = _noise(line)
    ro = 15.0 - 1.5 * (line.slr + no)
    iolr, ist, iq = _loudness(line, no), _sidetone(line), _quantising(line, ro)
    simultaneous = iolr + ist + iq
    idte, idle = _talker_echo(line, no, ist), _listener_echo(line, ro)
    idd = delay_impairment(line.ta, line.delay_sensitivity, line.least_delay_ms)
    delay = idte + idle + idd
    return Rating(
        r=ro - simultaneous - delay - ie_eff + line.advantage,
        ro=ro,
        no=no,
        simultaneous=simultaneous,
        iolr=iolr,
        ist=ist,
        iq=iq,
        delay=delay,
        idte=idte,
        idle=idle,
        idd=idd,
        equipment=ie_eff,
    )


def call_rating(
    codec: Codec, *, loss_percent: float, burst_ratio: float = 1.0, one_way_ms: float = 0.0
) -> float:
    """Rate a call in an app that cancels echo.

    Args:
        codec: equipment impairment and its scale.
        loss_percent: packets lost or too late, 0 to 100.
        burst_ratio: mean loss run over that of memoryless loss, at least 1.
        one_way_ms: mouth to ear, buffer and packets included.

    Returns:
        R on the codec's scale: up to 93.2 narrow, 129 wide, 148 full band.
    """
    lost = effective_impairment(codec, loss_percent, burst_ratio)
    if codec.band == "narrow":
        return rate(Line(ta=one_way_ms), ie_eff=lost).r
    idd = delay_impairment(one_way_ms)
    return _BEST[codec.band] - lost - idd * (_SCALE["full"] if codec.band == "full" else 1.0)


def effective_impairment(codec: Codec, loss_percent: float, burst_ratio: float = 1.0) -> float:
    """Return Ie,eff (G.107 equation 7-29).

    Args:
        codec: Ie and Bpl.
        loss_percent: Ppl, 0 to 100.
        burst_ratio: BurstR, at least 1.

    Returns:
        Ie,eff on the codec's scale.
    """
    if loss_percent <= 0.0:
        return codec.ie
    weight = loss_percent / (loss_percent / max(burst_ratio, 1.0) + codec.bpl)
    return codec.ie + (_CEILING[codec.band] - codec.ie) * weight


def delay_impairment(ta_ms: float, sensitivity: float = 1.0, least_ms: float = 100.0) -> float:
    """Return Idd, the cost of absolute delay (G.107 equation 7-27).

    Args:
        ta_ms: absolute one-way delay, ms.
        sensitivity: sT.
        least_ms: mT, below which delay costs nothing.

    Returns:
        Idd.
    """
    if ta_ms <= least_ms:
        return 0.0
    x = math.log2(ta_ms / least_ms)
    power = 6.0 * sensitivity
    return 25.0 * (_soft_max(x, power) - 3.0 * _soft_max(x / 3.0, power) + 2.0)


def mos(r: float, band: Band = "narrow") -> float:
    """Turn a rating into a mean opinion score (G.107 Annex B).

    Args:
        r: rating on the band's scale.
        band: which scale.

    Returns:
        1 to 4.5; the cubic's dip below 1 is held at 1.
    """
    r /= _SCALE[band]
    if r <= 0.0:
        return 1.0
    if r >= _HIGHEST_R:
        return 4.5
    return max(1.0 + 0.035 * r + r * (r - 60.0) * (100.0 - r) * 7e-6, 1.0)


def _soft_max(x: float, power: float) -> float:
    """About the greater of 1 and x: the curve G.107 bends its impairments with."""
    return math.pow(1.0 + math.pow(x, power), 1.0 / power)


def _noise(line: Line) -> float:
    """No: all noise, referred to the 0 dBr point."""
    olr = line.slr + line.rlr
    nos = line.ps - line.slr - line.ds - 100.0 + 0.004 * (line.ps - olr - line.ds - 14.0) ** 2
    pre = line.pr + 10.0 * math.log10(1.0 + 10.0 ** ((10.0 - line.lstr) / 10.0))
    nor = line.rlr - 121.0 + pre + 0.008 * (pre - 35.0) ** 2
    nfo = line.nfor + line.rlr
    return 10.0 * math.log10(sum(10.0 ** (level / 10.0) for level in (line.nc, nos, nor, nfo)))


def _loudness(line: Line, no: float) -> float:
    """Iolr: too low an overall loudness rating."""
    xolr = line.slr + line.rlr + 0.2 * (64.0 + no - line.rlr)
    return 20.0 * (_soft_max(xolr / 8.0, 8.0) - xolr / 8.0)


def _sidetone(line: Line) -> float:
    """Ist: non-optimum sidetone."""
    stmro = -10.0 * math.log10(
        10.0 ** (-line.stmr / 10.0) + math.exp(-line.t / 4.0) * 10.0 ** (-line.telr / 10.0)
    )
    return (
        12.0 * _soft_max((stmro - 13.0) / 6.0, 8.0)
        - 28.0 * _soft_max((stmro + 1.0) / 19.4, 35.0)
        - 13.0 * _soft_max((stmro - 3.0) / 33.0, 13.0)
        + 29.0
    )


def _quantising(line: Line, ro: float) -> float:
    """Iq: quantising distortion."""
    q = 37.0 - 15.0 * math.log10(line.qdu)
    g = 1.07 + 0.258 * q + 0.0602 * q**2
    y = (ro - 100.0) / 15.0 + 46.0 / 8.4 - g / 9.0
    z = 46.0 / 30.0 - g / 40.0
    return 15.0 * math.log10(1.0 + 10.0**y + 10.0**z)


def _talker_echo(line: Line, no: float, ist: float) -> float:
    """Idte: talker echo; none where the echo path has no delay."""
    if line.t <= 0.0:
        return 0.0
    terv = (
        line.telr
        - 40.0 * math.log10((1.0 + line.t / 10.0) / (1.0 + line.t / 150.0))
        + 6.0 * math.exp(-0.3 * line.t**2)
    )
    if line.stmr < 9.0:  # noqa: PLR2004 - the Recommendation's bound
        terv += ist / 2.0
    gap = -1.5 * (no - line.rlr) - (80.0 + 2.5 * (terv - 14.0))
    idte = (gap / 2.0 + math.sqrt(gap**2 / 4.0 + 100.0) - 1.0) * (1.0 - math.exp(-line.t))
    if line.stmr > 20.0:  # noqa: PLR2004 - as above
        idte = math.hypot(idte, ist)
    return idte


def _listener_echo(line: Line, ro: float) -> float:
    """Idle: listener echo."""
    gap = ro - 10.5 * (line.wepl + 7.0) * math.pow(line.tr + 1.0, -0.25)
    return gap / 2.0 + math.sqrt(gap**2 / 4.0 + 169.0)
