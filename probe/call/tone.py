"""What is said in a WebRTC call: a tone in noise, Opus packets of 20 ms made beforehand."""

from __future__ import annotations

import asyncio
import time
from fractions import Fraction
from typing import Final

import av
import numpy as np
from aiortc import MediaStreamTrack
from aiortc.mediastreams import MediaStreamError
from av.audio.stream import AudioStream
from av.packet import Packet

_RATE_HZ: Final = 48_000
_SAMPLES: Final = 960
_BIT_RATE: Final = 32_000
_TONE_HZ: Final = 440.0
_NS: Final = 1_000_000_000


class ToneTrack(MediaStreamTrack):
    """Plays from the moment it is told to, a packet every 20 ms, and then ends.

    Attributes:
        ended: set when the last packet has been handed out, or the connection has died.
    """

    kind = "audio"

    def __init__(self, count: int, seed: int) -> None:
        """Encode everything, so that no encoder is late during the call.

        Args:
            count: packets.
            seed: of the noise.
        """
        super().__init__()
        self.ended = asyncio.Event()
        self._packets = encode(count, seed)
        self._playing = asyncio.Event()
        self._start_ns = 0
        self._at = 0

    @property
    def is_over(self) -> bool:
        """Whether every packet has been handed out."""
        return self._at == len(self._packets)

    def play(self, start_ns: int) -> None:
        """Start at this monotonic time."""
        self._start_ns = start_ns
        self._playing.set()

    async def recv(self) -> Packet[AudioStream]:
        """Hand the next packet out when it is due."""
        await self._playing.wait()
        if self.is_over:
            raise MediaStreamError
        due_ns = self._start_ns + self._at * _SAMPLES * _NS // _RATE_HZ
        await asyncio.sleep((due_ns - time.monotonic_ns()) / _NS)
        packet = self._packets[self._at]
        self._at += 1
        return packet

    def stop(self) -> None:
        """End; the sender says so when it has sent the last packet, or can send no more."""
        super().stop()
        self.ended.set()


def encode(count: int, seed: int) -> list[Packet[AudioStream]]:
    """Make Opus packets.

    Args:
        count: how many.
        seed: of the noise.

    Returns:
        Packets of 20 ms at about 32 kbit/s, with their times.
    """
    codec = av.CodecContext.create("libopus", "w")
    codec.bit_rate = _BIT_RATE
    codec.format = "s16"
    codec.layout = "mono"
    codec.sample_rate = _RATE_HZ
    codec.time_base = Fraction(1, _RATE_HZ)
    codec.options = {"application": "voip", "frame_duration": "20"}
    noise = np.random.default_rng(seed)
    made: list[Packet[AudioStream]] = []
    for at in range(count + 1):  # the encoder holds the last one back
        angle = 2 * np.pi * _TONE_HZ * (np.arange(_SAMPLES) + at * _SAMPLES) / _RATE_HZ
        sound = 6_000 * np.sin(angle) + noise.normal(0, 1_500, _SAMPLES)
        frame = av.AudioFrame.from_ndarray(sound.astype(np.int16)[None, :], "s16", "mono")
        frame.sample_rate = _RATE_HZ
        frame.pts = at * _SAMPLES
        frame.time_base = codec.time_base
        made.extend(codec.encode(frame))
    for index, packet in enumerate(made):
        packet.pts = index * _SAMPLES
        packet.time_base = codec.time_base
    return made[:count]
