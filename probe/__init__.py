"""Measures: times fetches and call-shaped flows beside controls, and stores what happened."""

__version__ = "0.1.0"
