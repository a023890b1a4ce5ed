"""What makes a connection freeze, by requests of ours pushed past the point where transfers stop.

Some boxes count bytes, some packets, in one direction or in both (net4people/bbs#490; dpi-ch).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Literal

from probe import failure
from probe.measurement import FetchTest, Measurement

#: ``packets``, ``bytes`` whichever way they go, bytes that the server ``sends``, or ``unclear``.
Counted = Literal["packets", "bytes", "sends", "unclear"]

_CLAUSES: Final[dict[Counted | None, str]] = {
    "packets": "; so does one request of ours in many small packets: packets are counted",
    "bytes": "; so do long requests of ours, not many small ones: bytes are counted, both ways",
    "sends": "; requests of ours pass, however long: only what the server sends is counted",
    "unclear": "",
    None: "",
}


def read(trials: Sequence[Measurement]) -> Counted | None:
    """Tell what is counted.

    Args:
        trials: of one session, freeze tests among them.

    Returns:
        What it is, by tests that agree; ``unclear`` where they do not or the control's stop too;
        ``None`` if there were none.
    """
    tests = [t for t in trials if t.fetch is not None and t.fetch.test.startswith("freeze")]
    if not tests:
        return None
    if any(t.failure is not None for t in tests if t.arm == "control"):
        return "unclear"
    packets, lengths = _stops(tests, "freeze_packets"), _stops(tests, "freeze_bytes")
    if packets is True:
        return "packets"
    if packets is None or lengths is None:
        return "unclear"
    return "bytes" if lengths else "sends"


def clause(counted: Counted | None) -> str:
    """Put it in words, to follow a clause on transfers that stop.

    Args:
        counted: what :func:`read` said.

    Returns:
        The words with their semicolon; empty where there is nothing to say.
    """
    return _CLAUSES[counted]


def _stops(tests: Sequence[Measurement], name: FetchTest) -> bool | None:
    """Whether the target's tests of one name fall silent; ``None`` where they do not all agree.

    A server that hangs up, because it wants no long headers, say, has not fallen silent.
    """
    own = [t for t in tests if t.arm == "target" and t.fetch and t.fetch.test == name]
    if own and all(t.failure == failure.TIMEOUT for t in own):
        return True
    return False if own and all(t.failure is None for t in own) else None
