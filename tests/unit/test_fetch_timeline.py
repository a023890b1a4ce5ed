"""The byte timeline: staircase and thinning."""

from hypothesis import given
from hypothesis import strategies as st

from probe.fetch.timeline import MAX_POINTS, TimelineBuilder, thin

steps = st.lists(
    st.tuples(st.floats(0, 5, allow_nan=False), st.integers(0, 100_000)), min_size=1, max_size=2000
)


def cumulative(pairs):
    t, count, points = 0.0, 0, []
    for gap, more in pairs:
        t, count = t + gap, count + more
        points.append((t, count))
    return points


@given(steps, st.integers(2, 600))
def test_thinning_keeps_first_and_last_and_only_points_that_were_there(pairs, limit):
    points = cumulative(pairs)
    t, counts = thin([p[0] for p in points], [p[1] for p in points], limit)
    kept = list(zip(t, counts, strict=True))
    assert kept[0] == points[0]
    assert kept[-1] == points[-1]
    assert len(kept) <= limit
    assert set(kept) <= set(points)
    assert kept == sorted(kept)


def test_a_short_timeline_is_kept_whole():
    assert thin([0.0, 1.0, 2.0], [0, 5, 9]) == ([0.0, 1.0, 2.0], [0, 5, 9])


def test_a_burst_in_a_long_crawl_keeps_its_steps():
    crawl = [(i * 0.01, i) for i in range(3000)]
    burst = [(30 + i * 0.0001, 3000 + i * 1000) for i in range(1, 1000)]
    t, _ = thin([p[0] for p in crawl + burst], [p[1] for p in crawl + burst])
    in_burst = [x for x in t if x >= 30]
    assert 200 < len(in_burst) < 300
    assert 200 < len(t) - len(in_burst) < 300


def test_only_both_ends_of_a_stall_are_kept():
    builder = TimelineBuilder("tcp_info")
    for t, count in [(0, 0), (1, 10), (2, 10), (3, 10), (4, 10), (5, 30)]:
        builder.add(float(t), count)
    timeline = builder.build()
    assert timeline.t_s == (0.0, 1.0, 4.0, 5.0)
    assert timeline.bytes == (0, 10, 10, 30)


def test_a_count_that_falls_is_held():
    builder = TimelineBuilder("body")
    for t, count in [(0, 5), (1, 3), (2, 8)]:
        builder.add(float(t), count)
    assert builder.build().bytes == (5, 5, 8)


def test_an_hour_of_polls_stays_bounded():
    builder = TimelineBuilder("tcp_info")
    for i in range(50_000):
        builder.add(i * 0.025, i * 100)
    timeline = builder.build()
    assert len(timeline.t_s) <= MAX_POINTS
    assert (timeline.t_s[0], timeline.bytes[-1]) == (0.0, 4_999_900)
