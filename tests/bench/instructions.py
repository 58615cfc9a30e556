"""
Instructions that simulating a read(2) takes, counted by valgrind's callgrind: the same on a busy machine.

    python tests/bench/instructions.py                    of this tree
    python tests/bench/instructions.py . ../before        of several checkouts, one after another

Of each tree reads are simulated as its own tests/bench/run.py has them, through page_io on the SATA SSD, data
off: 4 KiB at random, and 128 KiB in sequence. What 6,000 reads more take is divided by them, so the start of
the process is not in it. Interpreted, a tree takes minutes; compiled, one. Exit code 2: no such tree, or no
valgrind.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

FEW, MANY = 2_000, 8_000
IMPORTED = """
import random, sys
sys.path.insert(0, "tests/bench")
import run
"""
READS = """
at = random.Random(1)
anywhere = [(at.randrange(run.GIB // 4096) * 4096, 4096) for _ in range({most})]
in_a_row = [(number << 17, 1 << 17) for number in range({most})]
run.read_once("page_io", 4096, "sata-ssd", {reads}[:{count}])
"""


def run_in(tree: Path, code: str, *under: str) -> None:
    """Run code in a process of its own, with a tree's modules; raises CalledProcessError."""
    environ = {**os.environ, "PYTHONPATH": str(tree), "PYTHONHASHSEED": "0"}
    subprocess.run(
        [*under, sys.executable, "-c", code], cwd=tree, env=environ, check=True, capture_output=True
    )


def instructions(tree: Path, reads: str, count: int) -> int:
    """Return the instructions of a process that simulates `count` reads; raises CalledProcessError."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder, "callgrind")
        code = IMPORTED + READS.format(most=MANY, reads=reads, count=count)
        run_in(tree, code, "valgrind", "--tool=callgrind", f"--callgrind-out-file={out}")
        total = next(line for line in out.read_text().splitlines() if line.startswith("totals:"))
        return int(total.split()[1])


def main() -> None:
    """Print a line a tree and kind of read."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("trees", nargs="*", type=Path, default=[Path(__file__).parents[2]])
    trees = [tree.resolve() for tree in parser.parse_args().trees]
    for tree in trees:
        if not (tree / "tests" / "bench" / "run.py").is_file():
            parser.error(f"{tree}: no tests/bench/run.py; allowed: checkouts of readpath")
    if shutil.which("valgrind") is None:
        parser.error("there is no valgrind (Debian: apt-get install valgrind)")
    for tree in trees:
        run_in(tree, IMPORTED)  # so that no process that is counted compiles a module
        for reads, what in (("anywhere", "random 4 KiB"), ("in_a_row", "sequential 128 KiB")):
            more = instructions(tree, reads, MANY) - instructions(tree, reads, FEW)
            print(f"{tree}: {what}: {more // (MANY - FEW):,} instructions a read", flush=True)


if __name__ == "__main__":
    main()
