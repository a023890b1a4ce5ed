"""A recording that carries a name is slowed where the name is; its bit-inverted copy is not."""

import msgspec

from probe.fetch import FetchOrder
from probe.fetch.replay import replay
from probe.lab import presets, world
from probe.lab.loopback import LoopbackLab
from probe.lab.rules import Match, Police, Rule
from probe.network import Network

RULE = Rule(
    name="name",
    match=Match(sni=("*.twimg.com",), transport="tcp"),
    effect=Police(rate_bps=300_000, bucket_bytes=16_000),
)


async def test_only_the_copy_that_can_be_read_is_slowed():
    preset = msgspec.structs.replace(presets.load()["clean"], rules=(RULE,))
    async with LoopbackLab(preset, seed=2) as lab:
        network = Network.from_options(lab.environ["PROBE_CONNECT_TO"])
        order = FetchOrder(
            url=f"http://far.example:{world.REPLAY_PORT}/", sni="abs.twimg.com", limit_bytes=100_000
        )
        plain = await replay(order, network, inverted=False)
        copy = await replay(order, network, inverted=True)
    assert (plain.failure, copy.failure) == (None, None)
    assert plain.fetch.duration_s > 1.5
    assert copy.fetch.duration_s < 1.0
