"""Fetches as OONI measurements: the same facts in the format of OONI's archive. Pure.

Formats: OONI specification df-000 (envelope), df-001 (HTTP), df-002 (DNS), df-005 (TCP connect),
df-006 (TLS), df-008 (network events). The byte timeline becomes ``bytes_received_cumulative``
events on OONI's memoryless clock, so that the samples do not beat with what they sample.
"""

from __future__ import annotations

import random
from bisect import bisect_right
from collections.abc import Iterator
from typing import Any, Final

from probe.measurement import Fetch, Measurement, Timeline

TEST_NAME: Final = "throttle_fetch"
TEST_VERSION: Final = "0.1.0"
#: OONI's clock: exponential gaps of this mean, cut to these bounds, in seconds.
MEAN_GAP_S: Final = 0.25
GAP_BOUNDS_S: Final = (0.025, 0.65)
_EXTENSIONS: Final = {"dnst": 0, "httpt": 0, "netevents": 0, "tcpconnect": 0, "tlshandshake": 0}
_TRANSACTION: Final = 1


def to_ooni(record: Measurement, rng: random.Random) -> dict[str, Any]:
    """Write one fetch as an OONI measurement.

    Args:
        record: a fetch record.
        rng: draws the moments at which the byte timeline is sampled.

    Returns:
        The measurement, ready for JSON. Times are seconds since ``measurement_start_time``; the
        probe's address is 127.0.0.1, as OONI writes where it is withheld.

    Raises:
        ValueError: the record is not a fetch.
    """
    fetch = record.fetch
    if fetch is None:
        raise ValueError(f"found a {record.kind} record, expected a fetch")
    start = f"{record.start:%Y-%m-%d %H:%M:%S}"
    vantage = record.vantage
    return {
        "data_format_version": "0.2.0",
        "extensions": _EXTENSIONS,
        "annotations": {"arm": record.arm, "session": record.session, "service": record.service},
        "id": record.id,
        "input": fetch.url,
        "measurement_start_time": start,
        "test_start_time": start,
        "test_runtime": fetch.duration_s or 0.0,
        "test_name": TEST_NAME,
        "test_version": TEST_VERSION,
        "software_name": record.software.name,
        "software_version": record.software.version,
        "probe_asn": f"AS{vantage.asn}",
        "probe_cc": vantage.country,
        "probe_ip": "127.0.0.1",
        "probe_network_name": vantage.network or "",
        "resolver_asn": "AS0",
        "resolver_ip": "127.0.0.2",
        "resolver_network_name": "",
        "report_id": "",
        "test_keys": {
            "failure": record.failure,
            "queries": list(_queries(fetch)),
            "tcp_connect": list(_connects(fetch)),
            "tls_handshakes": list(_handshakes(fetch, record.failure)),
            "requests": list(_requests(fetch, record.failure)),
            "network_events": list(_events(fetch, rng)),
        },
    }


def sample(timeline: Timeline, rng: random.Random) -> list[tuple[float, int]]:
    """Read a byte timeline at memoryless moments, the last point always among them.

    Args:
        timeline: the record's.
        rng: draws the gaps.

    Returns:
        (seconds, bytes) in order; empty where there is no timeline.
    """
    if not timeline.t_s:
        return []
    end_s = timeline.t_s[-1]
    samples = []
    least_s, most_s = GAP_BOUNDS_S
    at_s = timeline.t_s[0]
    while (at_s := at_s + min(max(rng.expovariate(1 / MEAN_GAP_S), least_s), most_s)) < end_s:
        samples.append((at_s, timeline.bytes[bisect_right(timeline.t_s, at_s) - 1]))
    return [*samples, (end_s, timeline.bytes[-1])]


def _queries(fetch: Fetch) -> Iterator[dict[str, Any]]:
    for answer in fetch.dns:
        yield {
            "hostname": answer.name,
            "query_type": "ANY",
            "engine": answer.engine,
            "resolver_address": "",
            "failure": answer.failure,
            "answers": [
                {"answer_type": "AAAA", "ipv6": address, "ttl": None}
                if ":" in address
                else {"answer_type": "A", "ipv4": address, "ttl": None}
                for address in answer.addresses
            ],
            "t0": answer.t_s,
            "t": answer.t_s + answer.duration_s,
            "transaction_id": _TRANSACTION,
        }


def _connects(fetch: Fetch) -> Iterator[dict[str, Any]]:
    for made in fetch.connects:
        yield {
            "ip": made.address,
            "port": made.port,
            "status": {"success": made.failure is None, "failure": made.failure},
            "t0": made.t_s,
            "t": made.t_s + made.duration_s,
            "transaction_id": _TRANSACTION,
        }


def _handshakes(fetch: Fetch, failure: str | None) -> Iterator[dict[str, Any]]:
    began_s = sum(made.duration_s for made in fetch.connects) + (fetch.dns_s or 0.0)
    if fetch.sni is None or not any(made.failure is None for made in fetch.connects):
        return
    ended_s = began_s + fetch.tls_s if fetch.tls_s is not None else fetch.duration_s or began_s
    yield {
        "network": "udp" if fetch.http == "h3" else "tcp",
        "address": _address(fetch),
        "server_name": fetch.sni,
        "tls_version": fetch.tls_version or "",
        "cipher_suite": fetch.tls_cipher or "",
        "negotiated_protocol": fetch.http or "",
        "no_tls_verify": not fetch.certificate_checked,
        "peer_certificates": [],
        "failure": failure if fetch.tls_s is None else None,
        "t0": began_s,
        "t": ended_s,
        "transaction_id": _TRANSACTION,
    }


def _requests(fetch: Fetch, failure: str | None) -> Iterator[dict[str, Any]]:
    if fetch.request_t_s is None:
        return
    yield {
        "network": "udp" if fetch.http == "h3" else "tcp",
        "address": _address(fetch),
        "alpn": fetch.http or "",
        "failure": failure,
        "request": {"method": fetch.method, "url": fetch.url, "headers": {}, "body": ""},
        "response": {
            "code": fetch.status or 0,
            "headers": {},
            "body": "",
            "body_is_truncated": True,
        },
        "t0": fetch.request_t_s,
        "t": fetch.duration_s or fetch.request_t_s,
        "transaction_id": _TRANSACTION,
    }


def _events(fetch: Fetch, rng: random.Random) -> Iterator[dict[str, Any]]:
    for at_s, count in sample(fetch.timeline, rng):
        yield {
            "operation": "bytes_received_cumulative",
            "address": _address(fetch),
            "proto": "udp" if fetch.http == "h3" else "tcp",
            "num_bytes": count,
            "failure": None,
            "t0": at_s,
            "t": at_s,
            "transaction_id": _TRANSACTION,
        }


def _address(fetch: Fetch) -> str:
    host = fetch.address or ""
    return f"[{host}]:{fetch.port}" if ":" in host else f"{host}:{fetch.port}"
