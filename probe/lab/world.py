"""The lab's world: services, neutral hosts and a far end, at addresses of the lab only. Pure data.

Names are the real ones where a censor's rule keys on the name; they are resolved inside the lab
and nowhere else. Addresses are from the block for benchmarking (RFC 2544, 198.18.0.0/15), so that
rules on addresses mean the same in every engine.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import date, timedelta
from typing import Final, Literal

import msgspec

from probe.measurement import HttpVersion

#: Enough to show a 128 kbit/s policer, and still over within 30 s under one.
OBJECT_BYTES: Final = 480_000
OBJECT_PATH: Final = f"/bytes/{OBJECT_BYTES}"
HTTPS_PORT: Final = 443
#: Of the far end, for replays: what a targets file takes if it names none.
REPLAY_PORT: Final = 8443
#: Home in the lab; the netns engine gives it this address.
HOME: Final = "198.18.0.2"
_SOURCE: Final = "the lab"
_TCP_AND_QUIC: Final[tuple[HttpVersion, ...]] = ("http/1.1", "h3")
_SHELF_LIFE: Final = timedelta(days=30)

Role = Literal["service", "foreign", "domestic", "relay_control", "far_end"]


class Site(msgspec.Struct, frozen=True, kw_only=True):
    """One address of the world and what it serves.

    ``names`` answer HTTPS on port 443, the first is the one fetched; ``accepts`` are TCP ports
    that take a connection; ``stun`` UDP ports that answer a Binding request; ``shapes`` what calls
    of this service look like; ``calls`` the UDP ports of a far end; ``http`` the versions to fetch
    with where the lab serves them.
    """

    key: str
    title: str
    role: Role
    address: str
    group: str = ""
    names: tuple[str, ...] = ()
    accepts: tuple[int, ...] = ()
    stun: tuple[int, ...] = ()
    shapes: tuple[str, ...] = ()
    calls: tuple[int, ...] = ()
    http: tuple[HttpVersion, ...] = ("http/1.1",)

    @property
    def kinds(self) -> tuple[str, ...]:
        """The kinds of trial that a probe finds an endpoint for here."""
        offered = {"fetch": self.names, "reach": self.accepts, "call": self.shapes}
        return tuple(kind for kind, endpoints in offered.items() if endpoints)


SITES: Final = (
    Site(
        key="pages",
        title="Pages",
        role="foreign",
        address="198.18.1.1",
        names=("pages.example",),
        http=_TCP_AND_QUIC,
    ),
    Site(
        key="wiki",
        title="Wiki",
        role="foreign",
        address="198.18.1.2",
        names=("wiki.example",),
        http=_TCP_AND_QUIC,
    ),
    Site(
        key="post",
        title="Post",
        role="domestic",
        address="198.18.2.1",
        names=("post.example",),
    ),
    Site(
        key="neutral_stun",
        title="Neutral STUN",
        role="relay_control",
        address="198.18.1.3",
        stun=(3478,),
    ),
    Site(
        key="far",
        title="Far end",
        role="far_end",
        address="198.18.3.1",
        names=("far.example",),
        calls=(3478, 1400, 599),
    ),
    Site(
        key="twitter",
        title="Twitter / X",
        role="service",
        group="social",
        address="198.18.11.1",
        names=("abs.twimg.com", "twitter.com", "t.co"),
    ),
    Site(
        key="youtube",
        title="YouTube",
        role="service",
        group="video",
        address="198.18.12.1",
        names=("rr1---sn-lab.googlevideo.com", "www.youtube.com"),
        http=_TCP_AND_QUIC,
    ),
    Site(
        key="google",
        title="Google",
        role="service",
        group="search",
        address="198.18.13.1",
        names=("www.google.com",),
    ),
    Site(
        key="whatsapp",
        title="WhatsApp",
        role="service",
        group="messenger",
        address="198.18.14.1",
        names=("static.whatsapp.net",),
        accepts=(5222,),
        shapes=("whatsapp",),
    ),
    Site(
        key="telegram",
        title="Telegram",
        role="service",
        group="messenger",
        address="198.18.15.1",
        names=("web.telegram.org",),
        accepts=(5222,),
        stun=(1400,),
        shapes=("telegram",),
    ),
    Site(
        key="signal",
        title="Signal",
        role="service",
        group="messenger",
        address="198.18.16.1",
        names=("chat.signal.org",),
    ),
)


def site(key: str) -> Site:
    """Look a site up by its key.

    Args:
        key: for example ``twitter``.

    Returns:
        The site.

    Raises:
        KeyError: there is none.
    """
    return {one.key: one for one in SITES}[key]


def targets_toml(today: date, *, quic: bool = False) -> str:
    """Write a targets file for a probe inside the lab.

    Args:
        today: the day it is written; it expires a month later.
        quic: whether the engine carries QUIC, so that it is worth naming.

    Returns:
        TOML text.
    """
    head = ["version = 1", f"reviewed = {today}", f"expires = {today + _SHELF_LIFE}"]
    far = next(one for one in SITES if one.role == "far_end")
    url = f"https://{far.names[0]}:{HTTPS_PORT}"
    head.append(f"far_end = {{ url = {json.dumps(url)}, calls = {list(far.calls)} }}")
    return "\n".join([*head, *(line for one in SITES for line in _tables(one, quic))]) + "\n"


def _tables(one: Site, quic: bool) -> Iterator[str]:
    if one.role == "service":
        yield from _service(one, quic)
    elif one.role != "far_end":
        yield from ("", f"[controls.{one.key}]", f"name = {json.dumps(one.title)}")
        if one.names:
            yield from (f"url = {_object(one)}", _versions(one, quic))
        else:
            yield f"relay = {_relays(one)[1:-1]}"
        yield f'scope = "{"domestic" if one.role == "domestic" else "foreign"}"'
        yield f"source = {json.dumps(_SOURCE)}"


def _service(one: Site, quic: bool) -> Iterator[str]:
    controls = [other.key for other in SITES if other.role == "foreign"]
    table = f"services.{one.key}"
    yield from ("", f"[{table}]", f"name = {json.dumps(one.title)}")
    yield from (f"group = {json.dumps(one.group)}", f"controls = {json.dumps(controls)}")
    yield f"trigger_names = {json.dumps(one.names)}"
    yield from ("", f"[[{table}.fetch]]", f"url = {_object(one)}", _versions(one, quic), _source())
    for port in one.accepts:
        yield from ("", f"[[{table}.reach]]", f'address = "{one.address}:{port}"', _source())
    if one.shapes:
        yield from ("", f"[[{table}.call]]", 'profile = "voip-60"')
        yield f"shapes = {json.dumps(one.shapes)}"
        if one.stun:
            yield f"relays = {_relays(one)}"
        yield _source()


def _object(one: Site) -> str:
    return json.dumps(f"https://{one.names[0]}{OBJECT_PATH}")


def _versions(one: Site, quic: bool) -> str:
    spoken = [version for version in one.http if quic or version != "h3"]
    return f"http = {json.dumps(spoken)}"


def _relays(one: Site) -> str:
    return json.dumps([f"stun://{one.address}:{port}" for port in one.stun])


def _source() -> str:
    return f"source = {json.dumps(_SOURCE)}"
