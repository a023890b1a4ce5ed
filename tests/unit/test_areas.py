"""Counting slow pairs by network: what is flagged, what is not, and what has no say."""

import numpy as np
import pytest
from rows import DAY_S, START_S, as_table, crowd, judged, lines, rolled

from analysis.areas import MIN_PROBES, MIN_SESSIONS, judge_areas
from analysis.baseline import FLOOR_SHARE, control_share, nulls, unusual, usual
from analysis.detect import survey
from analysis.rollup import groups, sessions_table, weeks
from analysis.rows import SessionRow, table


def areas_of(rows):
    return {(area.service, area.country, area.asn): area for area in judge_areas(rolled(rows))}


def elsewhere(count=400, slow=8):
    """Another country's lines, of which a few are slow as anywhere."""
    return [
        crowd(0.1 if n < slow else 1.0, probe=f"far{n}", country="KZ", asn=100 + n % 10)
        for n in range(count)
    ]


def test_a_network_throttled_on_a_third_of_its_lines_is_flagged():
    rows = lines(8, 0.03) + lines(16, 1.0, country="RU", network=None)
    for number, row in enumerate(rows):
        rows[number] = type(row)(**{**_fields(row), "probe": f"p{number}"})
    area = areas_of(rows + elsewhere())["twitter", "RU", 64496]
    assert area.answer == "slowed"
    assert (area.vote_hits, area.votes) == (8, 24)


def _fields(row):
    return {name: getattr(row, name) for name in row.__struct_fields__}


def test_a_network_as_slow_as_chance_is_not_flagged():
    rows = lines(30, 1.0) + elsewhere()
    assert areas_of(rows)["twitter", "RU", 64496].answer == "clear"


def test_a_busy_line_has_no_more_say_than_a_quiet_one():
    busy = [crowd(0.03, n, probe="busy", start_s=START_S + 60 * n) for n in range(100)]
    area = areas_of(busy + lines(20, 1.0) + elsewhere())["twitter", "RU", 64496]
    assert (area.sessions, area.votes, area.vote_hits) == (120, 21, 1)
    assert area.answer != "slowed"


@pytest.mark.parametrize(
    ("count", "days", "enough"),
    [
        (MIN_PROBES, MIN_SESSIONS, True),
        (MIN_PROBES - 1, MIN_SESSIONS, False),
        (MIN_PROBES, 3, False),
    ],
)
def test_below_the_evidence_floor_a_cell_says_so(count, days, enough):
    area = areas_of(lines(count, 0.03, days) + elsewhere())["twitter", "RU", 64496]
    assert (area.answer != "too little") == enough
    assert ("the least that is judged" in area.why) == (not enough)


def test_a_country_has_no_say_in_its_own_null():
    null = nulls(rolled(lines(300, 0.03) + elsewhere()).votes)["twitter", "fetch", "RU"]
    assert null.share == pytest.approx(8 / 400)
    assert "other countries" in null.source


def test_a_country_with_an_event_is_no_measure_for_others():
    struck = [crowd(0.03, probe=f"z{n}", country="BY", asn=7) for n in range(300)]
    null = nulls(rolled(lines(30, 1.0) + elsewhere() + struck).votes)["twitter", "fetch", "RU"]
    assert null.share == pytest.approx(8 / 400)


def test_without_other_countries_pairs_of_controls_give_the_null():
    controls = [crowd(0.1 if n < 4 else 1.0, probe=f"c{n}", service="control") for n in range(200)]
    roll = rolled(lines(30, 1.0) + controls)
    assert control_share(roll.votes) == (2, 200)
    null = nulls(roll.votes)["twitter", "fetch", "RU"]
    assert null.share == pytest.approx(0.01 * (0.45 / 0.18) ** 1.6)


def test_the_null_is_never_below_its_floor():
    null = nulls(rolled(lines(30, 1.0) + elsewhere(slow=0)).votes)["twitter", "fetch", "RU"]
    assert null.share == FLOOR_SHARE


def far_target(*countries):
    """A target that is five times slower than its control in each of these countries."""
    return [
        crowd(0.2, probe=f"{country}{n}", country=country, asn=n % 10)
        for country in countries
        for n in range(100)
    ]


def test_a_target_that_is_slower_in_every_country_is_forgiven_that():
    rows = far_target("RU", "KZ", "DE", "FR")
    area = areas_of(rows)["twitter", "RU", 0]
    assert area.null.offset_bins < -16
    assert area.answer != "slowed"


def test_a_target_that_is_slower_in_one_country_is_not():
    rest = [
        crowd(1.0, probe=f"{country}{n}", country=country, asn=n % 10)
        for country in ("DE", "FR")
        for n in range(100)
    ]
    area = areas_of(far_target("RU") + elsewhere() + rest)["twitter", "RU", 0]
    assert (area.null.offset_bins, area.answer) == (0, "slowed")


def test_controls_are_tested_as_if_they_were_the_service():
    controls = [crowd(0.1, probe=f"c{n}", service="control") for n in range(30)]
    areas = areas_of(lines(30, 1.0) + controls + elsewhere())
    assert areas["control", "RU", 64496].null.share == areas["twitter", "RU", 64496].null.share


def test_what_a_judge_decided_counts_as_decided():
    rows = [
        judged("throttled" if n < 6 else "normal", n, probe=f"p{n}", start_s=START_S + n)
        for n in range(20)
    ]
    area = areas_of(rows)["twitter", "RU", 64496]
    assert (area.vote_hits, area.votes, area.judged) == (6, 20, 20)
    assert area.answer == "slowed"


def test_sessions_left_open_count_neither_way():
    rows = [judged("inconclusive", n, probe=f"p{n}") for n in range(20)]
    assert ("twitter", "RU", 64496) not in areas_of(rows)


def test_groups_of_an_empty_roll_up_are_none():
    assert groups({"service": np.array([], dtype=object)}, ("service",)) == {}


def test_a_probes_past_is_told_by_hour_of_the_week_and_shrunk_when_thin():
    monday = START_S + 3 * DAY_S  # 2021-01-04
    rows = [
        crowd(0.5 if hour == 20 else 1.0, day, start_s=monday + day * 7 * DAY_S + hour * 3600)
        for day in range(40)
        for hour in (8, 20)
    ]
    past = usual(weeks(sessions_table([], table(rows, SessionRow))))
    assert past.centre.shape == (168,)
    assert past.n[[8, 20]].tolist() == [40, 40]
    assert past.centre[20] == pytest.approx(-1 * 40 / 48, abs=0.2)
    assert past.centre[100] == pytest.approx(past.centre[0])


def test_sessions_far_below_the_lines_usual_are_counted_as_a_hint():
    rows = [crowd(1.0, n, start_s=START_S + n * 6 * 3600) for n in range(60)]
    rows += [crowd(0.1, 99, start_s=START_S + 6 * 3600), crowd(0.1, probe="new")]
    found = unusual(weeks(sessions_table([], table(rows, SessionRow))))
    assert found == {("twitter", "fetch"): (1, 61)}


def held(asn, hits, clean, rate_bps=110e3, **fields):
    """A network of lines, some held to one rate."""
    return [
        crowd(rate_bps / 5e6 if n < hits else 1.0, probe=f"{asn}-{n}", asn=asn, **fields)
        for n in range(hits + clean)
    ]


def surveyed(rows):
    found = survey(sessions_table([], as_table(rows)))
    return {area.asn: area for area in found.areas if area.country == "RU"}


def test_a_few_tests_near_the_known_rate_say_more_than_a_few_slow_ones():
    event = [row for asn in range(1, 9) for row in held(asn, 20, 5)]
    rows = event + held(50, 2, 10) + held(51, 2, 10, rate_bps=700e3) + elsewhere(slow=12)
    found = surveyed(rows)
    assert found[50].p_value < found[51].p_value
    assert (found[50].near_hits, found[51].near_hits) == (2, 0)


def test_another_limit_elsewhere_is_not_missed_for_the_common_one():
    event = [row for asn in range(1, 9) for row in held(asn, 20, 5)]
    found = surveyed(event + held(51, 12, 10, rate_bps=700e3) + elsewhere())
    assert found[51].answer == "slowed"


def test_without_a_common_rate_the_plain_test_stands():
    assert surveyed(lines(30, 1.0) + elsewhere())[64496].near_hits is None
