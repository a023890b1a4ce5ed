"""A small targets file, and plans made from it."""

import random
from datetime import date

from probe.plan import Plan, make_plan
from probe.targets import CallTarget, Control, FarEnd, FetchTarget, ReachTarget, Service, Targets

KINDS = ("fetch", "call", "reach")


def targets(far_end: FarEnd | None = None) -> Targets:
    return Targets(
        version=1,
        reviewed=date(2026, 11, 21),
        expires=date(2027, 2, 21),
        far_end=far_end,
        controls={
            "pages": Control(
                name="Pages", url="https://pages.example/a", scope="foreign", source="s"
            ),
            "post": Control(
                name="Post", url="https://post.example/a", scope="domestic", source="s"
            ),
            "stun": Control(
                name="S", relay="stun://stun.example:3478", scope="foreign", source="s"
            ),
            "stun2": Control(
                name="S", relay="stun://stun2.example:3478", scope="foreign", source="s"
            ),
        },
        services={
            "twitter": Service(
                name="Twitter",
                group="social",
                controls=("pages",),
                trigger_names=("abs.twimg.com",),
                fetch=(FetchTarget(url="https://abs.twimg.com/x", min_bytes=450_000, source="s"),),
            ),
            "telegram": Service(
                name="Telegram",
                group="messenger",
                controls=("pages",),
                reach=(ReachTarget(address="149.154.167.51:443"),),
                call=(
                    CallTarget(
                        profile="voip-60",
                        shapes=("telegram", "stun-rtp"),
                        relays=("stun://91.108.9.35:1400", "stun://91.108.13.23:1400"),
                        source="s",
                    ),
                ),
            ),
        },
    )


def plan_of(given: Targets, **changes: object) -> Plan:
    options = {"only": (), "kinds": KINDS, **changes}
    return make_plan(given, random.Random(1), **options)
