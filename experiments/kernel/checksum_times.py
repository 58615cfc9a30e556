"""
What checksums and MACs of a block take on this CPU, by its size: `python experiments/kernel/checksum_times.py
OUT.json`; with names behind it these alone, put among the rows of OUT.json, which must be of the same CPU.
Best of many rounds, for the machine may be shared.

Beside them a cipher that makes its own tag, AES-256-GCM, and AES-256-XTS, to hold it against: encryption.

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

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from sim.crypto.ciphers.xts import XtsUnits
from sim.integrity.algorithms import ALGORITHMS

SIZES = (512, 1024, 2048, 4096, 8192, 16384)
ROUNDS = 60
ROUND_BYTES = 1 << 19
KEY = bytes(range(32))
CIPHERS: dict[str, Callable[[bytes], Callable[[], object]]] = {
    "aes-256-gcm-aead": lambda data: partial(AESGCM(KEY).encrypt, bytes(12), data, None),
    "aes-256-xts": lambda data: partial(XtsUnits(bytes(range(64))).encrypt, data, 0, len(data)),
}
"""What encrypts a block, and gives its call."""


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


def call_of(name: str, size: int) -> Callable[[], object]:
    """Return the call of an algorithm on so many bytes."""
    if name in CIPHERS:
        return CIPHERS[name](bytes(size))
    return partial(ALGORITHMS[name].compute, KEY, bytes(size), 1, 0)


def main() -> None:
    """Measure algorithms and write a record."""
    known = [*ALGORITHMS, *CIPHERS]
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("names", nargs="*", metavar="NAME")
    said = parser.parse_args()
    if unknown := set(said.names) - set(known):
        parser.error(f"{min(unknown)}: {', '.join(known)}")
    code = f"google-crc32c {version('google-crc32c')}, xxhash {version('xxhash')}, {ssl.OPENSSL_VERSION}"
    record: dict[str, object] = {"cpu": cpu(), "code": code, "rounds": ROUNDS}
    rows = {}
    if said.names:
        old = json.loads(said.out.read_text(encoding="utf-8"))
        if {key: old[key] for key in record} != record:
            parser.error(f"{said.out} is of {old['cpu']}, {old['code']}, {old['rounds']} rounds")
        rows = {(row["algorithm"], row["bytes"]): row for row in old["rows"]}
    for name in said.names or known:
        for size in SIZES:
            took = best_ns(call_of(name, size), max(ROUND_BYTES // size, 20))
            rows[name, size] = {"algorithm": name, "bytes": size, "ns_min": round(took, 1)}
            print(rows[name, size])
    record["rows"] = list(rows.values())
    said.out.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
