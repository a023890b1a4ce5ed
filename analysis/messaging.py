"""The predicate "calls are broken, messages are fine", over a session of calls. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from probe.measurement import Measurement


def messages_work(trials: Sequence[Measurement]) -> bool | None:
    """Say whether the service's other sides answered while the calls were under way.

    Args:
        trials: of one session of calls.

    Returns:
        True when each check made during a call was answered, False when none was; None when
        some were, or none was made.
    """
    checks = [check for trial in trials if trial.call for check in trial.call.messaging]
    answered = {check.failure is None for check in checks}
    return answered.pop() if len(answered) == 1 else None
