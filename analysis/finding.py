"""The answer of the analysis: one finding, exactly the fields ``analysis detect --json`` prints."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

import msgspec
from msgspec import UNSET, UnsetType

Verdict = Literal["normal", "throttled", "blocked", "call_degraded", "slow_line", "inconclusive"]
Direction = Literal["up", "down", "both"]
Mechanism = Literal[
    # throttled
    "policed",
    "shaped",
    "frozen",
    "delayed",
    "random_loss",
    # blocked
    "dns",
    "reset",
    "dropped",
    "tls",
    "blockpage",
    # call_degraded (besides policed, delayed, random_loss)
    "no_setup",
    "cut_off",
    "bursty",
    # any of them
    "unclassified",
]


class Window(msgspec.Struct, frozen=True, kw_only=True):
    """The time the evidence covers, UTC."""

    start: datetime
    end: datetime


class Rate(msgspec.Struct, frozen=True, kw_only=True):
    """A rate in bit/s at the IP layer with a 95 % interval; ``None`` where it cannot be bounded.

    ``lower_bound`` says that TCP did not fill the limiter, so the true rate may be higher.
    """

    value: float
    low: float | None = None
    high: float | None = None
    lower_bound: bool = False


class Slowdown(msgspec.Struct, frozen=True, kw_only=True):
    """How many times slower than the control, with a 95 % interval."""

    value: float
    low: float | None = None
    high: float | None = None


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """What the evidence says about one service, kind and vantage in one window.

    ``log_odds`` is the natural logarithm of the odds, at even prior odds, that the service is
    interfered with: above 6.9 the chance of a false alarm is below 1 in 1,000. ``direction`` and
    ``onset_packet`` (counted from 0) belong to call findings only and are absent elsewhere;
    ``http`` is the version whose figures these are, absent but for fetches and uploads.
    """

    service: str
    kind: str
    country: str
    asn: int
    network: str | None
    window: Window
    sessions: int
    pairs: int
    grade: Literal["A", "B", "C", "D"]
    verdict: Verdict
    mechanism: Mechanism | None
    rate_bps: Rate | None
    slowdown: Slowdown | None
    since: datetime | None
    until: datetime | None
    log_odds: float
    why: str
    direction: Direction | UnsetType | None = UNSET
    onset_packet: int | UnsetType | None = UNSET
    http: str | UnsetType = UNSET


_encoder = msgspec.json.Encoder()


def to_json(finding: Finding) -> bytes:
    """Write a finding as one line of JSON, without the newline.

    Args:
        finding: the finding.

    Returns:
        UTF-8 JSON with the fields of ``Finding`` in their order.
    """
    return _encoder.encode(finding)


def from_json(line: bytes | str) -> Finding:
    """Read a finding that :func:`to_json` wrote.

    Args:
        line: one JSON object.

    Returns:
        The finding.

    Raises:
        msgspec.ValidationError: the object is not a finding.
    """
    return msgspec.json.decode(line, type=Finding)
