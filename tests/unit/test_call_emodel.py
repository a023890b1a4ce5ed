"""The E-model against the Recommendation's own result and computed vectors."""

import pytest

from analysis.emodel import CODECS, Line, call_rating, delay_impairment, mos, rate


def test_the_default_connection_rates_as_the_recommendation_says():
    found = rate(Line())
    assert found.r == pytest.approx(93.2062077233, abs=5e-11)
    assert mos(found.r) == pytest.approx(4.4094, abs=5e-5)


def test_the_terms_of_the_default_connection_are_right_one_by_one():
    found = rate(Line())
    terms = (
        found.no, found.ro, found.iolr, found.ist, found.iq, found.simultaneous, found.idle,
    )  # fmt: skip
    expected = (-61.1792, 94.7688, 0.4402, -0.0007, 0.9741, 1.4136, 0.1490)
    assert terms == pytest.approx(expected, abs=5e-5)


@pytest.mark.parametrize(
    ("r", "expected"),
    [
        (93.2, 4.409), (90, 4.339), (80, 4.024), (70, 3.597), (60, 3.100),
        (50, 2.575), (40, 2.064), (30, 1.609), (20, 1.252), (10, 1.035),
        (6, 1.0), (0, 1.0), (-20, 1.0), (100, 4.5), (120, 4.5),
    ],
)  # fmt: skip
def test_opinion_scores_follow_annex_b_and_never_leave_their_range(r, expected):
    assert mos(r) == pytest.approx(expected, abs=5e-4)


@pytest.mark.parametrize(
    ("one_way_ms", "echo", "echo_free", "idd"),
    [
        (0, 93.21, 93.21, 0), (50, 91.76, 93.21, 0), (100, 90.66, 93.21, 0),
        (150, 89.54, 93.04, 0.164), (177.3, 88.05, 92.03, 1.172), (200, 85.80, 90.16, 3.044),
        (250, 79.18, 84.29, 8.917), (300, 72.67, 78.45, 14.761), (400, 62.25, 69.14, 24.070),
        (500, 54.80, 62.57, 30.636), (800, 42.82, 52.37, 40.832),
    ],
)  # fmt: skip
def test_delay_costs_what_it_should(one_way_ms, echo, echo_free, idd):
    with_echo = rate(Line(t=one_way_ms, ta=one_way_ms, tr=2 * one_way_ms)).r
    without = call_rating(CODECS["g711-plc"], loss_percent=0, one_way_ms=one_way_ms)
    assert (with_echo, without) == pytest.approx((echo, echo_free), abs=5.1e-3)
    assert delay_impairment(one_way_ms) == pytest.approx(idd, abs=5e-4)


@pytest.mark.parametrize(
    ("codec", "percent", "r", "score"),
    [
        (codec, percent, r, score)
        for codec, rows in {
            "g711-plc": [(89.57, 4.328), (83.06, 4.134), (77.43, 3.923), (66.14, 3.411),
                         (51.08, 2.632), (41.48, 2.137)],
            "g711": [(75.28, 3.834), (54.17, 2.794), (42.13, 2.170), (26.77, 1.481),
                     (15.02, 1.124), (10.12, 1.037)],
            "g729a-vad": [(78.01, 3.946), (70.75, 3.632), (64.71, 3.340), (53.24, 2.746),
                          (39.13, 2.022), (30.78, 1.641)],
            "amr-12.2": [(80.02, 4.025), (67.44, 3.475), (58.21, 3.007), (43.21, 2.224),
                         (28.21, 1.537), (20.71, 1.273)],
        }.items()
        for percent, (r, score) in zip((1, 3, 5, 10, 20, 30), rows, strict=True)
    ],
)  # fmt: skip
def test_loss_costs_what_it_should(codec, percent, r, score):
    found = call_rating(CODECS[codec], loss_percent=percent)
    assert found == pytest.approx(r, abs=5.1e-3)
    assert mos(found) == pytest.approx(score, abs=5.1e-4)


@pytest.mark.parametrize(("ratio", "r"), [(1, 77.43), (2, 76.00), (4, 75.18), (8, 74.74)])
def test_bursts_cost_more(ratio, r):
    found = call_rating(CODECS["g711-plc"], loss_percent=5, burst_ratio=ratio)
    assert found == pytest.approx(r, abs=5.1e-3)


@pytest.mark.parametrize(
    ("percent", "r", "score"),
    [
        (0, 137.80, 4.408), (1, 114.82, 3.929), (3, 87.75, 3.063), (5, 72.32, 2.515),
        (10, 52.63, 1.852), (20, 37.55, 1.429), (30, 31.27, 1.286),
    ],
)  # fmt: skip
def test_full_band_follows_g_107_2(percent, r, score):
    found = call_rating(CODECS["fullband"], loss_percent=percent)
    assert found == pytest.approx(r, abs=5.1e-3)
    assert mos(found, "full") == pytest.approx(score, abs=5.1e-4)


def test_wide_band_starts_from_its_own_best():
    assert call_rating(CODECS["amr-wb-12.65"], loss_percent=0) == pytest.approx(116.0)
