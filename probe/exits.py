"""Exit statuses, and errors a person can mend."""

from __future__ import annotations

from enum import IntEnum


class Status(IntEnum):
    """What a command's exit status means; the same for ``probe`` and ``analysis``."""

    DONE = 0
    FAILED = 1
    USAGE = 2
    LINE_DOWN = 3
    PARTIAL = 4
    FINDING = 5
    INTERRUPTED = 130


class CommandError(Exception):
    """Ends a command with one sentence: what was found, what was expected, what to do.

    Args:
        sentence: the text for standard error.
        status: the exit status.
    """

    def __init__(self, sentence: str, status: Status = Status.FAILED) -> None:
        super().__init__(sentence)
        self.status = status


class UsageError(CommandError):
    """What was asked for makes no sense, or a file or setting has a mistake.

    Args:
        sentence: the text for standard error.
    """

    def __init__(self, sentence: str) -> None:
        super().__init__(sentence, Status.USAGE)
