"""Finds the vantage of a live run: the one place where the probe's own address is ever asked for.

One STUN Binding to a neutral relay, and only where nothing nearer tells. The answer goes into the
look-up and nowhere else.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import socket
from typing import Final
from urllib.parse import urlsplit

from probe.asn_table import read_table
from probe.call import stun
from probe.endpoints import parse_relay
from probe.limits import Limits
from probe.measurement import Vantage
from probe.network import Network
from probe.resources import asn_table
from probe.targets import Targets
from probe.trial import addresses_of, servers_of
from probe.vantage import locate, read_settings

_WAIT_S: Final = 2.0
_MAX_BYTES: Final = 1500
#: A request of 20 bytes and an answer of some 40, with their headers.
QUERY_BYTES: Final = 120


async def find_vantage(targets: Targets, network: Network, limits: Limits) -> Vantage:
    """Say where this probe sits.

    Args:
        targets: names the neutral relays.
        network: how their names are resolved.
        limits: of the run; the question is a visit like others, and its bytes count.

    Returns:
        The vantage, as far as the user's settings, this machine or a relay could tell.

    Raises:
        SettingError: a ``PROBE_*`` setting makes no sense.
        TableError: the table of networks cannot be read.
    """
    return await locate(
        read_table(asn_table()),
        read_settings(os.environ),
        ask=lambda: ask_outside(targets, network, limits),
    )


async def ask_outside(targets: Targets, network: Network, limits: Limits) -> str | None:
    """Ask the first neutral relay which address it sees, as politely as for any trial.

    Args:
        targets: names the relays.
        network: how their names are resolved.
        limits: of the run.

    Returns:
        This line's public address; None where nobody could be asked, or answered.
    """
    relay = next((control.relay for control in targets.controls.values() if control.relay), None)
    if relay is None or not limits.allows(QUERY_BYTES):
        return None
    endpoint = str(parse_relay(relay))
    async with limits.visit(addresses_of(await servers_of(network, endpoint), endpoint)):
        limits.spend(QUERY_BYTES)
        return await ask_relay(relay, network)


async def ask_relay(relay: str, network: Network) -> str | None:
    """Ask a STUN server which address it sees.

    Args:
        relay: ``stun://host:port``.
        network: how its name is resolved.

    Returns:
        This line's public address; None when no answer came in two seconds.
    """
    parts = urlsplit(relay)
    addresses, _ = await network.resolve(parts.hostname or "", parts.port or 0)
    if not addresses:
        return None
    loop = asyncio.get_running_loop()
    family = socket.AF_INET6 if ":" in addresses[0][0] else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as sock:
        sock.setblocking(False)  # noqa: FBT003 - the socket module's own signature
        transaction = secrets.token_bytes(12)
        try:
            sock.connect(addresses[0])
            async with asyncio.timeout(_WAIT_S):
                await loop.sock_sendall(sock, stun.binding_request(transaction))
                while True:
                    answer = stun.decode(await loop.sock_recv(sock, _MAX_BYTES))
                    if answer.transaction == transaction:
                        return stun.mapped_address(answer)[0]
        except (OSError, stun.StunError):
            return None  # a silent or odd relay leaves the vantage unknown; it is no failure
