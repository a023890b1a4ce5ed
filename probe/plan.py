"""Which sessions a run holds, in what order, and against which controls. Pure."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from typing import Final
from urllib.parse import urlsplit

import msgspec
from msgspec.structs import replace

from probe.call.order import WEBRTC, WEBRTC_PROFILE
from probe.confirm import confirmations
from probe.endpoints import parse_relay, parse_url
from probe.measurement import Subject
from probe.session_kinds import (
    CallSession,
    FetchArm,
    FetchSession,
    ReachSession,
    RelaySession,
    Session,
)
from probe.targets import CallTarget, Control, FarEnd, FetchTarget, Service, Targets

#: Bytes of an upload: ten times what a policer's bucket let through (Xue et al., IMC 2021).
UPLOAD_BYTES: Final = 200_000
#: A connect has been tried three times by then (SYNs at 0, 1 and 3 s).
BRIEF_LIMIT_S: Final = 3.5
#: A relay session with a single pair could conclude nothing.
_LEAST_RELAY_PAIRS: Final = 2
#: Fetches come first: one that crawls then does so beside the calls.
_ORDER: Final[tuple[Subject, ...]] = ("fetch", "upload", "reach", "call")


class Plan(msgspec.Struct, frozen=True):
    """One run: its sessions in order; a brief one moves next to nothing, beside the others."""

    sessions: tuple[Session, ...]

    @property
    def bytes(self) -> int:
        """What it moves on a clean line."""
        return sum(s.pair_bytes * s.usual_pairs for s in self.sessions if not s.brief)

    @property
    def seconds(self) -> float:
        """How long it takes on a clean line."""
        return sum(s.pair_s * s.usual_pairs for s in self.sessions if not s.brief)

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
        The sessions, kind by kind, services in random order within a kind.
    """
    names = [name for name in targets.services if not only or name in only]
    rng.shuffle(names)
    wanted = (
        session
        for name in names
        for session in _sessions(targets, name, targets.services[name])
        if session.subject in kinds
    )
    return Plan(tuple(sorted(wanted, key=lambda session: _ORDER.index(session.subject))))


def brief_plan(plan: Plan, targets: Targets) -> Plan:
    """Cut a plan down for a line on which neutral hosts abroad do not answer.

    Args:
        plan: the whole one.
        targets: says which controls are domestic.

    Returns:
        The same sessions; those whose control is abroad take one short look.
    """
    domestic = {
        str(parse_url(control.url)) if control.url else f"{parse_relay(control.relay or '')}/udp"
        for control in targets.controls.values()
        if control.scope == "domestic"
    }

    def fitted(session: Session) -> Session:
        if not domestic.isdisjoint(session.hosts):
            return session
        if isinstance(session, FetchSession | ReachSession):
            return replace(session, brief=True, limit_s=BRIEF_LIMIT_S)
        return replace(session, brief=True)

    return Plan(tuple(map(fitted, plan.sessions)))


def all_hosts(plan: Plan, targets: Targets) -> tuple[str, ...]:
    """List every host a run may contact: also for line checks, vantage and confirmations.

    Args:
        plan: the sessions.
        targets: the controls and the far end.

    Returns:
        ``host:port``, with ``/udp`` where it is that, sorted.
    """
    further = (s for session in plan.sessions for s in confirmations(session, targets))
    hosts = {host for session in (*plan.sessions, *further) for host in session.hosts}
    hosts |= {str(parse_url(control.url or "")) for control in targets.neutral_hosts}
    relays = [control.relay for control in targets.controls.values() if control.relay]
    return tuple(sorted(hosts | {f"{parse_relay(relay)}/udp" for relay in relays[:1]}))


def _sessions(targets: Targets, name: str, service: Service) -> Iterator[Session]:
    controls = [targets.controls[c] for c in service.controls]
    fetchable = next((c for c in controls if c.url), None)
    if fetchable and fetchable.url:
        for fetch in service.fetch:
            yield from _fetch_sessions(name, fetch, fetchable)
        if service.reach:
            addresses = tuple(reach.address for reach in service.reach)
            yield ReachSession(name, addresses, str(parse_url(fetchable.url)))
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
    url = far_end.page("sink")
    return FetchSession(
        name,
        "B",
        FetchArm(url, "http/1.1", sni=trigger),
        FetchArm(url, "http/1.1", sni=urlsplit(neutral_url).hostname),
        limit_bytes=UPLOAD_BYTES,
        direction="up",
    )


def _call_sessions(
    targets: Targets, name: str, call: CallTarget, messaging: tuple[str, ...]
) -> Iterator[Session]:
    if targets.far_end:
        far_end = urlsplit(targets.far_end.url)
        for shape in call.shapes:
            session = CallSession(
                name,
                far_end.hostname or "",
                targets.far_end.calls,
                # A real stack has a cadence of its own.
                WEBRTC_PROFILE if shape == WEBRTC else call.profile,
                shape,
                messaging,
                web_port=far_end.port or 443,
            )
            yield session
            for turn in targets.far_end.turn if shape == WEBRTC else ():
                yield msgspec.structs.replace(session, turn=turn)
    neutral = [targets.controls[c].relay or "" for c in targets.relay_controls(name)]
    pairs = tuple(
        (str(parse_relay(relay)), str(parse_relay(control)))
        for relay, control in zip(call.relays, neutral, strict=False)
    )
    if len(pairs) >= _LEAST_RELAY_PAIRS:
        yield RelaySession(name, pairs)
