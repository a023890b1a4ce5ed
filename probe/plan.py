"""Which sessions a run holds, against which controls, and what they will cost. Pure."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from typing import Final, Literal
from urllib.parse import urlsplit

import msgspec

from probe.call.order import WEBRTC, WEBRTC_PROFILE
from probe.limits import RELAY_FLOW_S
from probe.measurement import ControlKind, HttpVersion, Kind, Subject
from probe.targets import CallTarget, Control, FarEnd, FetchTarget, Service, Targets

#: Bytes of a transfer that only confirms: enough to show a 128 kbit/s policer beyond its burst,
#: few enough not to keep the volunteer waiting.
CONFIRM_BYTES: Final = 100_000
#: Time for twice as much as these at 128 kbit/s; where nothing comes, waiting longer tells nothing.
CONFIRM_LIMIT_S: Final = 15.0
#: Bytes of an upload: ten times what a policer's bucket let through (Xue et al., IMC 2021).
UPLOAD_BYTES: Final = 200_000
#: A connect is tried at least this often before its address counts as silent.
REACH_TRIES: Final = 6
#: A relay session with a single pair could conclude nothing.
_LEAST_RELAY_PAIRS: Final = 2
_ORDER: Final[tuple[Subject, ...]] = ("fetch", "upload", "reach", "call")
#: Pairs a session needs on a clean line; the estimate of bytes and minutes counts on these.
USUAL_FETCH_PAIRS: Final = 5
USUAL_CALL_PAIRS: Final = 2
#: Where a session ends undecided (Wald's test; see analysis.sequential for the simulation).
MAX_FETCH_PAIRS: Final = 25
MAX_CALL_PAIRS: Final = 6
FETCH_LIMIT_S: Final = 30.0
CALL_FLOW_S: Final = 20.0
#: Both flows of a pair, both directions, IP and UDP headers included, at voip-60.
CALL_PAIR_BYTES: Final = 340_000
#: Two flows of 20-byte requests and answers of at most 100 bytes, with headers.
RELAY_PAIR_BYTES: Final = 150_000
#: Share by which headers, handshakes and the RTT connection exceed the body.
FETCH_OVERHEAD: Final = 1.06
REACH_BYTES: Final = 2_000
#: A cautious line for the estimate of minutes.
TYPICAL_BPS: Final = 20e6
PAUSE_S: Final = 1.5


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
    kind: Kind = "fetch"


class CallSession(msgspec.Struct, frozen=True):
    """Call flow pairs with our far end: the app's bytes beside random bytes.

    ``ports`` are used in turn, one a pair, so that paths differ from pair to pair. ``messaging``
    names chat servers (``host:port``) and pages (URLs) of the service to ask during a call.
    ``web_port`` is the far end's TCP port, where a WebRTC call is agreed on.
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
    kind: Kind = "call"


class RelaySession(msgspec.Struct, frozen=True):
    """Plain STUN at call cadence: pair i asks a relay of the service beside a neutral one."""

    service: str
    pairs: tuple[tuple[str, str], ...]
    control_kind: ControlKind = "C"
    kind: Kind = "call"


class ReachSession(msgspec.Struct, frozen=True):
    """TCP connects to a service's addresses, each beside one to the control."""

    service: str
    addresses: tuple[str, ...]
    control: str
    control_kind: ControlKind = "C"
    kind: Kind = "reach"


Session = FetchSession | CallSession | RelaySession | ReachSession


class Plan(msgspec.Struct, frozen=True):
    """One run: its sessions in order, and what it is expected to cost."""

    sessions: tuple[Session, ...]
    bytes: int
    seconds: float

    @property
    def hosts(self) -> tuple[str, ...]:
        """Every host the run will contact, sorted."""
        return tuple(sorted({host for session in self.sessions for host in _hosts(session)}))

    @property
    def services(self) -> tuple[str, ...]:
        """The services in the run, sorted."""
        return tuple(sorted({session.service for session in self.sessions}))


def make_plan(
    targets: Targets, rng: random.Random, *, only: Sequence[str], kinds: Sequence[Subject]
) -> Plan:
    """Plan one run.

    Args:
        targets: the validated targets file.
        rng: the order of services comes from it, so that no service is always first.
        only: names of services; empty for all.
        kinds: what is wanted; uploads need a far end and names known to trigger.

    Returns:
        The sessions and the cost on a clean line. Fetches come first: one that crawls then does
        so beside the calls. Within a kind, services are in random order.
    """
    names = [name for name in targets.services if not only or name in only]
    rng.shuffle(names)
    wanted = (
        session
        for name in names
        for session in _sessions(targets, name, targets.services[name])
        if subject(session) in kinds
    )
    sessions = tuple(sorted(wanted, key=lambda session: _ORDER.index(subject(session))))
    return Plan(
        sessions,
        bytes=sum(pair_bytes(s) * usual_pairs(s) for s in sessions),
        seconds=sum(_pair_seconds(s) * usual_pairs(s) for s in sessions),
    )


def subject(session: Session) -> Subject:
    """Name what a session tells of.

    Args:
        session: the session.

    Returns:
        Its kind, but ``upload`` for fetches that send.
    """
    if isinstance(session, FetchSession) and session.direction == "up":
        return "upload"
    return session.kind


def confirmations(session: Session, targets: Targets) -> tuple[FetchSession, ...]:
    """Plan what tells a name from a server, once a fetch session has found something.

    Args:
        session: the session that found it.
        targets: names the far end and the trigger names.

    Returns:
        Grade A: the service's own address, asked under the service's name and under the neutral
        host's. Grade B, where there is a far end: the far end, asked under a name known to
        trigger and under the neutral host's; then a recording that carries that name, played with
        the far end, and its bit-inverted copy. Best first; one that finds the same is enough.
    """
    if not isinstance(session, FetchSession) or session.control_kind != "C":
        return ()
    neutral = urlsplit(session.control.url).hostname
    target = session.target
    size = min(session.limit_bytes, CONFIRM_BYTES)
    smaller = msgspec.structs.replace(session, limit_bytes=size, limit_s=CONFIRM_LIMIT_S)
    under_neutral = msgspec.structs.replace(target, sni=neutral)
    planned = [msgspec.structs.replace(smaller, control_kind="A", control=under_neutral)]
    triggers = targets.services[session.service].trigger_names
    if targets.far_end and triggers:
        url = f"{targets.far_end.url.rstrip('/')}/bytes/{size}"
        far = FetchArm(url, "http/1.1", sni=triggers[0])
        planned.append(
            msgspec.structs.replace(
                smaller,
                control_kind="B",
                target=far,
                control=msgspec.structs.replace(far, sni=neutral),
            )
        )
        planned.append(_replay(smaller, targets.far_end, triggers[0]))
    return tuple(planned)


def _replay(session: FetchSession, far_end: FarEnd, trigger: str) -> FetchSession:
    """Plan a recording beside its inverted copy (Kakhki et al., IMC 2015; Xue et al., IMC 2021)."""
    url = f"http://{urlsplit(far_end.url).hostname}:{far_end.replay}/"
    played = FetchArm(url, "http/1.1", sni=trigger, play="replay")
    return msgspec.structs.replace(
        session,
        control_kind="B",
        target=played,
        control=msgspec.structs.replace(played, play="inverted"),
    )


def pair_bytes(session: Session) -> int:
    """Estimate what one pair of a session moves, both arms and both directions, in bytes."""
    match session:
        case FetchSession():
            return int(2 * session.limit_bytes * FETCH_OVERHEAD)
        case CallSession():
            return CALL_PAIR_BYTES if session.profile == "voip-60" else 4 * CALL_PAIR_BYTES
        case RelaySession():
            return RELAY_PAIR_BYTES
        case ReachSession():
            return 2 * REACH_BYTES


def usual_pairs(session: Session) -> int:
    """Count the pairs a session needs on a clean line."""
    match session:
        case FetchSession():
            return USUAL_FETCH_PAIRS
        case CallSession():
            return USUAL_CALL_PAIRS
        case RelaySession():
            return len(session.pairs)
        case ReachSession():
            return len(session.addresses)


def max_pairs(session: Session) -> int:
    """Count the pairs after which a session ends undecided."""
    match session:
        case FetchSession():
            return MAX_FETCH_PAIRS
        case CallSession():
            return MAX_CALL_PAIRS
        case RelaySession():
            return len(session.pairs)
        case ReachSession():
            return max(REACH_TRIES, len(session.addresses))


def min_pairs(session: Session) -> int:
    """Count the pairs before which the judge is not asked: every address gets its turn."""
    return len(session.addresses) if isinstance(session, ReachSession) else 1


def _pair_seconds(session: Session) -> float:
    match session:
        case FetchSession():
            return 2 * (8 * session.limit_bytes / TYPICAL_BPS + PAUSE_S)
        case CallSession():
            return session.duration_s + PAUSE_S
        case RelaySession():
            return RELAY_FLOW_S + PAUSE_S
        case ReachSession():
            return PAUSE_S


def _sessions(targets: Targets, name: str, service: Service) -> Iterator[Session]:
    controls = [targets.controls[c] for c in service.controls]
    fetchable = next((c for c in controls if c.url), None)
    if fetchable and fetchable.url:
        for fetch in service.fetch:
            yield from _fetch_sessions(name, fetch, fetchable)
        if service.reach:
            addresses = tuple(reach.address for reach in service.reach)
            yield ReachSession(name, addresses, origin(fetchable.url))
        if targets.far_end and service.trigger_names:
            yield _upload(targets.far_end, name, service.trigger_names[0], fetchable.url)
    messaging = (
        *(reach.address for reach in service.reach[:1]),
        *(fetch.url for fetch in service.fetch[:1]),
    )
    for call in service.call:
        yield from _call_sessions(targets, name, call, messaging)


def _fetch_sessions(name: str, fetch: FetchTarget, control: Control) -> Iterator[FetchSession]:
    """Plan a session a version of HTTP: a censor may hold TCP and QUIC to rates of their own.

    QUIC is compared with QUIC only: where UDP does not pass, that is no matter of the service.
    """
    for http in fetch.http:
        if http in control.http or http != "h3":
            yield FetchSession(
                name,
                "C",
                FetchArm(fetch.url, http),
                FetchArm(control.url or "", http if http in control.http else control.http[0]),
                limit_bytes=min(fetch.min_bytes, control.min_bytes),
            )


def _upload(far_end: FarEnd, name: str, trigger: str, neutral_url: str) -> FetchSession:
    """Send to the far end under a name known to trigger, and under a neutral one (grade B)."""
    arm = FetchArm(f"{far_end.url.rstrip('/')}/sink", "http/1.1")
    return FetchSession(
        name,
        "B",
        msgspec.structs.replace(arm, sni=trigger),
        msgspec.structs.replace(arm, sni=urlsplit(neutral_url).hostname),
        limit_bytes=UPLOAD_BYTES,
        direction="up",
    )


def _call_sessions(
    targets: Targets, name: str, call: CallTarget, messaging: tuple[str, ...]
) -> Iterator[Session]:
    if targets.far_end:
        far_end = urlsplit(targets.far_end.url)
        host, calls = far_end.hostname or "", targets.far_end.calls
        for shape in call.shapes:
            # A real stack has a cadence of its own.
            profile = WEBRTC_PROFILE if shape == WEBRTC else call.profile
            session = CallSession(name, host, calls, profile, shape, messaging)
            yield msgspec.structs.replace(session, web_port=far_end.port or 443)
    neutral = [targets.controls[c].relay or "" for c in targets.relay_controls(name)]
    pairs = tuple(
        (relay.removeprefix("stun://"), control.removeprefix("stun://"))
        for relay, control in zip(call.relays, neutral, strict=False)
    )
    if len(pairs) >= _LEAST_RELAY_PAIRS:
        yield RelaySession(name, pairs)


def origin(url: str) -> str:
    """Return ``host:port`` of a URL, with the scheme's port where none is written."""
    parts = urlsplit(url)
    return f"{parts.hostname}:{parts.port or (443 if parts.scheme == 'https' else 80)}"


def line_checks(targets: Targets) -> list[tuple[str, Control]]:
    """Pick the neutral hosts that show the line itself works.

    Returns:
        Up to one control of each scope (``domestic``, ``foreign``), in that order.
    """
    first: dict[str, Control] = {}
    for control in targets.controls.values():
        if control.url:
            first.setdefault(control.scope, control)
    return [(scope, first[scope]) for scope in ("domestic", "foreign") if scope in first]


def all_hosts(plan: Plan, targets: Targets) -> tuple[str, ...]:
    """List every host a run may contact: also for line checks, vantage and confirmations.

    Args:
        plan: the sessions.
        targets: the controls and the far end.

    Returns:
        ``host:port``, with ``/udp`` where it is that, sorted.
    """
    hosts = set(plan.hosts) | {origin(control.url or "") for _, control in line_checks(targets)}
    relays = [control.relay for control in targets.controls.values() if control.relay]
    hosts |= {f"{relay.removeprefix('stun://')}/udp" for relay in relays[:1]}
    further = [s for session in plan.sessions for s in confirmations(session, targets)]
    return tuple(sorted(hosts.union(*map(_hosts, further))))


def _hosts(session: Session) -> list[str]:
    match session:
        case FetchSession():
            return [origin(session.target.url), origin(session.control.url)]
        case CallSession():
            web = [f"{session.host}:{session.web_port}"] if session.shape == WEBRTC else []
            return web + [f"{session.host}:{port}/udp" for port in session.ports]
        case RelaySession():
            return [f"{relay}/udp" for pair in session.pairs for relay in pair]
        case ReachSession():
            return [*session.addresses, session.control]
