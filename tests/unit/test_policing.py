"""Marks of a policer in one transfer, and mechanisms from several."""

import numpy as np
import pytest
from builders import SIZE, fetch, lossy_arrivals, policed

from analysis.fetches import figures
from analysis.mechanism import Load, Transfers, classify, stop_point
from analysis.onset import Onset, onset
from analysis.policing import is_flat, marks, marks_of_sum
from analysis.rate import series
from probe.measurement import TcpInfo


def transfers(trials, controls=None, loads=()):
    return Transfers(
        targets=[figures(t) for t in trials],
        marks=[marks(t.fetch) for t in trials],
        controls=[figures(c) for c in controls or [fetch("control", n) for n in range(3)]],
        loads=loads,
    )


def windows_of_one_size(packets=6, repeats=60):
    """A window that always breaks at the same size, with uneven pauses between."""
    rng = np.random.default_rng(8)
    times, counts, now, seen = [], [], 0.0, 0
    for turn in range(repeats):
        now += 0.05 + 0.2 * rng.random() * (1 + turn // 15)
        seen += packets * 1448
        times.append(now)
        counts.append(min(seen, SIZE))
    return np.array(times), np.array(counts)


def test_an_even_rate_with_drops_and_no_queue_is_a_policer():
    found = marks(policed().fetch)
    assert found.even
    assert found.policed


def test_a_window_that_breaks_at_one_size_is_a_policer():
    found = marks(fetch(arrivals=windows_of_one_size(), out_of_order=0.2).fetch)
    assert found.same_size
    assert not found.even
    assert found.policed


def test_losses_in_bunches_are_a_policer():
    # One segment at a time, but for two overruns, each mended in one go after a long silence.
    steps = np.full(240, 1448)
    steps[[80, 160]] = 40 * 1448
    pauses = np.full(240, 0.005)
    pauses[[80, 160]] = 4.0
    times, counts = np.cumsum(pauses), np.cumsum(steps)
    found = marks(fetch(arrivals=(times, counts), out_of_order=0.3).fetch)
    assert found.bunched
    assert found.policed


def samples(*counts):
    """TCP_INFO as (second, segments, of these out of order)."""
    return tuple(TcpInfo(t_s=t, data_segs_in=n, rcv_ooopack=late) for t, n, late in counts)


def uneven(infos):
    """A rate with ups and downs and no pattern, and what the kernel said of it."""
    return fetch(arrivals=lossy_arrivals(1e6, 3), fetch_fields={"tcp_info": infos}).fetch


def test_a_bucketful_that_passes_before_the_first_loss_is_a_policer():
    # A loss in 20 segments (0.27 out of order) spares 400 segments once in e^20 transfers.
    found = marks(uneven(samples((0.1, 0, 0), (1.5, 401, 1), (9.0, 1000, 162))))
    assert found.spared
    assert found.policed
    assert not marks(uneven(samples((0.1, 0, 0), (0.2, 41, 1), (9.0, 1000, 260)))).spared


def test_drops_are_counted_from_the_first_on():
    infos = samples((0.1, 0, 0), (1.5, 401, 1), (9.0, 1000, 162))
    assert onset(uneven(infos)) == Onset(1.5, 400, 162 / 600)


@pytest.mark.parametrize(
    "infos",
    [
        samples(),
        samples((0.1, 0, 0), (9.0, 1000, 0)),
        samples((9.0, 1000, 162)),
        (TcpInfo(t_s=0.1), TcpInfo(t_s=9.0, data_segs_in=1000)),
    ],
    ids=["no samples", "nothing lost", "no sample before", "kernel too old"],
)
def test_without_a_sample_on_both_sides_of_the_first_loss_its_place_is_unknown(infos):
    assert onset(uneven(infos)) is None
    assert not marks(uneven(infos)).spared


@pytest.mark.parametrize("seed", range(5))
def test_random_loss_is_not_a_policer(seed):
    lossy = fetch(arrivals=lossy_arrivals(1e6, seed, size=2_000_000), size=2_000_000)
    found = marks(lossy.fetch)
    assert not found.policed


def test_drops_in_a_queue_are_not_a_policer():
    assert not marks(policed(rtt_ratio=2.0).fetch).policed


def test_an_even_rate_without_drops_is_not_a_policer():
    assert not marks(policed(out_of_order=0.0).fetch).policed


def test_a_transfer_of_a_few_packets_bears_no_marks():
    assert not marks(fetch(size=4000, out_of_order=0.3).fetch).policed


def test_flows_that_share_a_policer_are_even_only_together():
    whole = series(policed(rate_bps=130e3, cut_s=None).fetch)
    steps = np.diff(whole.wire_bytes, prepend=0.0)
    first = np.random.default_rng(4).random(len(steps)) < np.linspace(0.9, 0.1, len(steps))
    flows = [
        fetch(number=n, arrivals=(whole.t_s[m], np.cumsum(steps[m])), out_of_order=0.2).fetch
        for n, m in enumerate((first, ~first))
    ]
    assert not any(marks(flow).policed for flow in flows)
    assert marks_of_sum(whole, flows).policed
    assert not marks_of_sum(whole, [policed(rtt_ratio=3.0).fetch]).policed
    assert not marks_of_sum(whole, []).policed


def test_round_trips_that_were_not_measured_are_not_called_flat():
    assert is_flat(fetch(fetch_fields={"loaded_rtt": ()}).fetch) is None


def test_parallel_connections_tell_a_shared_limiter_from_random_loss():
    lossy = [
        fetch(number=n, arrivals=lossy_arrivals(bps, n), out_of_order=0.17)
        for n, bps in enumerate((0.8e6, 1e6, 1.4e6))
    ]
    asked = classify(transfers(lossy))
    assert (asked.mechanism, asked.want) == ("random_loss", "parallel")
    apart = (Load(1, 1e6), Load(2, 2.1e6), Load(4, 3.9e6))
    settled = classify(transfers(lossy, loads=apart))
    assert (settled.mechanism, settled.want) == ("random_loss", None)


def test_a_rate_that_grows_with_connections_is_not_one_policers():
    trials = [policed(number=n) for n in range(3)]
    apart = (Load(1, 130e3), Load(2, 260e3))
    shared = (Load(1, 130e3), Load(2, 128e3))
    assert classify(transfers(trials, loads=shared)).mechanism == "policed"
    assert classify(transfers(trials, loads=apart)).mechanism == "unclassified"


def test_one_rate_for_each_of_several_connections_is_a_policer_of_connections():
    lossy = [
        fetch(number=n, arrivals=lossy_arrivals(bps, n), out_of_order=0.17)
        for n, bps in enumerate((1e6, 1.03e6, 1.01e6))
    ]
    late = figures(lossy[0]).late_goodput_bps
    alike = (Load(1, 1e6), Load(2, 2e6, (late, 1.01 * late)))
    apart = (Load(1, 1e6), Load(2, 2e6, (0.7 * late, 1.4 * late)))
    assert classify(transfers(lossy, loads=alike)).mechanism == "policed"
    assert classify(transfers(lossy, loads=apart)).mechanism == "random_loss"


def test_a_queue_that_the_control_meets_too_is_not_blamed_on_a_shaper():
    trials = [fetch(number=n, bps=1e6, rtt_ratio=6.0) for n in range(3)]
    controls = [fetch("control", n, rtt_ratio=4.0) for n in range(3)]
    found = classify(transfers(trials, controls))
    assert found.mechanism == "unclassified"
    assert "control too" in found.because


def test_what_fits_no_rule_is_unclassified_and_asks_for_more():
    trials = [fetch(number=n, bps=bps) for n, bps in enumerate((0.4e6, 1e6, 2e6))]
    found = classify(transfers(trials))
    assert (found.mechanism, found.want) == ("unclassified", "parallel")


def test_stops_at_different_places_are_no_stop_point():
    stops = []
    for number, size in enumerate((20_000, 90_000, 200_000)):
        arrivals = (np.array([0.1, 0.2]), np.array([1448, size]))
        stops.append(figures(fetch(number=number, arrivals=arrivals, cut_s=20.0)))
    assert stop_point(stops) is None
