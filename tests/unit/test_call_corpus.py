"""What a coverage-guided fuzzer found worth keeping, against every reader of a call.

The fuzzer is ``tests/fuzz/fuzz_call.py``; here its corpus is replayed as plain datagrams.
"""

from pathlib import Path

import pytest
from call_in_memory import STRANGER, Clock, make_reflector, make_talk

from probe.call import stun

CORPUS = Path(__file__).parents[1] / "fuzz" / "corpus"
INPUTS = sorted(path for path in CORPUS.rglob("*") if path.is_file())


def test_there_is_a_corpus():
    assert len(INPUTS) > 100


@pytest.mark.parametrize("target", ["stun", "far_end", "probe"])
def test_no_kept_input_makes_a_reader_stumble(target):
    reflector, talk = make_reflector(Clock()), make_talk()
    for path in INPUTS:
        data = path.read_bytes()
        if target == "stun":
            try:
                assert stun.decode(stun.encode(stun.decode(data)))
            except stun.StunError:
                continue
        elif target == "far_end":
            assert sum(map(len, reflector.handle(data, STRANGER, 0))) < max(len(data), 1)
        else:
            assert talk.reply(data) is None
