"""Plots, declared by name: each a function from the data to one figure."""

from __future__ import annotations

from typing import Final

KINDS: Final = {
    "goodput": "target against control, a point a transfer",
    "timeline": "bytes delivered over time, target and control",
    "loss": "call packets lost, by place in the call and direction",
    "areas": "share of slow pairs by network, with intervals",
    "rates": "speeds of slow pairs beside those of their controls",
    "days": "share of slow pairs by day, network by network",
}
