"""Ctrl-C and a container's stop, understood alike."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable


def on_signals(act: Callable[[], object]) -> None:
    """Act on an interrupt or a request to end.

    Args:
        act: called by the running loop.
    """
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, act)


def cancel_on_signals() -> None:
    """Let a signal end the current task in good order."""
    task = asyncio.current_task()
    assert task is not None
    on_signals(task.cancel)
