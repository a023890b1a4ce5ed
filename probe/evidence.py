"""Keeps each fetch trial's packets beside its record, where a person asked for it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from probe.fetch.capture import Capture
from probe.measurement import Fetch, Measurement
from probe.network import Address
from probe.store import StoreError

SUFFIX: Final = ".pcap"


class Evidence:
    """Packets of trials, cleaned of the probe's address before they reach the disk.

    Args:
        folder: where to keep them, made with the first; ``None`` to keep nothing.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self._folder = folder

    @asynccontextmanager
    async def watch(self) -> AsyncIterator[Capture | None]:
        """See packets while the block runs.

        Yields:
            What sees them; ``None`` where nothing is kept.

        Raises:
            CaptureError: the machine does not let packets be seen.
        """
        if self._folder is None:
            yield None
            return
        async with Capture() as capture:
            yield capture

    def keep(self, capture: Capture | None, record: Measurement) -> None:
        """Write the packets of one trial beside its record.

        Args:
            capture: what saw them.
            record: of the trial; names the server and the file.

        Raises:
            StoreError: the disk would not take them.
        """
        server = _server(record.fetch) if record.fetch is not None else None
        if self._folder is None or capture is None or server is None:
            return
        path = self._folder / (record.id + SUFFIX)
        try:
            self._folder.mkdir(exist_ok=True)
            capture.write(path, server)
        except OSError as error:
            raise StoreError(
                f"found that {path} cannot be written ({error.strerror}), expected room for a "
                "trial's packets: free some disk space, or leave --pcap out"
            ) from error


def _server(fetch: Fetch) -> Address | None:
    """Return the server that answered, or the first that was tried."""
    if fetch.address is not None and fetch.port is not None:
        return fetch.address, fetch.port
    return next(((tried.address, tried.port) for tried in fetch.connects), None)
