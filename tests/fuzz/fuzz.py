"""
Fuzz the parsers: `python tests/fuzz/fuzz.py [TARGET ...] [--seconds 60 | --inputs 10000] [--seed N]`.

Each target runs in a process of its own that may take 2 GiB. An input that ends in a fault, takes 20 s, or
all the memory, is kept under --keep and named; then the exit code is 1.
"""

from __future__ import annotations

import argparse
import faulthandler
import multiprocessing
import random
import resource
import shutil
import signal
import sys
import tempfile
import time
import traceback
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[2])]

MOST_S, MOST_BYTES = 20, 2 << 30


class TooLongError(BaseException):
    """An input took too long; no `except Exception` on its way may take it for something else."""


def _too_long(_number: int, _frame: object) -> None:
    raise TooLongError


def fuzz(name: str, seconds: float, inputs: int, seed: int, keep: Path) -> int:
    """Run a target on mutated inputs until time or number are up; return how many went wrong."""
    from targets import TARGETS

    faulthandler.enable()
    resource.setrlimit(resource.RLIMIT_AS, (MOST_BYTES + (1 << 30), MOST_BYTES + (1 << 30)))
    signal.signal(signal.SIGALRM, _too_long)
    target, begun, wrong, slowest, number = TARGETS[name], time.monotonic(), 0, 0.0, 0
    with tempfile.TemporaryDirectory(prefix="readpath-fuzz.") as scratch:
        while number < inputs and time.monotonic() - begun < seconds:
            rng = random.Random(f"{name} {seed} {number}")
            folder = Path(scratch) / str(number)
            folder.mkdir()
            content, start = target.once(rng), time.monotonic()
            signal.alarm(MOST_S)
            try:
                target.run(folder, content, rng)
            except (Exception, TooLongError):
                wrong += 1
                kept = keep / f"{name}-{seed}-{number}"
                kept.write_bytes(content)
                kept.with_suffix(".txt").write_text(traceback.format_exc(), errors="backslashreplace")
                last = traceback.format_exc().strip().splitlines()[-1][:300]
                print(f"{name}: input {number}: {last}; kept as {kept}", flush=True)
            finally:
                signal.alarm(0)
            slowest = max(slowest, time.monotonic() - start)
            number += 1
            shutil.rmtree(folder, ignore_errors=True)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10
    print(f"{name}: {number} inputs, {wrong} wrong, slowest {slowest:.1f} s, {peak} MiB at most", flush=True)
    return wrong


def _child(name: str, options: argparse.Namespace) -> None:
    wrong = fuzz(name, options.seconds, options.inputs, options.seed, options.keep)
    raise SystemExit(bool(wrong))


def main() -> int:
    """Fuzz what the command line says; return the exit code."""
    from targets import TARGETS

    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=", ".join(TARGETS))
    parser.add_argument("--seconds", type=float, default=float("inf"))
    parser.add_argument("--inputs", type=int, default=10**9)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keep", type=Path, default=Path(tempfile.gettempdir()))
    options = parser.parse_args()
    if options.seconds == float("inf") and options.inputs == 10**9:
        options.seconds = 60.0
    options.keep.mkdir(parents=True, exist_ok=True)
    codes = []
    for name in options.targets or TARGETS:
        process = multiprocessing.get_context("spawn").Process(target=_child, args=(name, options))
        process.start()
        process.join()
        codes.append(process.exitcode)
    return int(any(codes))


if __name__ == "__main__":
    sys.exit(main())
