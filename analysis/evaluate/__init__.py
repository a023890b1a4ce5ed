"""How often the analysis is right: measured on labelled data, with counts and intervals."""

from __future__ import annotations

from pathlib import Path

from analysis.evaluate.tables import Report


def captures(folder: Path) -> Report:
    """Measure how well policers and their rates are found in labelled packet captures.

    Args:
        folder: captures (pcap, pcap.xz) and ``labels.csv``.

    Returns:
        The figures.

    Raises:
        analysis.evaluate.captures_read.CaptureError: a file cannot be read.
    """
    from analysis.evaluate import capture_rows  # noqa: PLC0415 - each evaluation loads its own

    return capture_rows.evaluate(folder)


def twitter2021(path: Path) -> Report:
    """Measure false alarms and power of the sequential test on real lines.

    Args:
        path: the Russia Twitter Throttle measurements, one CSV file, gzipped or not.

    Returns:
        The figures.

    Raises:
        analysis.evaluate.twitter_rows.MeasurementsError: the file is not such measurements.
    """
    from analysis.evaluate import twitter_rows  # noqa: PLC0415 - as above

    return twitter_rows.evaluate(path)


def simulated() -> tuple[Report, ...]:
    """Measure the tests on fetches and calls on simulated sessions.

    Returns:
        The figures of the sequential test, and of the flow pairs.
    """
    from analysis.evaluate import call_rows, simulation_rows  # noqa: PLC0415 - as above

    return simulation_rows.evaluate(), call_rows.evaluate()
