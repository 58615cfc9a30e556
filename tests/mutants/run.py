"""
Do the tests notice? `make mutants` puts one fault after another into a copy of the tree, and runs the tests
that are about it.

A mutant is killed if one of its tests fails, or they take more than --timeout seconds. All named tests must
pass without a fault first. Exit code 0: all killed but those named as equivalent; 1: one survived, or one
that was called equivalent was killed; 2: the list is wrong, or a test does not pass as it is.
"""

from __future__ import annotations

import argparse
import os
import queue
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from mutants import ROOT, Mutant, MutantError, load_mutants

OUTPUT = "mutants.log"
KILLED, SURVIVED, TIMED_OUT = "killed", "SURVIVED", "timed out"
_LEFT_OUT = shutil.ignore_patterns(".*", "*.so", "__pycache__", "*.egg-info")
_LEFT_OUT_OF_RESULTS = {"runs", "images", "sensitivity"}


@dataclass(frozen=True, slots=True)
class Fate:
    """What became of a mutant, and the wall seconds that took."""

    mutant: Mutant
    what: str
    seconds: float

    @property
    def as_it_should(self) -> bool:
        """Whether it was killed, or survived because it is equivalent."""
        return (self.what == SURVIVED) == bool(self.mutant.equivalent)


def run_tests(tree: Path, tests: list[str], timeout_s: float, *options: str) -> int | None:
    """
    Run tests in a copy of the tree; return pytest's exit code, None if they took too long.

    What they say is in the copy's file OUTPUT.
    """
    environ = {**os.environ, "PYTHONPATH": str(tree), "PYTHONHASHSEED": "0"}
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *options, *tests]
    with (tree / OUTPUT).open("w") as said:
        process = subprocess.Popen(
            command, cwd=tree, env=environ, stdout=said, stderr=subprocess.STDOUT, start_new_session=True
        )
        try:
            return process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            return None
        finally:
            with suppress(ProcessLookupError):  # what a test has started goes with it
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def try_mutant(mutant: Mutant, trees: queue.Queue[Path], timeout_s: float) -> Fate:
    """Put the fault into a free copy, run its tests, take it out again."""
    tree, began = trees.get(), time.monotonic()
    path = tree / mutant.file
    original = path.read_bytes()
    try:
        write_source(path, mutant.source(tree).encode())
        code = run_tests(tree, list(mutant.tests), timeout_s)
    finally:
        write_source(path, original)
        trees.put(tree)
    if code not in (None, 0, 1):
        raise MutantError(f"{mutant.name}: its tests do not even load (pytest's exit code {code})")
    what = TIMED_OUT if code is None else KILLED if code else SURVIVED
    return Fate(mutant, what, time.monotonic() - began)


def write_source(path: Path, source: bytes) -> None:
    """Write a module; forget its byte code, which Python would take for the same by time and size."""
    path.write_bytes(source)
    for compiled in (path.parent / "__pycache__").glob(f"{path.stem}.*.pyc"):
        compiled.unlink()


def left_out(folder: str, names: list[str]) -> set[str]:
    """Return what a copy does not need; compiled modules would hide the faults (shutil.copytree())."""
    large = _LEFT_OUT_OF_RESULTS if Path(folder).name == "results" else set()
    return _LEFT_OUT(folder, names) | large.intersection(names)


def check_unharmed(tree: Path, mutants: list[Mutant], timeout_s: float, jobs: int) -> None:
    """Raise MutantError unless the copy is what runs, and all named tests pass in it."""
    shown = subprocess.run(
        [sys.executable, "-c", "import sim; print(sim.__file__)"],
        cwd=tree,
        env={**os.environ, "PYTHONPATH": str(tree)},
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()
    if Path(shown).parent.parent != tree:
        raise MutantError(f"{shown} would run, not the copy in {tree}")
    tests = sorted({test for mutant in mutants for test in mutant.tests})
    at_once = ("-n", str(jobs)) if jobs > 1 else ()
    code = run_tests(tree, tests, timeout_s * len(tests), *at_once)
    if code != 0:
        print(*(tree / OUTPUT).read_text().splitlines()[-20:], sep="\n")
        raise MutantError(f"the tests do not pass as they are (pytest's exit code {code}): mend them first")


def judge(mutants: list[Mutant], jobs: int, timeout_s: float, root: Path = ROOT) -> list[Fate]:
    """
    Try all mutants of the tree at `root`, `jobs` at a time, in their order; return their fates.

    Raises MutantError for a mutant that is none, for tests that are not there, or do not pass as they are.
    """
    for mutant in mutants:
        mutant.source(root)
        if missing := [test for test in mutant.tests if not (root / test.partition("::")[0]).is_file()]:
            raise MutantError(f"{mutant.name}: no test {missing[0]}")
    fates = []
    with tempfile.TemporaryDirectory(prefix="readpath-mutants-") as folder:
        trees: queue.Queue[Path] = queue.Queue()
        for number in range(jobs):
            tree = Path(folder).resolve() / str(number)
            shutil.copytree(root, tree, ignore=left_out)
            if not number:
                check_unharmed(tree, mutants, timeout_s, jobs)
            trees.put(tree)
        pool = ThreadPoolExecutor(jobs)
        try:
            for fate in pool.map(lambda mutant: try_mutant(mutant, trees, timeout_s), mutants):
                because = f" (equivalent: {fate.mutant.equivalent})" if fate.mutant.equivalent else ""
                print(f"{fate.what:9} {fate.seconds:5.1f} s  {fate.mutant.name}{because}", flush=True)
                fates.append(fate)
        finally:
            pool.shutdown(cancel_futures=True)
    return fates


def main() -> int:
    """Run it; return the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("words", nargs="*", help="only mutants whose name or file contains one of these")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--timeout", type=float, default=60, help="seconds for the tests of one mutant")
    options = parser.parse_args()
    began = time.monotonic()
    try:
        mutants = load_mutants()
        if options.words:
            mutants = [m for m in mutants if any(word in m.name or word in m.file for word in options.words)]
        if not mutants:
            raise MutantError(f"no mutant has {' or '.join(options.words)} in its name or file")
        fates = judge(mutants, options.jobs, options.timeout)
    except MutantError as error:
        print(f"mutants: {error}", file=sys.stderr)
        return 2
    wrong = [fate for fate in fates if not fate.as_it_should]
    for fate in wrong:
        told = (
            "survives all of" if fate.what == SURVIVED else "is called equivalent, but was killed by one of"
        )
        print(f"{fate.mutant.file}: {fate.mutant.name}: {told} {' '.join(fate.mutant.tests)}")
    killed = sum(fate.what != SURVIVED for fate in fates)
    equivalent = sum(bool(fate.mutant.equivalent) for fate in fates)
    seconds = time.monotonic() - began
    print(
        f"{len(fates)} mutants, {killed} killed, {equivalent} equivalent, {len(wrong)} wrong; {seconds:.0f} s"
    )
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
