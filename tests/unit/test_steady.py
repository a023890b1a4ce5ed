"""What a call asks of the scheduler and the garbage collector, and gives back."""

import gc

import pytest

from probe.call.steady import set_slice, steady


def test_old_objects_are_left_alone_while_a_call_runs_and_no_longer():
    with steady():
        assert gc.get_freeze_count() > 10_000
    assert gc.get_freeze_count() == 0


def test_turns_are_short_while_a_call_runs_and_as_before_afterwards():
    usual_ns = set_slice(3_000_000)
    if usual_ns is None:
        pytest.skip("this kernel lets nobody choose")
    try:
        with steady():
            during_ns = set_slice(100_000)
        after_ns = set_slice(3_000_000)
    finally:
        set_slice(usual_ns)
    if usual_ns == during_ns == 0:
        pytest.skip("this kernel takes the wish and gives nothing")
    assert (during_ns, after_ns) == (100_000, 3_000_000)
