"""A wire with a length, for kernels without netem: frames leave it a fixed time after they came in.

Run as ``python long_wire.py LEFT RIGHT DELAY_S``: makes the two ends as TAP devices of these names,
says so in one line, and carries frames between them until it is terminated.
"""

import fcntl
import os
import select
import struct
import sys
import time
from collections import deque

# linux/if_tun.h
TUNSETIFF, IFF_TAP, IFF_NO_PI = 0x400454CA, 0x0002, 0x1000
FRAME_BYTES = 1600


def open_end(name: str) -> int:
    """Make a TAP device and return what its frames are read from and written to."""
    end = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(end, TUNSETIFF, struct.pack("16sH22x", name.encode(), IFF_TAP | IFF_NO_PI))
    return end


def carry(left: int, right: int, delay_s: float) -> None:
    """Carry frames both ways, each ``delay_s`` late, in order and without loss."""
    other = {left: right, right: left}
    # One delay for all: what came first is due first.
    flying: deque[tuple[float, int, bytes]] = deque()
    while True:
        wait_s = max(0.0, flying[0][0] - time.monotonic()) if flying else None
        for end in select.select([left, right], [], [], wait_s)[0]:
            frame = os.read(end, FRAME_BYTES)
            flying.append((time.monotonic() + delay_s, other[end], frame))
        while flying and flying[0][0] <= time.monotonic():
            _, end, frame = flying.popleft()
            try:
                os.write(end, frame)
            except OSError:
                continue  # that end is down, as the end of a cut wire is


if __name__ == "__main__":
    ends = [open_end(name) for name in sys.argv[1:3]]
    sys.stdout.write("laid\n")
    sys.stdout.flush()
    carry(*ends, delay_s=float(sys.argv[3]))
