"""How far a trial has come: written by every part of a fetch, read once at its end."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final, Literal

import msgspec

from probe import failure
from probe.fetch.body import Body, scrub
from probe.fetch.errors import FetchError
from probe.fetch.order import FetchOrder, origin
from probe.fetch.redirect import recorded
from probe.fetch.timeline import TimelineBuilder
from probe.measurement import Connect, DnsAnswer, Fetch, RttSample, TcpInfo, Timeline

#: What an answer may hold beside its body: above any honest header block plus what may wait in
#: buffers, so that endless headers, interim answers, chunk extensions or frames end soon.
MAX_OVERHEAD_BYTES: Final = 1 << 20


class Progress:
    """The facts of one trial so far; attributes are those of :class:`~probe.measurement.Fetch`.

    ``whole`` says that the answer came to its end, ``handed_bytes`` how much of an
    upload the transport has been given, ``sent_bytes`` how much the peer has acknowledged,
    ``location`` where a redirect points, as the server sent it.

    Args:
        order: what the trial was asked to do.
        direction: which way is measured; that of the method when ``None``.
        followed: a redirect led here: what it wrote into names and query stays out of the record.
        clock: monotonic time in seconds.
    """

    def __init__(
        self,
        order: FetchOrder,
        *,
        direction: Literal["down", "up"] | None = None,
        followed: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.order = order
        self.direction = direction or ("up" if order.method == "POST" else "down")
        self.followed = followed
        self.origin = origin(order.url)
        self.body = Body()
        self.dns: list[DnsAnswer] = []
        self.connects: list[Connect] = []
        self.address: str | None = None
        self.port: int | None = None
        self.http: str | None = None
        self.sni: str | None = None
        self.dns_s: float | None = None
        self.connect_s: float | None = None
        self.tls_s: float | None = None
        self.request_t_s: float | None = None
        self.first_byte_t_s: float | None = None
        self.ended_t_s: float | None = None
        self.status: int | None = None
        self.location: str | None = None
        self.expected_bytes: int | None = None
        self.handed_bytes = 0
        self.sent_bytes = 0
        self.whole = False
        self.censored: Literal["time", "bytes", "judge"] | None = None
        self.timeline: TimelineBuilder | None = None
        self.handshake = TimelineBuilder("tcp_info")
        self.tcp_info: list[TcpInfo] = []
        self.idle_rtt_s: float | None = None
        self.loaded_rtt: list[RttSample] = []
        self.tls_version: str | None = None
        self.tls_cipher: str | None = None
        self._received = 0
        self._clock = clock
        self._begun = clock()

    def now(self) -> float:
        """Return the seconds since the trial began."""
        return self._clock() - self._begun

    @property
    def secured(self) -> bool:
        """Whether there is nothing left to be negotiated before the request."""
        return self.tls_s is not None or self.origin.scheme == "http"

    @property
    def payload_bytes(self) -> int:
        """Body bytes that went the measured way."""
        return self.sent_bytes if self.direction == "up" else self.body.count

    def received(self, count: int) -> None:
        """Note bytes that came above TLS, whatever they are.

        Args:
            count: how many.

        Raises:
            FetchError: most of what has come is no body.
        """
        self._received += count
        if self._received - 2 * self.body.count > MAX_OVERHEAD_BYTES:
            raise FetchError(failure.HTTP_FAILED)

    def sent(self) -> None:
        """Note that the request has been handed to the kernel."""
        if self.request_t_s is None:
            self.request_t_s = self.now()

    def answered(self) -> None:
        """Note the first byte of the answer."""
        if self.first_byte_t_s is None:
            self.first_byte_t_s = self.now()

    def _shown(self, answer: DnsAnswer) -> DnsAnswer:
        if not self.followed:
            return answer
        return msgspec.structs.replace(answer, name=scrub(answer.name))

    def record(self) -> Fetch:
        """Return the trial as it is recorded."""
        order = self.order
        ttfb_s = None
        if self.first_byte_t_s is not None and self.request_t_s is not None:
            ttfb_s = self.first_byte_t_s - self.request_t_s
        return Fetch(
            url=recorded(order.url) if self.followed else order.url,
            method=order.method,
            direction=self.direction,
            address=self.address,
            port=self.port,
            http=self.http,
            sni=scrub(self.sni) if self.followed and self.sni else self.sni,
            certificate_checked=order.check_certificate,
            dns=tuple(self._shown(answer) for answer in self.dns),
            connects=tuple(self.connects),
            dns_s=self.dns_s,
            connect_s=self.connect_s,
            tls_s=self.tls_s,
            request_t_s=self.request_t_s,
            ttfb_s=ttfb_s,
            duration_s=self.now() if self.ended_t_s is None else self.ended_t_s,
            status=self.status,
            location=None if self.location is None else recorded(self.location),
            body_bytes=self.payload_bytes,
            expected_bytes=order.upload_bytes if order.method == "POST" else self.expected_bytes,
            limit_bytes=order.limit_bytes,
            limit_s=order.limit_s,
            censored=self.censored,
            handshake=self.handshake.build(),
            timeline=self.timeline.build() if self.timeline else Timeline(),
            tcp_info=tuple(self.tcp_info),
            idle_rtt_s=self.idle_rtt_s,
            loaded_rtt=tuple(self.loaded_rtt),
            tls_version=self.tls_version,
            tls_cipher=self.tls_cipher,
            body_sha256=self.body.sha256(),
            body_head=self.body.head(),
        )
