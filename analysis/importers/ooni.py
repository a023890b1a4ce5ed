"""OONI measurements: Web Connectivity, messengers, NDT, DASH and STUN reachability.

JSON lines as OONI publishes them, plain or gzip, in the data format of df-000 and later. What the
probe compared with OONI's own control at that moment becomes a session: a *hit* where the service
failed and the control did not. OONI's word for it is kept apart from a verdict of ours: many
sessions are counted by network, one proves nothing. Speeds of NDT and DASH describe the line.

Variants that are met in the field are taken as they are: ``t0`` and ``num_bytes`` left out when
zero, ``test_keys`` null, times with and without ``T`` and ``Z``, status blocks with and without
``blocked``.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from analysis.bins import log_bin
from analysis.importers import Imported, pseudonym
from analysis.importers.lines import BadLineError, Rows, read_lines
from analysis.rows import SessionRow, TrialRow

#: Services known by several names; any other goes by its host name.
SERVICES: Final = {
    "twitter.com": "twitter",
    "t.co": "twitter",
    "twimg.com": "twitter",
    "x.com": "twitter",
    "telegram.org": "telegram",
    "whatsapp.com": "whatsapp",
    "facebook.com": "facebook",
    "instagram.com": "instagram",
    "youtube.com": "youtube",
    "googlevideo.com": "youtube",
    "linkedin.com": "linkedin",
    "tiktok.com": "tiktok",
    "signal.org": "signal",
}
#: Failures, and what they say of how a service is blocked.
_MECHANISMS: Final = (
    ("dns_", "dns"),
    ("connection_reset", "reset"),
    ("generic_timeout", "dropped"),
    ("ssl_", "tls"),
)
_LINE: Final = "line"


def read(path: Path) -> Imported:
    """Read one file of OONI measurements.

    Args:
        path: JSON lines, plain or gzip.

    Returns:
        Its rows; measurements of other tests are passed over by name.

    Raises:
        analysis.errors.DataError: no measurement in it is readable.
    """
    return read_lines(path, "OONI measurements, a JSON object a line", _rows)


def _rows(found: dict[str, Any], source: str, name: str) -> Rows:
    test = found.get("test_name")
    reader = _TESTS.get(test) if isinstance(test, str) else None
    if reader is None:
        raise BadLineError(f"found the test {test!r}, expected one of {', '.join(_TESTS)}")
    shared = _shared(found, source, name)
    keys = found.get("test_keys")
    if not isinstance(keys, dict):
        raise BadLineError(f"found a {test} measurement without test_keys")
    try:
        return reader(found, keys, shared)
    except (TypeError, AttributeError, ValueError, KeyError) as error:
        raise BadLineError(f"found {test} test_keys of another shape ({error!r})") from error


def _shared(found: dict[str, Any], source: str, name: str) -> dict[str, Any]:
    asn = str(found.get("probe_asn") or "AS0").upper().removeprefix("AS")
    kinds = {"wifi": "fixed", "wired": "fixed", "mobile": "mobile"}
    annotations = found.get("annotations") or {}
    network = annotations.get("network_type") if isinstance(annotations, dict) else None
    return {
        "source": source,
        "session": name,
        "probe": pseudonym(str(found.get("probe_id") or found.get("report_id") or name)),
        "start_s": _time(found.get("measurement_start_time")),
        "country": str(found.get("probe_cc") or "ZZ"),
        "asn": int(asn) if asn.isdigit() else 0,
        "network": found.get("probe_network_name") or None,
        "network_type": kinds.get(str(network), "unknown"),
    }


def _time(text: Any) -> int:
    try:
        moment = datetime.fromisoformat(str(text))
    except ValueError as error:
        raise BadLineError(
            f"found measurement_start_time {text!r}, expected YYYY-MM-DD HH:MM:SS"
        ) from error
    return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp())


def _web(found: dict[str, Any], keys: dict[str, Any], shared: dict[str, Any]) -> Rows:
    """Web Connectivity: accessible, or blocked by what OONI calls dns, tcp_ip or http."""
    url = str(found.get("input"))
    host = urlsplit(url).hostname
    if not host:
        raise BadLineError(f"found the input {url!r}, expected a URL")
    blocking = keys.get("blocking")
    hit = 1 if isinstance(blocking, str) and blocking else (0 if keys.get("accessible") else None)
    failure = _failure(keys)
    speed, received = _transfer(keys)
    row = shared | {"service": _service(host), "kind": "fetch", "control_kind": "C"}
    trial = TrialRow(
        **row,
        round=0,
        arm="target",
        endpoint=url,
        failure=failure,
        bytes=received,
        goodput_bps=None if speed is None else round(speed),
        goodput_bin=log_bin(speed),
        connect_s=_duration(keys.get("tcp_connect")),
        tls_s=_duration(keys.get("tls_handshakes")),
    )
    mechanism = _web_mechanism(str(blocking), failure) if hit else None
    return [trial], [_session(row, hit, mechanism)]


def _web_mechanism(blocking: str, failure: str | None) -> str:
    if blocking == "dns":
        return "dns"
    if blocking == "http-diff":
        return "blockpage"
    return _mechanism(failure)


def _messenger(service: str, verdicts: tuple[str, ...]) -> Callable[..., Rows]:
    """Return a reader of a messenger test: any of its verdicts may say blocked."""

    def reader(_: dict[str, Any], keys: dict[str, Any], shared: dict[str, Any]) -> Rows:
        words = [keys[name] for name in verdicts if keys.get(name) is not None]
        hit = int(any(word is True or word == "blocked" for word in words)) if words else None
        row = shared | {"service": service, "kind": "reach", "control_kind": "C"}
        trials = [
            TrialRow(
                **row,
                round=at,
                arm="target",
                endpoint=f"{item.get('ip')}:{item.get('port')}",
                failure=(item.get("status") or {}).get("failure"),
                connect_s=_seconds(item),
            )
            for at, item in enumerate(keys.get("tcp_connect") or [])
        ]
        failures = [trial.failure for trial in trials if trial.failure]
        mechanism = _mechanism(failures[0] if failures else None) if hit else None
        return trials, [_session(row, hit, mechanism)]

    return reader


def _ndt(_: dict[str, Any], keys: dict[str, Any], shared: dict[str, Any]) -> Rows:
    summary = keys.get("summary") or keys.get("simple") or {}
    return _speed("ndt", summary.get("download"), shared)


def _dash(_: dict[str, Any], keys: dict[str, Any], shared: dict[str, Any]) -> Rows:
    return _speed("dash", (keys.get("simple") or {}).get("median_bitrate"), shared)


def _speed(test: str, kbps: Any, shared: dict[str, Any]) -> Rows:
    """Make the row of a line's speed, given in kbit/s."""
    if not isinstance(kbps, int | float) or not kbps > 0:
        raise BadLineError(f"found {test} without a speed ({kbps!r}), expected kbit/s above 0")
    speed = 1000.0 * kbps
    row = shared | {"service": _LINE, "kind": "fetch", "control_kind": None}
    return [
        TrialRow(
            **row,
            round=0,
            arm="control",
            endpoint=test,
            goodput_bps=round(speed),
            goodput_bin=log_bin(speed),
        )
    ], []


def _stun(found: dict[str, Any], keys: dict[str, Any], shared: dict[str, Any]) -> Rows:
    """STUN reachability: a relay answers or not; nothing was compared with anything."""
    endpoint = str(keys.get("endpoint") or found.get("input"))
    row = shared | {"service": endpoint, "kind": "reach", "control_kind": None}
    return [
        TrialRow(**row, round=0, arm="target", endpoint=endpoint, failure=keys.get("failure"))
    ], []


_TESTS: Final[dict[str, Callable[..., Rows]]] = {
    "web_connectivity": _web,
    "telegram": _messenger(
        "telegram", ("telegram_tcp_blocking", "telegram_http_blocking", "telegram_web_status")
    ),
    "whatsapp": _messenger(
        "whatsapp",
        ("whatsapp_endpoints_status", "registration_server_status", "whatsapp_web_status"),
    ),
    "facebook_messenger": _messenger(
        "facebook", ("facebook_tcp_blocking", "facebook_dns_blocking")
    ),
    "signal": _messenger("signal", ("signal_backend_status",)),
    "ndt": _ndt,
    "dash": _dash,
    "stunreachability": _stun,
}


def _session(row: dict[str, Any], hit: int | None, mechanism: str | None) -> SessionRow:
    return SessionRow(**row, pairs=1, hits=hit or 0, hit=hit, mechanism=mechanism)


def _service(host: str) -> str:
    names = [name for name in SERVICES if host == name or host.endswith("." + name)]
    return SERVICES[names[0]] if names else host.removeprefix("www.")


def _mechanism(failure: str | None) -> str:
    for start, mechanism in _MECHANISMS:
        if failure and failure.startswith(start):
            return mechanism
    return "unclassified"


def _failure(keys: dict[str, Any]) -> str | None:
    for name in ("dns_experiment_failure", "http_experiment_failure"):
        if isinstance(keys.get(name), str):
            return str(keys[name])
    return None


def _transfer(keys: dict[str, Any]) -> tuple[float | None, int | None]:
    """Return goodput in bit/s and bytes of the connection that received most."""
    sums: dict[int, tuple[int, float, float]] = {}
    for event in keys.get("network_events") or []:
        operation, at = event.get("operation"), float(event.get("t") or 0.0)
        key = int(event.get("transaction_id") or 0)
        total, first, _ = sums.get(key, (0, at, at))
        if operation == "bytes_received_cumulative":
            sums[key] = (max(total, int(event.get("num_bytes") or 0)), first, at)
        elif operation == "read" and not event.get("failure"):
            sums[key] = (total + int(event.get("num_bytes") or 0), first, at)
    if not sums:
        return None, None
    total, first, last = max(sums.values())
    return (8 * total / (last - first) if last > first and total else None), total


def _duration(events: Any) -> float | None:
    """Return the duration of the first event that succeeded, in seconds."""
    for event in events or []:
        status = event.get("status") or {}
        if not event.get("failure") and not status.get("failure"):
            return _seconds(event)
    return None


def _seconds(event: dict[str, Any]) -> float | None:
    return float(event["t"]) - float(event.get("t0") or 0.0) if "t" in event else None
