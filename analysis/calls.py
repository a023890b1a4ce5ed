"""Derived figures of one call-shaped flow: loss each way, delay, what a listener would hear."""

from __future__ import annotations

from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from analysis import delays, emodel, losses
from analysis.delays import Jitter, Quantiles
from analysis.losses import Bursts, LossFigures
from probe.measurement import Call, Fate, Measurement
from probe.trace import FATES, unpack_trace

Array = NDArray[np.float64]
Flags = NDArray[np.bool_]

#: The app says "reconnecting" after so long without a packet, and asks for a bad rating beyond
#: this round trip or loss (libtgvoip's defaults).
RECONNECTING_S: Final = 2.0
BAD_RTT_S: Final = 0.6
BAD_LOSS_RATIO: Final = 0.2
#: De-jitter buffer and codec that R and MOS are given for.
BUFFER_S: Final = 0.2
CODEC: Final = "opus-60ms-24k-fec"
#: Opus looks this far ahead (RFC 6716 section 4.2 and 4.3).
_LOOK_AHEAD_S: Final = 0.0065


#: Columns that a comparison needs; the user-space times stand in where the kernel gave none.
_COLUMNS: Final = (
    "user_send_ns",
    "kernel_send_ns",
    "far_receive_ns",
    "far_send_ns",
    "kernel_receive_ns",
    "user_receive_ns",
    "fate",
)


#: A packet whose fate was not written down is lost, nobody knows where.
_UNKNOWN: Final = FATES.index("lost")


class Flow(msgspec.Struct, frozen=True, kw_only=True):
    """A trace in arrays: one entry a packet, in the order sent; seconds, NaN where unknown.

    ``lost_up``, ``lost_down`` and ``lost`` (by either, or by an unknown one) mark losses;
    ``reached`` the packets that the far end saw. ``up_s`` and ``down_s`` are transits against
    clocks with an unknown but constant offset.
    """

    interval_s: float
    sent_s: Array
    received_s: Array
    lost_up: Flags
    lost_down: Flags
    lost: Flags
    rtt_s: Array
    up_s: Array
    down_s: Array

    @property
    def reached(self) -> Flags:
        """Packets that are known to have come to the far end."""
        return ~self.lost_up & (self.lost_down | ~self.lost)


class Side(msgspec.Struct, frozen=True, kw_only=True):
    """One direction: loss, bursts, delay variation."""

    loss: LossFigures
    bursts: Bursts
    onset_packet: int | None
    ipdv: Quantiles | None
    pdv: Quantiles | None
    jitter: Jitter


class CallFigures(msgspec.Struct, frozen=True, kw_only=True):
    """What one flow comes to.

    ``up`` and ``down`` are ``None`` where loss has no direction; ``whole`` is the round trip.
    ``r`` and ``mos`` are G.107's for ``formula`` (codec and buffer named in it). ``reconnecting``
    and ``bad_call`` are what the app itself would say.
    """

    up: Side | None
    down: Side | None
    whole: Side
    rtt: Quantiles | None
    played_ratio: float
    r: float
    mos: float
    formula: str
    longest_silence_s: float
    reconnecting: bool
    bad_call: bool


def flow(call: Call) -> Flow:
    """Unpack the trace of a call.

    Args:
        call: with its trace.

    Returns:
        Its arrays; of length zero where no trace was kept.

    Raises:
        probe.trace.TraceError: the trace does not unpack.
    """
    columns = unpack_trace(call.trace, _COLUMNS)
    packets = call.trace.packets

    def seconds(*names: str) -> Array:
        """The first of the columns that has a value, packet by packet."""
        out = np.full(packets, np.nan)
        for name in names:
            if name in columns and not np.isfinite(out).all():
                # A column's None becomes NaN.
                values = np.array(columns[name], dtype=float) * 1e-9
                out = np.where(np.isfinite(out), out, values)
        return out

    sent = seconds("kernel_send_ns", "user_send_ns")
    received = seconds("kernel_receive_ns", "user_receive_ns")
    far_in, far_out = seconds("far_receive_ns"), seconds("far_send_ns")
    inside = np.nan_to_num(far_out - far_in)
    if "fate" in columns:
        fates = np.array([_UNKNOWN if i is None else i for i in columns["fate"]], dtype=int)
    else:
        fates = np.where(np.isfinite(received), FATES.index("ok"), _UNKNOWN)

    def marks(*names: Fate) -> Flags:
        return np.isin(fates, [FATES.index(name) for name in names])

    return Flow(
        interval_s=call.interval_s,
        sent_s=sent,
        received_s=received,
        lost_up=marks("lost_up"),
        lost_down=marks("lost_down"),
        lost=marks("lost_up", "lost_down", "lost"),
        rtt_s=received - sent - inside,
        up_s=far_in - sent,
        down_s=received - far_out,
    )


def figures(trial: Measurement) -> CallFigures:
    """Derive the figures of a call flow.

    Args:
        trial: a call record.

    Returns:
        Its figures.

    Raises:
        ValueError: the record is not a call.
        probe.trace.TraceError: its trace does not unpack.
    """
    call = trial.call
    if call is None:
        raise ValueError(f"found a {trial.kind} record, expected a call")
    seen = flow(call)
    directed = call.peer == "far_end"
    reached = seen.reached
    whole = _side(seen.lost, seen.rtt_s, seen.sent_s, seen.received_s, seen.interval_s)
    rtt = delays.quantiles(seen.rtt_s)
    in_time = delays.played(seen.rtt_s, BUFFER_S)
    played = float(in_time.mean()) if len(in_time) else 0.0
    silence = _longest_silence_s(seen)
    r = _rating(seen, in_time, rtt)
    return CallFigures(
        up=_side(seen.lost_up, seen.up_s, seen.sent_s, seen.sent_s + seen.up_s, seen.interval_s)
        if directed
        else None,
        # Only what reached the far end could be lost on the way back.
        down=_side(
            seen.lost_down[reached],
            seen.down_s[reached],
            (seen.received_s - seen.down_s)[reached],
            seen.received_s[reached],
            seen.interval_s,
        )
        if directed
        else None,
        whole=whole,
        rtt=rtt,
        played_ratio=played,
        r=r,
        mos=emodel.mos(r),
        formula=f"G.107, {CODEC}, fixed buffer {1000 * BUFFER_S:.0f} ms, one way = RTT / 2",
        longest_silence_s=silence,
        reconnecting=silence > RECONNECTING_S,
        bad_call=whole.loss.loss_ratio > BAD_LOSS_RATIO or (rtt.p50_s if rtt else 0.0) > BAD_RTT_S,
    )


def _side(
    lost: Flags, transit_s: Array, sent_s: Array, received_s: Array, interval_s: float
) -> Side:
    came = np.flatnonzero(np.isfinite(received_s) & np.isfinite(sent_s))
    order = came[np.argsort(received_s[came], kind="stable")]
    return Side(
        loss=losses.figures(lost),
        bursts=losses.bursts(lost, interval_s),
        onset_packet=losses.onset([lost]),
        ipdv=delays.quantiles(np.abs(delays.ipdv(transit_s))),
        pdv=delays.quantiles(delays.pdv(transit_s)),
        jitter=delays.rfc3550(sent_s[order], received_s[order]),
    )


def _rating(seen: Flow, in_time: Flags, rtt: Quantiles | None) -> float:
    heard = losses.figures(~in_time)
    one_way_s = (rtt.p50_s / 2.0 if rtt else 0.0) + BUFFER_S + seen.interval_s + _LOOK_AHEAD_S
    return emodel.call_rating(
        emodel.CODECS[CODEC],
        loss_percent=100.0 * heard.loss_ratio,
        burst_ratio=heard.burst_ratio,
        one_way_ms=1000.0 * one_way_s,
    )


def _longest_silence_s(seen: Flow) -> float:
    """The longest time in which nothing came back, from the first send to the last."""
    if not len(seen.sent_s):
        return 0.0
    came = np.sort(seen.received_s[np.isfinite(seen.received_s)])
    ends = np.concatenate([[np.nanmin(seen.sent_s)], came, [np.nanmax(seen.sent_s)]])
    return float(max(np.diff(ends).max(), 0.0))
