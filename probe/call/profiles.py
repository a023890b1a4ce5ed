"""How often a call sends and how large its packets are.

Sizes are whole UDP payloads. They follow what public captures of the apps show: Telegram 144 to
272 bytes in steps of 16, WhatsApp 43 to 72 (its own low-rate codec) with a few larger, Signal
constant, and for plain WebRTC Opus at 16 to 32 kbit/s in 60 ms packets plus RTP header and SRTP
tag (captures in nDPI's test set; TelegramMessenger/tgcalls; signalapp/ringrtc). The 172 bytes of
``voip-20`` are G.711 in RTP, what flent and Cisco IP SLA send.
"""

from __future__ import annotations

import random
from typing import Final

#: Seconds between packets, by profile.
INTERVAL_S: Final = {"voip-60": 0.06, "voip-20": 0.02}

#: (bytes, weight) of 60 ms packets, by shape.
_OPUS_60: Final = ((142, 2), (158, 4), (174, 7), (190, 9), (206, 9), (222, 7), (238, 4), (262, 2))
_TELEGRAM_60: Final = tuple(zip(range(144, 273, 16), (2, 4, 7, 10, 10, 7, 5, 3, 2), strict=True))
_WHATSAPP_60: Final = (
    (43, 3), (47, 6), (51, 8), (55, 9), (59, 9), (63, 7), (67, 5), (72, 3), (122, 1)
)  # fmt: skip
_SIGNAL_60: Final = ((270, 1),)
_BY_SHAPE: Final = {
    "telegram": _TELEGRAM_60,
    "whatsapp": _WHATSAPP_60,
    "signal": _SIGNAL_60,
}
_G711_BYTES: Final = 172
_TELEGRAM_STEP: Final = 16


def packets(profile: str, duration_s: float) -> int:
    """Return how many packets a flow of this profile sends in this time."""
    return max(1, round(duration_s / INTERVAL_S[profile]))


def sizes(profile: str, like: str, count: int, seed: int) -> tuple[int, ...]:
    """Draw the sizes of a flow's packets.

    Args:
        profile: a key of ``INTERVAL_S``.
        like: the shape whose size histogram to draw from.
        count: packets.
        seed: the same seed gives the same sizes, so that both flows of a pair agree.

    Returns:
        One UDP payload size in bytes per packet.
    """
    if profile == "voip-20":
        step = _TELEGRAM_STEP if like == "telegram" else 1
        return (_G711_BYTES + -_G711_BYTES % step,) * count
    values, weights = zip(*_BY_SHAPE.get(like, _OPUS_60), strict=True)
    # Reproducible on purpose: a size sequence, not a secret.
    return tuple(random.Random(seed).choices(values, weights, k=count))  # noqa: S311
