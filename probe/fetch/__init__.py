"""Fetches: resolve, connect, TLS and HTTP, each phase timed, every byte on the timeline."""

from probe.fetch.order import FetchOrder, FetchOutcome, OrderError
from probe.fetch.reach import reach
from probe.fetch.run import fetch
from probe.fetch.watching import Watch

__all__ = ["FetchOrder", "FetchOutcome", "OrderError", "Watch", "fetch", "reach"]
