"""Opens a TUN device: a network interface whose packets a program reads and writes."""

from __future__ import annotations

import fcntl
import os
import struct

from probe.lab.netns.commands import TUN_DEVICE, LabError, run

# linux/if_tun.h: _IOW('T', 202, int); IP packets without link header; no packet information.
_TUNSETIFF = 0x400454CA
_IFF_TUN, _IFF_NO_PI = 0x0001, 0x1000


def open_tun(device: str, queue_packets: int) -> int:
    """Make a TUN device in this process's namespace and bring it up.

    Args:
        device: its name.
        queue_packets: packets the kernel keeps until they are read.

    Returns:
        A non-blocking descriptor: a read gives one whole IP packet, a write sends one.

    Raises:
        LabError: the device could not be made.
    """
    fd = os.open(TUN_DEVICE, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        fcntl.ioctl(fd, _TUNSETIFF, struct.pack("16sH22x", device.encode(), _IFF_TUN | _IFF_NO_PI))
        run(["ip", "link", "set", device, "up", "txqueuelen", str(queue_packets)])
    except OSError as error:
        os.close(fd)
        raise LabError(
            f"{TUN_DEVICE} refused to make {device} ({error.strerror}): "
            "add the capability NET_ADMIN"
        ) from error
    except LabError:
        os.close(fd)
        raise
    return fd
