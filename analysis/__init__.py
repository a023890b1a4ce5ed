"""Judges: turns stored trials into findings, with odds, dates and plots."""
