"""The two ends of a call as programs of their own, for namespaces and benchmarks.

call_ends.py serve HOST PORT..          a far end; prints "ready"
call_ends.py call JSON                  makes the flows; prints what became of them as JSON
"""

import asyncio
import json
import resource
import sys
import time

import msgspec

from probe.call import CallOrder
from probe.call.pair import call_flows
from probe.call.peer import PeerOrder, call_peer
from probe.farend import FarEndConfig, ReflectorLimits, serve
from probe.network import Network
from probe.trace import FATES, unpack_trace

LIMITS = ReflectorLimits(
    flows_per_client=4096, client_packets_per_s=100_000, total_packets_per_s=100_000
)


async def be_far_end(host, *ports):
    calls = tuple(int(port) for port in ports)
    config = FarEndConfig(host=host, calls=calls, https_port=None, reflector=LIMITS)
    async with serve(config):
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)


def cpu_s():
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


async def make_call(text):
    orders = msgspec.json.decode(text, type=list[CallOrder])
    before_s, begun_s = cpu_s(), time.monotonic()
    outcomes = await call_flows(orders, Network())
    used_s, took_s = cpu_s() - before_s, time.monotonic() - begun_s
    flows = []
    for outcome in outcomes:
        flow = msgspec.to_builtins(outcome)
        columns = unpack_trace(outcome.call.trace)
        flow["call"]["trace"] = columns | {"fate": [FATES[index] for index in columns["fate"]]}
        flows.append(flow)
    json.dump({"cpu_s": used_s, "took_s": took_s, "flows": flows}, sys.stdout)


async def meet_peer(way, text):
    order = msgspec.json.decode(text, type=PeerOrder)
    outcome = await call_peer(order, Network(), way)
    sys.stdout.write(msgspec.json.encode(outcome).decode())


if __name__ == "__main__":
    mode, *words = sys.argv[1:]
    asyncio.run({"serve": be_far_end, "call": make_call, "peer": meet_peer}[mode](*words))
