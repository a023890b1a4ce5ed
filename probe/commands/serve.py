"""``probe serve``: be a far end, which replays fetches and reflects calls."""

from __future__ import annotations

import asyncio
from pathlib import Path

import click

from probe.call.order import MISSING
from probe.commands.options import Names, option
from probe.exits import CommandError, Status, UsageError
from probe.farend import FarEndConfig, RunningFarEnd, WebRtcLimits
from probe.farend import serve as open_far_end
from probe.farend.webrtc import is_possible
from probe.services import CALL_PORTS, REPLAY_PORT
from probe.signals import on_signals

_FILE = click.Path(path_type=Path, exists=True, dir_okay=False)


@click.command()
@option("--host", default="::", help="Address to listen on; :: is IPv6 and IPv4.")
@option("--https-port", type=int, default=443, help="TCP port of the web side.")
@option(
    "--calls",
    type=Names(),
    default=tuple(map(str, CALL_PORTS)),
    metavar="PORT,..",
    help="UDP ports that reflect calls.",
)
@option(
    "--stamp",
    type=Names(),
    default=(),
    metavar="PORT,..",
    help="UDP ports that answer STAMP (RFC 8762: 862) for routers' own tools; none by default.",
)
@option("--webrtc", is_flag=True, help="Take WebRTC calls too; needs the extra webrtc.")
@option("--replay-port", type=int, default=REPLAY_PORT, help="TCP port that answers replays.")
@option("--certificate", type=_FILE, required=True, help="Certificate chain, PEM.")
@option("--key", type=_FILE, required=True, help="Its private key, PEM.")
def serve(
    *,
    host: str,
    https_port: int,
    replay_port: int,
    calls: tuple[str, ...],
    stamp: tuple[str, ...],
    webrtc: bool,
    certificate: Path,
    key: Path,
) -> int:
    """Be a far end until interrupted. It writes no client's address anywhere."""
    if webrtc and not is_possible():
        raise UsageError(f"--webrtc: {MISSING}")
    config = FarEndConfig(
        host=host,
        https_port=https_port,
        replay_port=replay_port,
        calls=tuple(_port("--calls", text) for text in calls),
        stamp=tuple(_port("--stamp", text) for text in stamp),
        webrtc=WebRtcLimits() if webrtc else None,
        certificate=certificate,
        key=key,
    )
    asyncio.run(_serve(config))
    return Status.DONE


async def _serve(config: FarEndConfig) -> None:
    stop = asyncio.Event()
    on_signals(stop.set)
    try:
        async with open_far_end(config) as running:
            click.echo(_describe(running, webrtc=config.webrtc is not None), err=True)
            await stop.wait()
    except OSError as error:
        raise CommandError(
            f"found that the far end cannot listen ({error.strerror or error}), expected free "
            "ports: choose others with --https-port, --calls and --stamp, or run it with the right"
        ) from error


def _describe(running: RunningFarEnd, *, webrtc: bool) -> str:
    calls = ", ".join(map(str, running.call_ports))
    stamp = ", ".join(map(str, running.stamp_ports))
    also = f", STAMP on UDP {stamp}" if stamp else ""
    also += "; takes WebRTC calls" if webrtc else ""
    web = f"https on {running.https_port}, replays on {running.replay_port}"
    return f"Far end: {web}, calls on UDP {calls}{also}."


def _port(flag: str, text: str) -> int:
    if text.isdecimal() and 0 < int(text) < 1 << 16:
        return int(text)
    raise UsageError(f"{flag}: found {text!r}, expected ports such as 3478,1400")
