"""What follows a fetch session that found something: better controls, grades A and B. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final
from urllib.parse import urlsplit

from msgspec.structs import replace

from probe.measurement import Measurement
from probe.services import FarEnd
from probe.session_kinds import FetchArm, FetchSession, Session
from probe.targets import Targets

#: Bytes of a transfer that only confirms: enough to show a 128 kbit/s policer beyond its burst,
#: few enough not to keep the volunteer waiting. A faster one moves what it moved in this time when
#: it was found slow, since in a few round trips slow start alone decides how fast it is.
CONFIRM_BYTES: Final = 100_000
_CONFIRM_S: Final = 6.0
#: Time for twice as much as these at 128 kbit/s; where nothing comes, waiting longer tells nothing.
CONFIRM_LIMIT_S: Final = 15.0


def confirmations(
    session: Session, targets: Targets, trials: Sequence[Measurement] = ()
) -> tuple[FetchSession, ...]:
    """Plan what tells a name from a server, once a fetch session has found something.

    Args:
        session: the session that found it.
        targets: names the far end and the trigger names.
        trials: what the session recorded.

    Returns:
        Grade A: the service's own address, asked under the service's name and under the neutral
        host's. Grade B, where there is a far end: the far end, asked under a name known to
        trigger and under the neutral host's; then a recording that carries that name, played with
        the far end, and its bit-inverted copy. Best first; one that finds the same is enough.
    """
    if not isinstance(session, FetchSession) or session.control_kind != "C":
        return ()
    neutral = urlsplit(session.control.url).hostname
    enough = max(CONFIRM_BYTES, int(_pace_bps(trials) / 8.0 * _CONFIRM_S))
    smaller = replace(
        session, limit_bytes=min(session.limit_bytes, enough), limit_s=CONFIRM_LIMIT_S
    )
    same_server = replace(smaller, control_kind="A", control=replace(session.target, sni=neutral))
    triggers = targets.services[session.service].trigger_names
    if targets.far_end is None or not triggers:
        return (same_server,)
    return same_server, *_at_far_end(smaller, targets.far_end, triggers[0], neutral)


def _pace_bps(trials: Sequence[Measurement]) -> float:
    """Goodput of the fastest target, bit/s."""
    targets = (t.fetch for t in trials if t.arm == "target" and t.fetch is not None)
    return max((8.0 * f.body_bytes / f.duration_s for f in targets if f.duration_s), default=0.0)


def _at_far_end(
    session: FetchSession, far_end: FarEnd, trigger: str, neutral: str | None
) -> tuple[FetchSession, ...]:
    """Plan the name, then the recording (Kakhki et al., IMC 2015; Xue et al., IMC 2021)."""
    pages = FetchArm(far_end.page(f"bytes/{session.limit_bytes}"), "http/1.1", sni=trigger)
    player = f"http://{urlsplit(far_end.url).hostname}:{far_end.replay}/"
    played = FetchArm(player, "http/1.1", sni=trigger, play="replay")
    there = replace(session, control_kind="B")
    return (
        replace(there, target=pages, control=replace(pages, sni=neutral)),
        replace(there, target=played, control=replace(played, play="inverted")),
    )
