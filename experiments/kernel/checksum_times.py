"""
What checksums and MACs of a block take on this CPU, by its size: `python experiments/kernel/checksum_times.py
OUT.json`. Best of many rounds, for the machine may be shared.

The code is that of libraries, called from Python, not a kernel's: a call's own time is Python's and is of no
use, but the time of a byte more is the algorithm's, with the CPU instructions that a kernel uses too (crc32
and carry-less multiplication, SHA, AES; xxHash and BLAKE2b have none). sim/calibrate/checksums.py takes the
slopes.
"""

from __future__ import annotations

import argparse
import json
import ssl
import time
from collections.abc import Callable
from functools import partial
from importlib.metadata import version
from pathlib import Path

from sim.integrity.algorithms import ALGORITHMS

SIZES = (512, 1024, 2048, 4096, 8192, 16384)
ROUNDS = 60
ROUND_BYTES = 1 << 19
KEY = bytes(range(32))


def cpu() -> str:
    """Return the CPU's name, family and model, as /proc/cpuinfo has them."""
    lines = Path("/proc/cpuinfo").read_text(encoding="ascii").splitlines()
    said: dict[str, str] = {}
    for line in lines:
        key, _, value = line.partition(":")
        said.setdefault(key.strip(), value.strip())
    return f"{said['model name']}, family {said['cpu family']} model {said['model']}"


def best_ns(call: Callable[[], object], calls: int) -> float:
    """Return ns a call, the least of all rounds."""
    best = float("inf")
    for _ in range(ROUNDS):
        start = time.perf_counter_ns()
        for _ in range(calls):
            call()
        best = min(best, (time.perf_counter_ns() - start) / calls)
    return best


def main() -> None:
    """Measure all algorithms and write a record."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    out = parser.parse_args().out
    rows = []
    for name, algorithm in ALGORITHMS.items():
        for size in SIZES:
            call = partial(algorithm.compute, KEY, bytes(size), 1, 0)
            took = best_ns(call, max(ROUND_BYTES // size, 20))
            rows.append({"algorithm": name, "bytes": size, "ns_min": round(took, 1)})
            print(rows[-1])
    code = f"google-crc32c {version('google-crc32c')}, xxhash {version('xxhash')}, {ssl.OPENSSL_VERSION}"
    record = {"cpu": cpu(), "code": code, "rounds": ROUNDS, "rows": rows}
    out.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
