"""Call-shaped UDP flows: what is sent, when exactly, and what became of each packet."""

from probe.call.order import CallOrder, CallOutcome
from probe.call.pair import call_pair

__all__ = ["CallOrder", "CallOutcome", "call_pair"]
