"""The far end's side of a call, without sockets or clocks: a datagram in, at most one out.

Open to the internet, so it assumes the worst. Nobody gets a media reply who has not shown, by
handing back a cookie, that he receives at the address he sends from. Before that nothing is kept
and a reply is shorter than its request; after that a flow is never sent more bytes in all than it
has sent. Flows, clients and packets are counted and bounded; what is malformed, forged, repeated
or too long gets silence.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from typing import Final

import msgspec

from probe.call import wire
from probe.call.seal import IV_BYTES, OVERHEAD_BYTES, Draft, Sealed, seal, unseal
from probe.call.shapes import SHAPES, Address
from probe.call.talk import RandomBytes
from probe.call.wire import DOWN, Opening
from probe.farend.cookies import Cookies
from probe.farend.flows import FlowTable
from probe.farend.limits import Bucket, Buckets

_NS: Final = 1_000_000_000
_MAX_TURNAROUND_NS: Final = (1 << 32) - 1


class ReflectorLimits(msgspec.Struct, frozen=True, kw_only=True):
    """What a reflector does at most.

    Attributes:
        flows: open at once.
        flows_per_client: of them, by one client (an IPv4 address, an IPv6 /64).
        client_packets_per_s: sustained, per client.
        total_packets_per_s: sustained, everyone.
        idle_s: a flow not heard of for so long is forgotten.
    """

    flows: int = 4096
    flows_per_client: int = 32
    client_packets_per_s: float = 1000.0
    total_packets_per_s: float = 20_000.0
    idle_s: float = 90.0


class Reflector:
    """Answers datagrams. One for all sockets of a far end."""

    def __init__(
        self,
        *,
        cookies: Cookies,
        random_bytes: RandomBytes,
        monotonic_ns: Callable[[], int],
        unix_s: Callable[[], float],
        limits: ReflectorLimits = ReflectorLimits(),  # noqa: B008 - a frozen value
    ) -> None:
        """Start with no flows.

        Args:
            cookies: what proves an address.
            random_bytes: ``os.urandom``, or a seeded one in a test.
            monotonic_ns: read as late as possible before a reply goes out.
            unix_s: for the shapes whose answers carry the time of day.
            limits: what to do at most.
        """
        self._cookies = cookies
        self._random = random_bytes
        self._now_ns = monotonic_ns
        self._unix_s = unix_s
        now_ns = monotonic_ns()
        self._flows = FlowTable(limits.flows, limits.flows_per_client, int(limits.idle_s * _NS))
        self._total = Bucket(limits.total_packets_per_s, limits.total_packets_per_s, now_ns)
        self._clients = Buckets(limits.client_packets_per_s, limits.flows)
        self._overflowed_ns: int | None = None

    def handle(self, datagram: bytes, address: Address, received_ns: int) -> list[bytes]:
        """Answer one datagram.

        Args:
            datagram: what came; nothing about it is trusted.
            address: whom it says it came from.
            received_ns: when, on the monotonic clock.

        Returns:
            What to send back to ``address``: nothing or one datagram.
        """
        if not self._total.take(received_ns):
            self.overflowed(received_ns)
            return []
        sealed = unseal(datagram)
        reply: bytes | None = None
        if sealed is not None:
            match sealed.kind:
                case wire.MEDIA:
                    reply = self._media(sealed, address, received_ns)
                case wire.HELLO:
                    reply = self._hello(sealed, address, received_ns)
                case wire.OPEN:
                    reply = self._open(sealed, address, received_ns)
                case wire.EXCHANGE:
                    reply = self._exchange(sealed, address, received_ns)
                case wire.REPORT:
                    reply = self._report(sealed, address, received_ns)
        if reply is None:
            reply = self._shape_answer(datagram, address, received_ns)
        return [] if reply is None else [reply]

    def overflowed(self, now_ns: int) -> None:
        """Note that packets were dropped here: no flow open now can tell its losses by itself."""
        self._overflowed_ns = now_ns

    def is_over(self) -> bool:
        """Tell whether there was a call and every one has had its report."""
        return self._flows.all_reported()

    def _hello(self, sealed: Sealed, address: Address, now_ns: int) -> bytes | None:
        if len(sealed.datagram) != wire.HELLO_BYTES or not sealed.authentic(b""):
            return None
        body = self._cookies.make(address, now_ns).ljust(
            wire.COOKIE_MESSAGE_BYTES - OVERHEAD_BYTES, b"\0"
        )
        return wire.message(wire.COOKIE | DOWN, body, sealed.word, iv=self._random(IV_BYTES))

    def _open(self, sealed: Sealed, address: Address, now_ns: int) -> bytes | None:
        if not sealed.authentic(b""):
            return None
        opening = wire.unpack_opening(sealed)
        if opening is None or not self._cookies.hold(opening.cookie, address, now_ns):
            return None
        status = wire.BUSY
        if self._clients.take(client_of(address), now_ns):
            status = self._admit(sealed.word, opening, address, now_ns)
        body = bytes(wire.ACCEPT_BYTES - OVERHEAD_BYTES)
        iv = self._random(IV_BYTES)
        return wire.message(wire.ACCEPT | DOWN, body, status, key=opening.key, iv=iv)

    def _admit(self, number: int, opening: Opening, address: Address, now_ns: int) -> int:
        flow = self._flows.open(number, opening, client_of(address), address, now_ns)
        if flow is None:
            return wire.BUSY
        flow.credit_bytes = max(flow.credit_bytes, wire.OPEN_BYTES - wire.ACCEPT_BYTES)
        return wire.ACCEPTED

    def _media(self, sealed: Sealed, address: Address, received_ns: int) -> bytes | None:
        flow = self._flows.get(sealed.word)
        if flow is None or sealed.seq >= flow.packets or not sealed.authentic(flow.key):
            return None
        if not self._clients.take(flow.client, received_ns):
            self.overflowed(received_ns)
            return None
        flow.heard_ns = received_ns
        head_bytes = flow.shape.head_bytes
        size = len(sealed.datagram) - head_bytes - OVERHEAD_BYTES
        # A packet from another address has arrived, and is counted; but nobody proved that
        # address, so nothing is sent there.
        first = flow.arrived(sealed.seq)
        if not first or address != flow.address or size < wire.MEDIA_BODY_BYTES - OVERHEAD_BYTES:
            return None
        head = flow.shape.head(flow.lane, sealed.seq)
        since_ns = received_ns - flow.opened_ns
        rest = wire.pack_media_rest(flow.count, flow.highest, flow.bitmap, max(since_ns, 0), size)
        draft = Draft(head, rest, self._random(IV_BYTES))
        turnaround_ns = min(max(self._now_ns() - received_ns, 0), _MAX_TURNAROUND_NS)
        return draft.finish(wire.MEDIA | DOWN, turnaround_ns, sealed.seq, key=flow.key)

    def _exchange(self, sealed: Sealed, address: Address, now_ns: int) -> bytes | None:
        flow = self._flows.get(sealed.word)
        if flow is None or address != flow.address or not sealed.authentic(flow.key):
            return None
        exchanges = SHAPES[flow.like].exchanges(flow.packets * flow.lane.interval_s)
        if sealed.seq >= len(exchanges) or not self._clients.take(flow.client, now_ns):
            return None
        size = exchanges[sealed.seq].reply_bytes
        if not flow.spend(len(sealed.datagram), size):
            return None
        fill = bytes(size - OVERHEAD_BYTES)
        iv = self._random(IV_BYTES)
        return seal(b"", fill, wire.EXCHANGE | DOWN, 0, sealed.seq, key=flow.key, iv=iv)

    def _shape_answer(self, datagram: bytes, address: Address, now_ns: int) -> bytes | None:
        flow = self._flows.at(address)
        if flow is None or not self._clients.take(flow.client, now_ns):
            return None
        reply = flow.shape.answer(flow.lane, datagram, address, self._unix_s())
        if reply is None or not flow.spend(len(datagram), len(reply)):
            return None
        return reply

    def _report(self, sealed: Sealed, address: Address, now_ns: int) -> bytes | None:
        flow = self._flows.get(sealed.word)
        asked = wire.unpack_report_request(sealed)
        if flow is None or asked is None or not sealed.authentic(flow.key):
            return None
        cookie, first = asked
        if not self._cookies.hold(cookie, address, now_ns) or not self._clients.take(
            client_of(address), now_ns
        ):
            return None
        flow.reported, flow.heard_ns = True, now_ns
        overflowed = self._overflowed_ns is not None and self._overflowed_ns >= flow.opened_ns
        body = wire.pack_report(
            flow.count, flow.bitmap, flow.duplicates, first, overflowed=overflowed
        )
        iv = self._random(IV_BYTES)
        return wire.message(wire.REPORT | DOWN, body, key=flow.key, iv=iv)


def client_of(address: Address) -> str:
    """Name the client behind an address: one IPv4 address, or the /64 an IPv6 host commands."""
    ip = ipaddress.ip_address(address[0].partition("%")[0])
    if ip.version == 4:  # noqa: PLR2004 - the IP version number itself
        return str(ip)
    return str(ipaddress.ip_network((ip, 64), strict=False))
