"""What runs beside a transfer: byte timeline, TCP_INFO samples, RTT under load."""

from __future__ import annotations

import asyncio
import contextlib
import random
import socket
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any, Final

from probe.fetch import tcp_info
from probe.fetch.progress import Progress
from probe.fetch.timeline import TimelineBuilder
from probe.measurement import RttSample, TcpInfo
from probe.network import Address

#: Called at every poll with the seconds and the bytes so far; True ends the transfer.
Watch = Callable[[float, int], bool]

#: Polling period, in seconds: fine while a burst may still run, coarser in a long crawl.
POLL_S: Final = (0.005, 0.025)
#: Memoryless sampling: mean, least and greatest gap in seconds. Truncated exponential, so that
#: samples see time averages (PASTA); figures of OONI's ``bytes_received_cumulative``.
MEAN_GAP_S: Final = 0.25
LEAST_GAP_S: Final = 0.025
GREATEST_GAP_S: Final = 0.65
#: TCP_INFO samples a record keeps at most, first and last among them.
MAX_SAMPLES: Final = 128
#: RTT under load: the first connect after 1 s, each next gap half as long again.
LOADED_FIRST_S: Final = 1.0
LOADED_GROWTH: Final = 1.5
LOADED_LIMIT_S: Final = 5.0


class Sampler:
    """Polls one connection.

    Args:
        sock: a duplicate of the connection's socket, still open when the transfer is over;
            ``None`` over QUIC, where only body bytes can be counted.
        progress: the trial; gets timeline and samples.
        watch: asked at every poll whether to go on.
        stop: called once when the watch has had enough.
        rng: drives the memoryless clock.
    """

    def __init__(
        self,
        sock: socket.socket | None,
        progress: Progress,
        watch: Watch | None,
        stop: Callable[[], None],
        rng: random.Random,
    ) -> None:
        self._sock = sock
        self._progress = progress
        self._watch = watch
        self._stop = stop
        self._rng = rng
        self._count = (
            tcp_info.bytes_acked if progress.direction == "up" else tcp_info.bytes_received
        )
        before = self._count(sock)
        self._before_request = before or 0
        progress.timeline = TimelineBuilder("body" if before is None else "tcp_info")
        self._next_sample_s = 0.0
        self._reordered = False

    async def run(self) -> None:
        """Poll until cancelled or the watch has had enough."""
        self.sample()
        while True:
            t_s, count = self.poll()
            if self._watch is not None and self._watch(t_s, count):
                self._progress.censored = "judge"
                self._stop()
                return
            if t_s >= self._next_sample_s or self._first_out_of_order():
                self.sample()
            await asyncio.sleep(min(max(t_s / 1000, POLL_S[0]), POLL_S[1]))

    def poll(self) -> tuple[float, int]:
        """Note where the transfer stands.

        Returns:
            Seconds since the trial began, and bytes as the timeline counts them.
        """
        count = self._count(self._sock)
        t_s = self._progress.now()
        if self._progress.direction == "up":
            self._note_sent(count)
        if count is None:
            count = self._progress.payload_bytes
        assert self._progress.timeline is not None
        self._progress.timeline.add(t_s, count)
        return t_s, count

    def sample(self) -> None:
        """Take a TCP_INFO sample and draw the moment of the next."""
        t_s = self._progress.now()
        gap_s = self._rng.expovariate(1 / MEAN_GAP_S)
        self._next_sample_s = t_s + min(max(gap_s, LEAST_GAP_S), GREATEST_GAP_S)
        if len(self._progress.tcp_info) < MAX_SAMPLES - 1:
            self._keep(tcp_info.parse(tcp_info.read(self._sock), t_s))

    def finish(self) -> None:
        """Take the last poll and the last sample."""
        t_s, _ = self.poll()
        self._keep(tcp_info.parse(tcp_info.read(self._sock), t_s))

    def _first_out_of_order(self) -> bool:
        """Whether the first segment out of order has just come.

        Where it came tells a bucketful from a line that loses at random.
        """
        if self._reordered:
            return False
        self._reordered = bool(tcp_info.out_of_order(self._sock))
        return self._reordered

    def _note_sent(self, acked: int | None) -> None:
        """Tell how much of an upload has arrived; what waits in our own buffers has not."""
        progress = self._progress
        if acked is None:
            progress.sent_bytes = progress.handed_bytes
        elif progress.request_t_s is None:
            self._before_request = acked
        else:
            progress.sent_bytes = min(progress.handed_bytes, acked - self._before_request)

    def _keep(self, sample: TcpInfo | None) -> None:
        if sample is not None:
            self._progress.tcp_info.append(sample)


async def sample_loaded_rtt(server: Address, progress: Progress) -> None:
    """Time a short connection to the same server now and then, while the transfer runs.

    The kernel's round trip of a SYN cannot be blurred by the sender's pacing as the receiver's
    estimate on the transfer itself can (BBR). One connection at a time, closed at once.

    Args:
        server: literal address and port.
        progress: the trial; gets the samples.
    """
    gap_s = LOADED_FIRST_S
    while True:
        await asyncio.sleep(gap_s)
        gap_s *= LOADED_GROWTH
        rtt_s = await measure_rtt(server, LOADED_LIMIT_S)
        if rtt_s is not None:
            progress.loaded_rtt.append(RttSample(t_s=progress.now(), rtt_s=rtt_s))


async def measure_rtt(server: Address, limit_s: float) -> float | None:
    """Connect, ask the kernel for the round trip, close.

    Args:
        server: literal address and port.
        limit_s: how long to wait.

    Returns:
        Seconds; ``None`` where there was no connection or no TCP_INFO.
    """
    family = socket.AF_INET6 if ":" in server[0] else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as sock:
        sock.settimeout(0)
        try:
            async with asyncio.timeout(limit_s):
                await asyncio.get_running_loop().sock_connect(sock, server)
        except OSError:
            # The transfer itself tells what is wrong with the line; this is a sample less.
            return None
        return tcp_info.rtt_s(sock)


@contextlib.asynccontextmanager
async def beside(work: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Run something as long as the block runs; what it raises comes out after the block.

    Args:
        work: cancelled when the block ends.

    Yields:
        Nothing.
    """
    task = asyncio.create_task(work)
    try:
        yield
    finally:
        task.cancel()
        # Awaiting the task itself could not tell its cancellation from our own.
        await asyncio.wait([task])
    if not task.cancelled():
        task.result()
