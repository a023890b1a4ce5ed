"""Files offered to a dataset: found, hashed, and read only if their content is new."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

from analysis.dataset import Incoming
from analysis.importers import content_hash, files, pseudonym, reader


def offer(format_name: str, paths: list[Path]) -> Iterator[Incoming]:
    """Offer the files of a format under some paths.

    Args:
        format_name: a key of :data:`analysis.importers.FORMATS`.
        paths: files and folders.

    Yields:
        One offer a file. Its origin is a pseudonym of where it lies, so that a file read again
        after it has changed takes the place of its older self.

    Raises:
        DataError: a path does not exist, or a folder holds no such file.
    """
    read = reader(format_name)
    for path in files(format_name, paths):
        yield Incoming(
            content_hash(path.read_bytes()),
            pseudonym(str(path.resolve())),
            format_name,
            partial(read, path),
        )
