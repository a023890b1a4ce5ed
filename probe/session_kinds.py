"""The kinds of session: what each compares, how many pairs it takes, what a pair costs. Pure.

A session is planned as one of four values. Of each a run asks the same: what it tells of
(``subject``), whom it contacts (``hosts``), the bytes and seconds of a pair (``pair_bytes``, both
arms and both directions, ``pair_s``), and its pairs: before ``least_pairs`` the judge is not
asked, ``usual_pairs`` suffice on a clean line, and after ``most_pairs`` the session ends undecided.
One that is ``brief`` has nothing to be compared with as things are: a single pair shows that.
"""

from __future__ import annotations

from typing import ClassVar, Final, Literal

import msgspec

from probe.call.order import WEBRTC
from probe.endpoints import parse_turn, parse_url
from probe.limits import RELAY_FLOW_S
from probe.measurement import ControlKind, HttpVersion, Kind, Subject

#: Pairs after which a transfer is left undecided: at a true 2x the test has ended before in at
#: least 99 of 100 sessions. Beside another network's server the noise is wider (Wald's test; see
#: analysis.sequential for the simulation).
MAX_FETCH_PAIRS: Final[dict[ControlKind, int]] = {"A": 25, "B": 25, "C": 50, "D": 50}
MAX_CALL_PAIRS: Final = 6
_USUAL_FETCH_PAIRS: Final = 5
_USUAL_CALL_PAIRS: Final = 2
#: A connect is tried at least this often before its address counts as silent.
REACH_TRIES: Final = 6
FETCH_LIMIT_S: Final = 30.0
REACH_LIMIT_S: Final = 10.0
CALL_FLOW_S: Final = 20.0
#: Share by which headers, handshakes and the RTT connection exceed the body.
FETCH_OVERHEAD: Final = 1.06
REACH_BYTES: Final = 2_000
#: Both flows of a pair, both directions, IP and UDP headers included, at voip-60.
_CALL_PAIR_BYTES: Final = 340_000
#: Two flows of 20-byte requests and answers of at most 100 bytes, with headers.
_RELAY_PAIR_BYTES: Final = 150_000
#: A cautious line for the estimate of minutes.
_TYPICAL_BPS: Final = 20e6
_PAUSE_S: Final = 1.5


class FetchArm(msgspec.Struct, frozen=True):
    """One side of a fetch pair.

    ``sni`` is another name to put in the handshake; the certificate cannot fit it then, so it is
    not checked and the record says so. ``play`` makes it no fetch but a recording, played with the
    far end plainly or with every bit inverted.
    """

    url: str
    http: HttpVersion
    sni: str | None = None
    play: Literal["replay", "inverted"] | None = None


class FetchSession(msgspec.Struct, frozen=True):
    """Fetches of a service beside fetches of a control, the same number of bytes each.

    ``direction`` ``up`` sends the bytes instead: these sessions are judged apart.
    """

    service: str
    control_kind: ControlKind
    target: FetchArm
    control: FetchArm
    limit_bytes: int
    limit_s: float = FETCH_LIMIT_S
    direction: Literal["down", "up"] = "down"
    brief: bool = False
    kind: Kind = "fetch"
    least_pairs: ClassVar[int] = 1

    @property
    def usual_pairs(self) -> int:
        """What the test needs where nothing is slowed."""
        return 1 if self.brief else _USUAL_FETCH_PAIRS

    @property
    def most_pairs(self) -> int:
        """What the test needs at most, by the noise of its control."""
        return 1 if self.brief else MAX_FETCH_PAIRS[self.control_kind]

    @property
    def subject(self) -> Subject:
        """What it tells of."""
        return "upload" if self.direction == "up" else "fetch"

    @property
    def hosts(self) -> tuple[str, ...]:
        """Whom it contacts."""
        return str(parse_url(self.target.url)), str(parse_url(self.control.url))

    @property
    def pair_bytes(self) -> int:
        """Bytes of a pair."""
        return int(2 * self.limit_bytes * FETCH_OVERHEAD)

    @property
    def pair_s(self) -> float:
        """Seconds of a pair."""
        return 2 * (8 * self.limit_bytes / _TYPICAL_BPS + _PAUSE_S)


class CallSession(msgspec.Struct, frozen=True):
    """Call flow pairs with our far end: the app's bytes beside random bytes.

    ``ports`` are used in turn, one a pair, so that paths differ from pair to pair. ``messaging``
    names chat servers (``host:port``) and pages (URLs) of the service to ask during a call.
    ``web_port`` is the far end's TCP port, where a WebRTC call is agreed on, and ``turn`` the TURN
    server that it goes through, ``None`` for a direct one.
    """

    service: str
    host: str
    ports: tuple[int, ...]
    profile: str
    shape: str
    messaging: tuple[str, ...] = ()
    control_kind: ControlKind = "B"
    duration_s: float = CALL_FLOW_S
    web_port: int = 443
    turn: str | None = None
    brief: bool = False
    kind: Kind = "call"
    subject: ClassVar[Subject] = "call"
    least_pairs: ClassVar[int] = 1

    @property
    def usual_pairs(self) -> int:
        """What the test needs where nothing is spoiled."""
        return 1 if self.brief else _USUAL_CALL_PAIRS

    @property
    def most_pairs(self) -> int:
        """What the test needs at most."""
        return 1 if self.brief else MAX_CALL_PAIRS

    @property
    def hosts(self) -> tuple[str, ...]:
        """Whom it contacts, the service's own servers left out: other sessions name them."""
        web = [f"{self.host}:{self.web_port}"] if self.shape == WEBRTC else []
        relay = [f"{parse_turn(self.turn)}/udp"] if self.turn else []
        return (*web, *relay, *(f"{self.host}:{port}/udp" for port in self.ports))

    @property
    def pair_bytes(self) -> int:
        """Bytes of a pair."""
        return _CALL_PAIR_BYTES if self.profile == "voip-60" else 4 * _CALL_PAIR_BYTES

    @property
    def pair_s(self) -> float:
        """Seconds of a pair."""
        return self.duration_s + _PAUSE_S


class RelaySession(msgspec.Struct, frozen=True):
    """Plain STUN at call cadence: pair i asks a relay of the service beside a neutral one."""

    service: str
    pairs: tuple[tuple[str, str], ...]
    control_kind: ControlKind = "C"
    brief: bool = False
    kind: Kind = "call"
    subject: ClassVar[Subject] = "call"
    least_pairs: ClassVar[int] = 1
    pair_bytes: ClassVar[int] = _RELAY_PAIR_BYTES
    pair_s: ClassVar[float] = RELAY_FLOW_S + _PAUSE_S

    @property
    def hosts(self) -> tuple[str, ...]:
        """Whom it contacts."""
        return tuple(f"{relay}/udp" for pair in self.pairs for relay in pair)

    @property
    def most_pairs(self) -> int:
        """Each pair of relays has one turn."""
        return 1 if self.brief else len(self.pairs)

    usual_pairs = most_pairs


class ReachSession(msgspec.Struct, frozen=True):
    """TCP connects to a service's addresses, each beside one to the control."""

    service: str
    addresses: tuple[str, ...]
    control: str
    control_kind: ControlKind = "C"
    limit_s: float = REACH_LIMIT_S
    brief: bool = False
    kind: Kind = "reach"
    subject: ClassVar[Subject] = "reach"
    pair_bytes: ClassVar[int] = 2 * REACH_BYTES
    pair_s: ClassVar[float] = _PAUSE_S

    @property
    def hosts(self) -> tuple[str, ...]:
        """Whom it contacts."""
        return *self.addresses, self.control

    @property
    def least_pairs(self) -> int:
        """Every address gets its turn."""
        return 1 if self.brief else len(self.addresses)

    usual_pairs = least_pairs

    @property
    def most_pairs(self) -> int:
        """Enough to call an address silent."""
        return 1 if self.brief else max(REACH_TRIES, len(self.addresses))


Session = FetchSession | CallSession | RelaySession | ReachSession
