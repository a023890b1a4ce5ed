"""What can go wrong in the analysis, each with the exit status it stands for."""

from __future__ import annotations

from typing import ClassVar


class AnalysisError(Exception):
    """The work failed; the text says what was found, what was expected and what to do."""

    exit_status: ClassVar[int] = 1


class DataError(AnalysisError):
    """What the caller named is not data this program reads."""

    exit_status: ClassVar[int] = 2
