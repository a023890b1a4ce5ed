"""Lays the wires: three namespaces, two veth pairs, and routes that lead through the middlebox.

    home --eth0====home0-- isp [tun-up, tun-down] --world0====eth0-- world

The isp is a router. What comes from the home is routed into ``tun-up``, what the middlebox writes
into ``tun-down`` is routed on to the world, and the other way round. So there is one router hop
before the middlebox and one behind it, and a probe that counts hops finds it between the two.
"""

from __future__ import annotations

from collections.abc import Iterable

from probe.lab.netns.commands import ip_batch, run
from probe.lab.netns.registry import namespace
from probe.lab.world import HOME

_HOME_GATEWAY = "198.18.0.1"
WORLD_ADDRESS = "198.18.0.6"
_WORLD_GATEWAY = "198.18.0.5"
TUN_UP, TUN_DOWN = "tun-up", "tun-down"
_TUN_UP_ADDRESS, _TUN_DOWN_ADDRESS = "198.18.0.9", "198.18.0.13"
#: Packets the kernel keeps for a middlebox that is late, per direction.
TUN_QUEUE_PACKETS = 5000
_TABLE_UP, _TABLE_DOWN = 100, 101

#: Nothing of the machine's own settings may decide what a measurement in the lab shows.
_SYSCTLS = {
    "net.ipv6.conf.all.disable_ipv6": 1,
    "net.ipv6.conf.default.disable_ipv6": 1,
    # One transfer must not teach the next one its congestion window: real servers are many.
    "net.ipv4.tcp_no_metrics_save": 1,
    "net.ipv4.tcp_rmem": "4096 131072 6291456",
    "net.ipv4.tcp_wmem": "4096 16384 4194304",
}
_ROUTER_SYSCTLS = {
    "net.ipv4.ip_forward": 1,
    # Packets come back into the router on another device than the one they left by.
    "net.ipv4.conf.all.rp_filter": 0,
    "net.ipv4.conf.default.rp_filter": 0,
    # Each hop answers by an address of its own, as routers do, and answers every time.
    "net.ipv4.icmp_errors_use_inbound_ifaddr": 1,
    "net.ipv4.icmp_ratelimit": 0,
}


def lay(name: str, addresses: Iterable[str], congestion_control: str) -> None:
    """Make the namespaces of a lab, without the middlebox.

    Args:
        name: the lab's registered name.
        addresses: what the world's servers are reached at (dotted IPv4).
        congestion_control: what TCP runs at both ends, by the kernel's name.

    Raises:
        LabError: a tool failed; what was made until then stands and is the caller's to remove.
    """
    home, isp, world = (namespace(name, place) for place in ("home", "isp", "world"))
    for here in (home, isp, world):
        run(["ip", "netns", "add", here])
        settings = _SYSCTLS | (_ROUTER_SYSCTLS if here == isp else {})
        words = [f"{key}={value}" for key, value in settings.items()]
        run(["ip", "netns", "exec", here, "sysctl", "-q", "-w", *words])
    addresses = tuple(addresses)
    ip_batch(isp, _router(home, world, addresses))
    ip_batch(home, _host(HOME, _HOME_GATEWAY, congestion_control))
    ip_batch(world, _host(WORLD_ADDRESS, _WORLD_GATEWAY, congestion_control))
    ip_batch(world, (f"addr add {address}/32 dev lo" for address in addresses))


def lead_through_middlebox(name: str) -> None:
    """Route both directions through the middlebox's devices, which must exist and be up."""
    ip_batch(
        namespace(name, "isp"),
        (
            f"addr add {_TUN_UP_ADDRESS}/32 dev {TUN_UP}",
            f"addr add {_TUN_DOWN_ADDRESS}/32 dev {TUN_DOWN}",
            f"route add default dev {TUN_UP} table {_TABLE_UP}",
            f"route add default dev {TUN_DOWN} table {_TABLE_DOWN}",
        ),
    )


def inside(name: str, place: str, command: Iterable[str]) -> list[str]:
    """Put the words before a command that make it run inside one place of a lab."""
    return ["ip", "netns", "exec", namespace(name, place), *command]


def _router(home: str, world: str, addresses: Iterable[str]) -> list[str]:
    lines = ["link set lo up"]
    for device, far, gateway in (
        ("home0", home, _HOME_GATEWAY),
        ("world0", world, _WORLD_GATEWAY),
    ):
        lines += [
            f"link add {device} type veth peer name eth0 netns {far}",
            f"addr add {gateway}/30 dev {device}",
            f"link set {device} up gso_max_segs 1",
        ]
    lines += [f"rule add iif home0 lookup {_TABLE_UP}", f"rule add iif world0 lookup {_TABLE_DOWN}"]
    return lines + [f"route add {address}/32 via {WORLD_ADDRESS}" for address in addresses]


def _host(address: str, gateway: str, congestion_control: str) -> tuple[str, ...]:
    return (
        "link set lo up",
        f"addr add {address}/30 dev eth0",
        # One segment a packet: what crosses the wires is what a real line carries.
        "link set eth0 up gso_max_segs 1",
        # A route's congestion control is obeyed even where a namespace may not set its sysctl.
        f"route add default via {gateway} congctl {congestion_control}",
    )


def counters(name: str, place: str, device: str) -> str:
    """Show what the kernel counted on a device, as ``ip -s link`` prints it."""
    return run(["ip", "-n", namespace(name, place), "-s", "link", "show", device])
