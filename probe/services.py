"""The values of a targets file: services, their endpoints, and the controls they meet. Pure."""

from __future__ import annotations

from datetime import date
from typing import Final, Literal, get_args

import msgspec

from probe.measurement import HttpVersion

VERSION: Final = 1
#: Call cadences: a packet every 60 ms (Telegram, WhatsApp, Signal today) or every 20 ms.
PROFILES: Final = ("voip-60", "voip-20")
#: What a call packet's bytes look like; every other shape is compared with ``random``. ``webrtc``
#: is a real WebRTC call, whatever the profile.
SHAPES: Final = ("random", "rtp", "stun-rtp", "telegram", "whatsapp", "signal", "webrtc")
HTTP_VERSIONS: Final = get_args(HttpVersion)
#: A transfer below this can pass a 128 kbit/s policer inside its burst and show nothing.
LEAST_BYTES: Final = 64_000
MOST_BYTES: Final = 50_000_000
#: Names that records use for sessions which belong to no service.
RESERVED: Final = ("control", "line", "peer")

#: UDP ports a far end reflects calls on unless told otherwise: those of the apps' relays.
CALL_PORTS: Final = (3478, 1400, 599)
REPLAY_PORT: Final = 8443

Scope = Literal["foreign", "domestic"]


class Control(msgspec.Struct, frozen=True, kw_only=True):
    """What target trials are compared with: a web object (``url``) or a relay, never both."""

    name: str
    url: str | None = None
    relay: str | None = None
    scope: Scope
    source: str
    http: tuple[HttpVersion, ...] = ("http/1.1",)
    min_bytes: int = 400_000


class FetchTarget(msgspec.Struct, frozen=True, kw_only=True):
    """A web object to fetch; it should hold at least ``min_bytes``."""

    url: str
    http: tuple[HttpVersion, ...] = ("http/1.1",)
    min_bytes: int = 400_000
    source: str


class ReachTarget(msgspec.Struct, frozen=True, kw_only=True):
    """A ``host:port`` to connect to by TCP; a host name only where the service moves about."""

    address: str
    source: str = ""


class CallTarget(msgspec.Struct, frozen=True, kw_only=True):
    """A call to emulate: ``shapes`` towards the far end, and a plain cadence to ``relays``."""

    profile: str
    shapes: tuple[str, ...] = ()
    relays: tuple[str, ...] = ()
    source: str


class Service(msgspec.Struct, frozen=True, kw_only=True):
    """What a user knows by name; ``controls`` are names of the file's controls, best first.

    ``trigger_names`` are the host names a censor is known to look for (grades A and B).
    """

    name: str
    group: str
    controls: tuple[str, ...] = ()
    trigger_names: tuple[str, ...] = ()
    fetch: tuple[FetchTarget, ...] = ()
    reach: tuple[ReachTarget, ...] = ()
    call: tuple[CallTarget, ...] = ()


class FarEnd(msgspec.Struct, frozen=True, kw_only=True):
    """Our own server: URL of its web side, UDP ports that reflect calls, TCP port of replays.

    ``turn`` are TURN servers on the same host, that WebRTC calls go through besides directly.
    """

    url: str
    calls: tuple[int, ...] = ()
    replay: int = REPLAY_PORT
    turn: tuple[str, ...] = ()

    def page(self, path: str) -> str:
        """Return the URL of a path of its web side."""
        return f"{self.url.rstrip('/')}/{path}"


class Targets(msgspec.Struct, frozen=True, kw_only=True):
    """A whole targets file; ``controls`` and ``services`` keep its order."""

    version: int
    reviewed: date
    expires: date
    far_end: FarEnd | None = None
    controls: dict[str, Control]
    services: dict[str, Service]

    @property
    def neutral_hosts(self) -> tuple[Control, ...]:
        """The controls with a URL: together they show whether the line works."""
        return tuple(control for control in self.controls.values() if control.url)

    def expired(self, today: date) -> bool:
        """Whether the file is past its last day of use, ``expires``."""
        return today > self.expires

    def web_controls(self, service: str) -> tuple[str, ...]:
        """Names of the controls with a URL that the service asks for, best first."""
        return tuple(n for n in self.services[service].controls if self.controls[n].url)

    def relay_controls(self, service: str) -> tuple[str, ...]:
        """Names of the controls with a relay: those the service asks for, else all, best first."""
        every = tuple(name for name, control in self.controls.items() if control.relay)
        asked = tuple(name for name in self.services[service].controls if name in every)
        return asked or every
