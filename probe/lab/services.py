"""What stands in the lab's world: servers, their names and addresses; the same for both engines.

What a probe is told to measure there is in ``configs/lab-targets.toml``. All addresses are of the
ranges kept for documentation (RFC 5737), grouped as the real hosts are: controls, web services and
messengers each in a network of their own.
"""

from __future__ import annotations

from typing import Final

#: Name to address of every HTTPS server; each serves the object under the same path.
WEB: Final = {
    "raw.githubusercontent.com": "192.0.2.11",
    "upload.wikimedia.org": "192.0.2.21",
    "yastatic.net": "192.0.2.201",
    "abs.twimg.com": "198.51.100.11",
    "twitter.com": "198.51.100.12",
    "t.co": "198.51.100.13",
    "rr1---sn-4g5ednsd.googlevideo.com": "198.51.100.31",
    "static.licdn.com": "198.51.100.51",
    "connect.facebook.net": "198.51.100.71",
    "telegram.org": "203.0.113.11",
    "web.whatsapp.com": "203.0.113.101",
}
#: Addresses that answer TCP on port 443 without a name (messenger data centres).
REACHED: Final = ("203.0.113.51",)
#: STUN servers: name or address to (address, port).
RELAYS: Final = {
    "stun.voipgate.com": ("192.0.2.42", 3478),
    "203.0.113.35": ("203.0.113.35", 1400),
}
FAR_END_NAME: Final = "far-end.lab.example"
FAR_END_ADDRESS: Final = "192.0.2.77"
FAR_END_CALL_PORTS: Final = (3478, 1400, 599)
#: The resolver that the home asks where a preset tampers with DNS.
RESOLVER_ADDRESS: Final = "192.0.2.53"
OBJECT_PATH: Final = "/object.bin"
OBJECT_BYTES: Final = 480_000

#: Where a probe inside the lab sits. AS 64496 is kept for documentation (RFC 5398).
VANTAGE: Final = {"PROBE_COUNTRY": "ZZ", "PROBE_ASN": "64496", "PROBE_ALLOW_BOGONS": "1"}


def names() -> dict[str, str]:
    """List every name that resolves inside the lab, with its address."""
    relays = {name: address for name, (address, _) in RELAYS.items() if name != address}
    return WEB | relays | {FAR_END_NAME: FAR_END_ADDRESS}


def addresses() -> tuple[str, ...]:
    """List every address a server of the world listens at, each once, in order of first use."""
    relays = tuple(address for address, _ in RELAYS.values())
    every = (*WEB.values(), *REACHED, *relays, FAR_END_ADDRESS, RESOLVER_ADDRESS)
    return tuple(dict.fromkeys(every))
