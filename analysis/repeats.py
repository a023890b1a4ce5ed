"""The same failure again and again: evidence that a target is blocked.

Each pair whose control worked multiplies the evidence by the likelihood ratio of "the target
fails 95 times in 100" to "it fails by itself 5 times in 100". Three of three exceed the bound of
the sequential test (``analysis.sequential.ALPHA``), two do not; a success takes one failure back.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from typing import Final

from analysis.finding import Mechanism
from probe import failure as f

#: How often a target may fail by itself while its control works, and how often when blocked.
#: Five in a hundred is cautious: endpoints are checked before they are listed.
_BY_ITSELF: Final = 0.05
_BLOCKED: Final = 0.95
MIN_FAILURES: Final = 3

_MECHANISMS: Final[dict[str, Mechanism]] = {
    f.REFUSED: "reset",
    f.RESET: "reset",
    f.ABORTED: "reset",
    f.ALREADY_CLOSED: "reset",
    f.EOF: "reset",
    f.NETWORK_RESET: "reset",
    f.TIMEOUT: "dropped",
    f.HTTP_REDIRECT: "blockpage",
    f.HTTP_REDIRECT_HOST: "blockpage",
}
#: Failures that tell of this machine, of a route, or of a server that changed: never of a block.
NOT_BLOCKING: Final = f.LOCAL | {
    f.HOST_UNREACHABLE,
    f.INTERRUPTED,
    f.HTTP_STATUS,
    f.HTTP_FAILED,
    f.DNS_TEMPORARY,
}


def log_evidence(failures: int, successes: int) -> float:
    """Weigh failures against successes of a target whose control worked.

    Args:
        failures: pairs in which the target failed.
        successes: pairs in which it did not.

    Returns:
        Natural log of the likelihood ratio for "blocked".
    """
    failed = math.log(_BLOCKED / _BY_ITSELF)
    passed = math.log((1.0 - _BLOCKED) / (1.0 - _BY_ITSELF))
    return failures * failed + successes * passed


def may_be_blocking(failure: str | None) -> bool:
    """Say whether a failure can be someone's doing.

    Args:
        failure: of a trial.

    Returns:
        Whether it counts as evidence; failures of this machine and unknown ones do not.
    """
    return failure is not None and failure not in NOT_BLOCKING and not failure.startswith(f.UNKNOWN)


def mechanism(failures: Sequence[str]) -> Mechanism:
    """Name how a target is blocked.

    Args:
        failures: of the pairs that count, at least one.

    Returns:
        The mechanism of more than half of them, ``unclassified`` if none has that many.
    """
    named, count = Counter(map(_mechanism, failures)).most_common(1)[0]
    return named if 2 * count > len(failures) else "unclassified"


def _mechanism(failure: str) -> Mechanism:
    if failure.startswith("dns_"):
        return "dns"
    if failure.startswith("ssl_"):
        return "tls"
    return _MECHANISMS.get(failure, "unclassified")
