"""Changes of many networks become events, and late data say what they moved."""

from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from rows import DAY_S, START_S, crowd, rolled

from analysis.areas import judge_areas
from analysis.errors import DataError
from analysis.events import find_events, revisions
from analysis.known import load, match, of_service

ONSET_DAY = 20


def network(asn, onset=ONSET_DAY, lines=8, days=40, country="RU"):
    return [
        crowd(
            0.03 if day >= onset else 1.0,
            probe=f"{asn}-{line}",
            asn=asn,
            country=country,
            start_s=START_S + day * DAY_S + line * 7200,
        )
        for line in range(lines)
        for day in range(days)
    ]


def events_of(rows):
    roll = rolled(rows)
    return find_events(roll, judge_areas(roll)).events


def test_onsets_of_one_day_are_one_event_with_its_networks():
    [event] = events_of(network(1) + network(2) + network(3))
    assert (event.what, event.before_data) == ("onset", False)
    assert [place.asn for place in event.places] == [1, 2, 3]
    assert event.at == datetime(2021, 1, 1, tzinfo=UTC) + timedelta(days=ONSET_DAY)


def test_onsets_days_apart_are_events_of_their_own():
    found = events_of(network(1) + network(2, onset=30))
    assert [[place.asn for place in event.places] for event in found] == [[1], [2]]


def test_an_event_that_was_there_from_the_start_says_so():
    [event] = events_of(network(1, onset=0) + network(2, onset=99, country="KZ"))
    assert event.before_data


def test_late_data_move_an_event_and_it_is_said():
    rows = network(1)
    cut = START_S + ONSET_DAY * DAY_S
    early = [row for row in rows if not cut <= row.start_s < cut + 2 * DAY_S]
    old, new = events_of(early), events_of(rows)
    [revision] = revisions(old, new)
    assert str(revision) == (
        "onset of twitter in RU AS1, told earlier for 2021-01-23 00:00 UTC, "
        "is now placed at 2021-01-21 00:00 UTC"
    )


def test_an_event_that_late_data_undo_is_said_to_be_gone():
    [revision] = revisions(events_of(network(1)), [])
    assert "is no longer seen" in str(revision)


def test_events_that_stand_are_not_mentioned():
    found = events_of(network(1))
    assert revisions(found, found) == []


def test_the_known_events_are_sorted_and_each_has_its_source():
    known = load()
    assert [event.when for event in known] == sorted(event.when for event in known)
    assert all(event.source and event.scope and len(event.country) == 2 for event in known)


def test_the_slowing_of_twitter_and_its_end_are_known():
    start, end = datetime(2021, 3, 1, tzinfo=UTC), datetime(2021, 6, 1, tzinfo=UTC)
    found = of_service(load(), "twitter", start, end)
    assert [(event.what, str(event.date)) for event in found] == [
        ("onset", "2021-03-10"),
        ("lift", "2021-05-17"),
    ]


def test_a_found_event_is_matched_with_a_known_one_of_the_same_kind_and_place():
    [event] = events_of(network(1))
    near = msgspec.structs.replace(event, at=datetime(2021, 3, 11, tzinfo=UTC))
    assert match(near, load()).label == "Twitter slowed"
    assert match(msgspec.structs.replace(near, what="lift"), load()) is None
    assert match(event, load()) is None


def test_a_mistake_in_the_file_is_told_with_its_place(tmp_path):
    path = tmp_path / "events.toml"
    path.write_text('version = 1\n[[events]]\ndate = 2021-01-01\nwhat = "began"\n')
    with pytest.raises(DataError, match="Invalid enum value 'began'"):
        load(path)
