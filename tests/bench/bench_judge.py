"""How long one session takes to judge, by kind and number of pairs: processor time.

python tests/bench/bench_judge.py [--repeats 100]
"""

import argparse
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "unit"))

import numpy as np
from builders import call, fetch, policed, session

from analysis.verdict import judge


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--repeats", type=int, default=100)
    repeats = parser.parse_args().repeats
    rng = np.random.default_rng(1)
    calls = []
    for n in range(6):
        fates = ["lost_up" if lost else "ok" for lost in rng.random(333) < 0.3]
        calls += [call(number=n, fates=fates), call("control", n)]
    sessions = {
        "3 clean fetch pairs": session([fetch(number=n) for n in range(3)]),
        "3 policed fetch pairs": session([policed(n) for n in range(3)]),
        "25 clean fetch pairs": session([fetch(number=n) for n in range(25)]),
        "2 call pairs": calls[:4],
        "6 call pairs": calls,
    }
    for name, trials in sessions.items():
        judge(trials)
        begun = time.process_time()
        for _ in range(repeats):
            judge(trials)
        spent_ms = 1000 * (time.process_time() - begun) / repeats
        sys.stdout.write(f"{name:24} {spent_ms:6.2f} ms\n")


if __name__ == "__main__":
    main()
