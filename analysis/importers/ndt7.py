"""ndt7 results as M-Lab archives them: the speed of a line, up and down.

One JSON object a file, or one a line; plain or gzip. The format is that of ``ndt-server`` (data
type ``NDT7Result``). Addresses in it are read past and never kept; country and AS are there only
in files that M-Lab's pipeline has annotated.
"""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any, Final

from analysis.bins import log_bin
from analysis.importers import Imported, pseudonym
from analysis.importers.lines import BadLineError, Rows, read_lines
from analysis.rows import TrialRow

_DIRECTIONS: Final = ("Download", "Upload")


def read(path: Path) -> Imported:
    """Read one file of ndt7 results.

    Args:
        path: the file.

    Returns:
        A row a direction that was measured.

    Raises:
        analysis.errors.DataError: no result in it is readable.
    """
    return read_lines(path, "ndt7 results of M-Lab", _rows)


def _rows(found: dict[str, Any], source: str, name: str) -> Rows:
    result = found.get("raw") if isinstance(found.get("raw"), dict) else found
    assert isinstance(result, dict)
    directions = [word for word in _DIRECTIONS if isinstance(result.get(word), dict)]
    if not directions:
        raise BadLineError("found neither Download nor Upload, expected an ndt7 result")
    rows = [
        row for word in directions if (row := _row(found, result, word, source, name)) is not None
    ]
    if not rows:
        raise BadLineError("found no measurement with bytes and time in it")
    return rows, []


def _row(
    found: dict[str, Any], result: dict[str, Any], word: str, source: str, name: str
) -> TrialRow | None:
    part = result[word]
    speed, count = _speed(part, word)
    if speed is None:
        return None
    geo, network = _annotations(found)
    return TrialRow(
        source=source,
        session=name,
        probe=pseudonym(str(part.get("UUID") or name)),
        start_s=_time(part.get("StartTime") or result.get("StartTime")),
        country=str(geo.get("CountryCode") or "ZZ"),
        asn=int(network.get("ASNumber") or 0),
        network=network.get("ASName") or None,
        network_type="unknown",
        service="line",
        kind="fetch",
        control_kind=None,
        round=0,
        arm="control",
        endpoint=f"ndt7 {word.lower()}",
        bytes=count,
        goodput_bps=round(speed),
        goodput_bin=log_bin(speed),
    )


def _speed(part: dict[str, Any], word: str) -> tuple[float | None, int | None]:
    """Return bit/s and bytes by the last report: the server's TCP_INFO, else the client's count."""
    counter = "BytesAcked" if word == "Download" else "BytesReceived"
    for measurements, block, name in (
        ("ServerMeasurements", "TCPInfo", counter),
        ("ClientMeasurements", "AppInfo", "NumBytes"),
    ):
        reports = part.get(measurements)
        for report in reversed(reports if isinstance(reports, list) else []):
            values = report.get(block) if isinstance(report, dict) else None
            if not isinstance(values, dict):
                continue
            count, elapsed_us = values.get(name), values.get("ElapsedTime")
            if isinstance(count, int) and isinstance(elapsed_us, int) and elapsed_us > 0 < count:
                return 8e6 * count / elapsed_us, count
    return None, None


def _annotations(found: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    client = found.get("client")
    client = client if isinstance(client, dict) else {}
    geo, network = client.get("Geo"), client.get("Network")
    return (
        geo if isinstance(geo, dict) else {},
        network if isinstance(network, dict) else {},
    )


def _time(text: Any) -> int:
    # Go writes nanoseconds, Python reads microseconds.
    whole = str(text).removesuffix("Z").partition(".")[0]
    try:
        return int(datetime.fromisoformat(whole + "+00:00").timestamp())
    except ValueError as error:
        raise BadLineError(f"found StartTime {text!r}, expected an RFC 3339 time") from error
