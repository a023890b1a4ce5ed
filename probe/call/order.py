"""What a call trial is asked to do, and what it gives back."""

from __future__ import annotations

from typing import Final, Literal

import msgspec

from probe.call.profiles import INTERVAL_S
from probe.call.shapes import SHAPES
from probe.measurement import Call

#: The longest flow, in seconds; a relay that is not ours gets a third of it, and no fast profile.
MAX_DURATION_S: Final = 60.0
MAX_RELAY_DURATION_S: Final = 20.0
RELAY_PROFILE: Final = "voip-60"
#: A real WebRTC call; Opus frames of 20 ms, as browsers send them.
WEBRTC: Final = "webrtc"
WEBRTC_PROFILE: Final = "voip-20"
MISSING: Final = "found no aiortc, expected it: pip install 'throttle-probe[webrtc]'"
_MAX_PORT: Final = 65_535


class Turn(msgspec.Struct, frozen=True, kw_only=True):
    """A TURN server of our own, and what it lets us in with."""

    host: str
    port: int
    username: str
    credential: str


class CallOrder(msgspec.Struct, frozen=True, kw_only=True):
    """One flow to make.

    Attributes:
        peer: ``far_end``: our reflector, media of ``shape``; ``relay``: somebody's STUN server,
            plain 20-byte Binding requests at the profile's cadence.
        host: name or address of the peer.
        port: its UDP port.
        profile: how often and how large; a key of ``probe.call.profiles.INTERVAL_S``.
        shape: a key of ``probe.call.shapes.SHAPES``; a relay's is not used. ``webrtc`` is a real
            WebRTC call: host and port are the far end's web side, the profile is ``voip-20``.
        duration_s: how long media is sent.
        seed: fixes the size sequence; both flows of a pair have the same.
        local_port: UDP port to call from; 0 takes a fresh one, as every trial but one through a
            punched hole should.
        turn: relays a WebRTC call; ``None`` for a direct one.
    """

    peer: Literal["far_end", "relay"] = "far_end"
    host: str
    port: int
    profile: str = "voip-60"
    shape: str = "random"
    duration_s: float = 20.0
    seed: int = 0
    local_port: int = 0
    turn: Turn | None = None

    def __post_init__(self) -> None:
        """Refuse an order that cannot be carried out, or would be impolite to a relay."""
        for what, found, known in (
            ("profile", self.profile, INTERVAL_S),
            ("shape", self.shape, (*SHAPES, WEBRTC)),
        ):
            if found not in known:
                raise ValueError(f"found {what} {found!r}, expected one of {', '.join(known)}")
        if not 0 < self.port <= _MAX_PORT:
            raise ValueError(f"found port {self.port}, expected 1 to {_MAX_PORT}")
        longest = MAX_RELAY_DURATION_S if self.peer == "relay" else MAX_DURATION_S
        if not 0 < self.duration_s <= longest:
            raise ValueError(f"found {self.duration_s} s, expected more than 0 and up to {longest}")
        if self.peer == "relay" and self.profile != RELAY_PROFILE:
            raise ValueError(
                f"found profile {self.profile!r} for a relay, expected {RELAY_PROFILE!r}: "
                "17 packets a second is the most somebody else's server gets"
            )
        if self.shape == WEBRTC and (self.peer, self.profile) != ("far_end", WEBRTC_PROFILE):
            raise ValueError(
                f"found a WebRTC call with {self.profile!r} to a {self.peer}, expected "
                f"{WEBRTC_PROFILE!r} to a far_end"
            )


class CallOutcome(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a flow.

    Attributes:
        failure: ``None``, or a word of ``probe.failure``.
        call: the facts for the record.
        stamps: kernel stamps that really came: ``rx``, ``tx``.
        loop_lag_s: worst lateness of the event loop meanwhile.
        clock_step_s: how far the wall clock was set meanwhile.
    """

    failure: str | None
    call: Call
    stamps: tuple[str, ...] = ()
    loop_lag_s: float | None = None
    clock_step_s: float | None = None
