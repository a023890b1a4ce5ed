"""Politeness and budget: every limit the probe keeps, in this one place.

Servers: at most two connections at once and a second between visits, per address; a relay at most
once an hour. Volunteers: so many bytes a run and a day. What must outlast a run (the day's bytes,
when each relay was last asked) is kept in ``limits.json`` beside the results; it names servers
and sums only, nothing of the volunteer.
"""

from __future__ import annotations

import asyncio
import fcntl
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import msgspec

from probe.store import StoreError

#: One visit is a trial: its connection, and a second small one that times round trips beside it.
#: Visits to one address never overlap, so two connections are the most an address ever sees.
CONNECTIONS_PER_ADDRESS: Final = 2
SPACING_S: Final = 1.0
RELAY_INTERVAL_S: Final = 3600.0
#: A relay flow lasts this long at this cadence: 16.7 packets a second, under the limit of 17.
RELAY_FLOW_S: Final = 20.0
RELAY_PROFILE: Final = "voip-60"
RUN_BYTES: Final = 50_000_000
DAY_BYTES: Final = 4 * RUN_BYTES


class _Ledger(msgspec.Struct):
    """What outlasts a run."""

    day: str = ""
    day_bytes: int = 0
    relays: dict[str, float] = {}


@contextmanager
def only_run(data: Path) -> Iterator[None]:
    """Be the only run with this data folder: limits that two runs count apart hold for neither.

    Args:
        data: the data folder; made if missing.

    Yields:
        Once no other run is under way.

    Raises:
        StoreError: another one is, or the folder cannot be written.
    """
    try:
        data.mkdir(parents=True, exist_ok=True)
        lock = (data / "limits.lock").open("ab")
    except OSError as error:
        raise StoreError(
            f"found that {data} cannot be written ({error.strerror}), expected a folder for "
            "the results: name another one with --data"
        ) from error
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise StoreError(
                f"found another run under way in {data}, expected one at a time: wait for it to "
                "end, or name another folder with --data"
            ) from error
        yield


class Visits:
    """Keeps trials at one address apart.

    Args:
        monotonic: seconds that never step.
        sleep: waits that many seconds.
    """

    def __init__(
        self,
        monotonic: Callable[[], float],
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._monotonic = monotonic
        self._sleep = sleep
        self._locks: dict[str, asyncio.Lock] = {}
        self._left_at: dict[str, float] = {}

    @asynccontextmanager
    async def visit(self, addresses: Iterable[str]) -> AsyncIterator[None]:
        """Be the only trial at these addresses, a second after the one before.

        Args:
            addresses: every address the trial may connect to.

        Yields:
            Once all of them are free.
        """
        wanted = sorted(set(addresses))
        async with AsyncExitStack() as held:
            for address in wanted:  # in one order everywhere, so that no two visits can deadlock
                await held.enter_async_context(self._locks.setdefault(address, asyncio.Lock()))
            left_at = max((self._left_at.get(a, -SPACING_S) for a in wanted), default=-SPACING_S)
            if (wait_s := left_at + SPACING_S - self._monotonic()) > 0:
                await self._sleep(wait_s)
            try:
                yield
            finally:
                self._left_at.update(dict.fromkeys(wanted, self._monotonic()))


class Limits(Visits):
    """Keeps every limit of one run: its visits, its bytes, and how often it asks a relay.

    Args:
        ledger: file that outlasts the run.
        run_bytes: what this run may move, both directions together.
        monotonic: seconds that never step, for spacing.
        wall: seconds since 1970, for the hour and the day.
        sleep: waits that many seconds.

    Attributes:
        used_bytes: what it has moved.
    """

    def __init__(
        self,
        ledger: Path,
        run_bytes: int,
        monotonic: Callable[[], float],
        wall: Callable[[], float],
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        super().__init__(monotonic, sleep)
        self._path = ledger
        self._ledger = _load(ledger)
        self._run_bytes = run_bytes
        self._wall = wall
        self.used_bytes = 0

    def claim_relay(self, relay: str) -> bool:
        """Ask to run one flow to a relay now; a claim counts even if the flow then fails.

        Args:
            relay: ``host:port``.

        Returns:
            Whether an hour has passed since the last claim, by any run with this ledger.
        """
        now = self._wall()
        last = self._ledger.relays.get(relay)
        if last is not None and 0 <= now - last < RELAY_INTERVAL_S:
            return False
        recent = {k: t for k, t in self._ledger.relays.items() if 0 <= now - t < RELAY_INTERVAL_S}
        self._ledger.relays = {**recent, relay: now}
        self._save()
        return True

    @property
    def left_bytes(self) -> int:
        """What the run's and the day's budget both leave."""
        self._turn_day()
        return min(self._run_bytes - self.used_bytes, DAY_BYTES - self._ledger.day_bytes)

    def allows(self, size_bytes: int) -> bool:
        """Say whether this many more bytes fit the run's and the day's budget.

        Args:
            size_bytes: what the next step may move.

        Returns:
            True if they fit both.
        """
        return size_bytes <= self.left_bytes

    def spend(self, size_bytes: int) -> None:
        """Count bytes that were moved.

        Args:
            size_bytes: both directions together.

        Raises:
            StoreError: the ledger cannot be written.
        """
        self._turn_day()
        self.used_bytes += size_bytes
        self._ledger.day_bytes += size_bytes
        self._save()

    def _turn_day(self) -> None:
        today = datetime.fromtimestamp(self._wall(), UTC).date().isoformat()
        if self._ledger.day != today:
            self._ledger.day, self._ledger.day_bytes = today, 0

    def _save(self) -> None:
        fresh = self._path.with_suffix(".tmp")
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            fresh.write_bytes(msgspec.json.encode(self._ledger))
            fresh.replace(self._path)
        except OSError as error:
            raise StoreError(
                f"found that {self._path} cannot be written ({error.strerror}), expected room for "
                "the day's count of bytes: free some disk space, or name another --data"
            ) from error


def _load(path: Path) -> _Ledger:
    """Read the ledger; one that is missing or torn starts anew, which only forgets politeness."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=_Ledger)
    except (FileNotFoundError, msgspec.DecodeError):
        return _Ledger()
