"""Keeps this process on time while a call runs.

Two things make an idle process late for a packet by more than the timer's own error: processors
that are busy with others, and Python looking for cyclic garbage. From Linux 6.12 on any process
may ask for shorter turns (slices) than the others', and is then let in as soon as it wakes; its
share of the processor stays the same. The collector is told to leave alone what is there already,
which with the whole probe loaded takes it 35 ms to look through: more than a packet's interval.

Where the kernel knows or grants no such thing, the call runs as it would without: how late each
packet was is in its trace.

Sources: sched_setattr(2); Linux Documentation/scheduler/sched-eevdf.rst.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import platform
import struct
import sys
from collections.abc import Iterator
from typing import Final

#: The shortest the kernel gives.
_SLICE_NS: Final = 100_000
#: sched_setattr and sched_getattr, which libc only knows from glibc 2.41 on.
_SYSCALLS: Final = {"x86_64": (314, 315), "aarch64": (274, 275), "riscv64": (274, 275)}
#: size, policy, flags, nice, priority, runtime, deadline, period.
_SCHED_ATTR: Final = struct.Struct("=IIQiIQQQ")
_SCHED_OTHER: Final = 0


@contextlib.contextmanager
def steady() -> Iterator[None]:
    """Let this thread be woken promptly and not be held up by old objects, until the block ends."""
    before_ns = set_slice(_SLICE_NS)
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()
        if before_ns is not None:
            set_slice(before_ns)


def set_slice(slice_ns: int) -> int | None:
    """Ask the scheduler for turns of this length for this thread.

    Args:
        slice_ns: 100 us to 100 ms; 0 for what the system gives everybody.

    Returns:
        What it was before; ``None`` where the kernel did not take it.
    """
    if platform.machine() not in _SYSCALLS or sys.maxsize < 2**32:
        return None
    set_number, get_number = _SYSCALLS[platform.machine()]
    syscall = ctypes.CDLL(None).syscall
    attributes = ctypes.create_string_buffer(_SCHED_ATTR.size)
    if syscall(get_number, 0, attributes, _SCHED_ATTR.size, 0) != 0:
        return None
    size, policy, *others, before_ns, deadline, period = _SCHED_ATTR.unpack(attributes.raw)
    if policy != _SCHED_OTHER:
        return None  # somebody has chosen for us already
    wanted = _SCHED_ATTR.pack(size, policy, *others, slice_ns, deadline, period)
    return before_ns if syscall(set_number, 0, wanted, 0) == 0 else None
