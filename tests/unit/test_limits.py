"""The probe is polite to servers and keeps the volunteer's budget."""

import asyncio
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from probe.limits import DAY_BYTES, RELAY_INTERVAL_S, SPACING_S, Limits, only_run
from probe.store import StoreError

MIDDAY_S = datetime(2026, 11, 21, 12, tzinfo=UTC).timestamp()


class Clock:
    """Time that passes only when someone sleeps."""

    def __init__(self) -> None:
        self.now = 100.0
        self.wall = MIDDAY_S

    async def sleep(self, seconds: float) -> None:
        self.now += seconds
        await asyncio.sleep(0)


def limits(path: Path, clock: Clock, run_bytes: int = 1_000_000) -> Limits:
    return Limits(
        path / "limits.json", run_bytes, lambda: clock.now, lambda: clock.wall, clock.sleep
    )


async def test_visits_to_one_address_are_a_second_apart(tmp_path: Path) -> None:
    clock = Clock()
    kept = limits(tmp_path, clock)
    async with kept.visit(["192.0.2.1"]):
        clock.now += 0.25
    left_at = clock.now
    async with kept.visit(["192.0.2.1"]):
        assert clock.now == left_at + SPACING_S


async def test_visits_to_different_addresses_do_not_wait(tmp_path: Path) -> None:
    clock = Clock()
    kept = limits(tmp_path, clock)
    async with kept.visit(["192.0.2.1"]):
        pass
    before = clock.now
    async with kept.visit(["192.0.2.2"]):
        assert clock.now == before


@settings(max_examples=40)
@given(st.lists(st.sets(st.sampled_from("abc"), min_size=1), min_size=2, max_size=8))
def test_no_two_visits_ever_share_an_address(tmp_path_factory, wanted: list[set[str]]) -> None:
    clock = Clock()
    kept = limits(tmp_path_factory.mktemp("limits"), clock)
    present: list[str] = []

    async def visit(addresses: set[str]) -> None:
        async with kept.visit(addresses):
            assert not set(present) & addresses
            present.extend(addresses)
            await asyncio.sleep(0)
            for address in addresses:
                present.remove(address)

    async def everyone() -> None:
        async with asyncio.timeout(5):
            await asyncio.gather(*(visit(addresses) for addresses in wanted))

    asyncio.run(everyone())


def test_a_relay_is_asked_once_an_hour_also_by_the_next_run(tmp_path: Path) -> None:
    clock = Clock()
    assert limits(tmp_path, clock).claim_relay("relay.example:3478")
    clock.wall += RELAY_INTERVAL_S - 1
    assert not limits(tmp_path, clock).claim_relay("relay.example:3478")
    assert limits(tmp_path, clock).claim_relay("other.example:3478")
    clock.wall += 1
    assert limits(tmp_path, clock).claim_relay("relay.example:3478")


def test_a_clock_that_was_set_back_does_not_silence_a_relay_for_ever(tmp_path: Path) -> None:
    clock = Clock()
    kept = limits(tmp_path, clock)
    assert kept.claim_relay("relay.example:3478")
    clock.wall -= 86_400
    assert kept.claim_relay("relay.example:3478")


def test_the_run_ends_at_its_budget(tmp_path: Path) -> None:
    kept = limits(tmp_path, Clock(), run_bytes=1000)
    assert kept.allows(1000)
    kept.spend(600)
    assert not kept.allows(401)
    assert kept.allows(400)
    assert kept.used_bytes == 600


def test_the_day_has_a_budget_over_all_runs(tmp_path: Path) -> None:
    clock = Clock()
    limits(tmp_path, clock, run_bytes=2 * DAY_BYTES).spend(DAY_BYTES - 10)
    later = limits(tmp_path, clock, run_bytes=2 * DAY_BYTES)
    assert later.allows(10)
    assert not later.allows(11)
    clock.wall += 86_400
    assert later.allows(DAY_BYTES)


def test_a_torn_ledger_starts_anew(tmp_path: Path) -> None:
    (tmp_path / "limits.json").write_text('{"day": "2026')
    assert limits(tmp_path, Clock()).claim_relay("relay.example:3478")


def test_a_second_run_in_the_same_folder_is_refused_with_a_sentence(tmp_path: Path) -> None:
    with only_run(tmp_path), pytest.raises(StoreError, match="one at a time"), only_run(tmp_path):
        pass
    with only_run(tmp_path):
        pass
