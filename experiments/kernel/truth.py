# SPDX-License-Identifier: MIT
"""
make truth: record what a real kernel does on our images.

    experiments/kernel/truth.py [--cases smoke|all|random:SEED|GLOB] [--kernel PACKAGE|6.12|7.3|bzImage]
                                [--again] [--only RECORDING,...]

Installs what is missing (Debian), makes images with the project's writer, boots them in QEMU and writes
below results/kernel/VERSION. For kernels before 6.12: matrix.jsonl and matrix-xfs.jsonl (calls and block
events), matrix-instructions.jsonl and matrix-xfs-instructions.jsonl, symbols-encryption.jsonl and
symbols-drivers.jsonl (instructions by symbol); for 6.1 also writes/ (calls and bios of writes). For 6.12
and later: matrix.jsonl, matrix-blocks.jsonl, matrix-fscrypt.jsonl, matrix-verity.jsonl, matrix-xfs.jsonl
and matrix-instructions.jsonl. For all: digests.json and layouts/.

A case that has a record is not run again: stop and go on at will. `smoke` records a few cases of each kind
afresh, into results/kernel/build/smoke; `random:SEED` writes that are drawn at random, beside it. In the end
the simulator is held against what was recorded.
"""

from __future__ import annotations

import argparse
import fcntl
import json
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatch
from functools import partial
from pathlib import Path
from typing import IO, Any

import cases as plans
import later_cases
import write_cases
from cases import BLOCK_SIZES, Record
from commands import RigError
from driver_cases import driver_cases
from kernels import Kernel, install_tools, prepare
from later import ALONE, PARTS, LaterRig, record_parts
from random_writes import random_cases
from recordings import (
    check_digests,
    record_by_driver,
    record_by_symbol,
    record_counts,
    record_instructions,
    record_xfs,
)
from rig import RESULTS, WORK, WRITES_ON, Progress, Recording, Rig
from symbols import symbol_cases
from write_recordings import FOLDER, WriteRecording, record_writes

LATER = (6, 12)
"""The first kernel whose cases are those of later_cases.py."""
LARGE_FOLIOS = (6, 16)
"""The first kernel whose ext4 has large folios."""
DIGESTS = "digests"
JOINT = tuple(kind for kind in PARTS if kind not in ALONE)
FEW = 30
"""JOINT recordings of a later kernel that have no more cases share a boot: it takes as long as 60 of them."""


@dataclass(frozen=True)
class Job:
    """
    One recording.

    kind: its name for --only. file: where its records go, below the results. cases: those there are.
    record: how they are recorded. recording: what keeps them.
    """

    kind: str
    file: str
    cases: list[Record]
    record: Callable[[Any, Any], None]
    recording: Callable[[Path, list[Record]], Recording] = Recording


def jobs_of(version: tuple[int, int], drawn: str = "") -> list[Job]:
    """Return the recordings of a kernel. drawn: the seed of writes drawn at random, these alone."""
    if drawn:
        if version != WRITES_ON:
            raise RigError(
                f"--cases random:{drawn}: writes are recorded on {WRITES_ON[0]}.{WRITES_ON[1]} alone"
            )
        return [Job("writes", FOLDER, random_cases(int(drawn)), record_writes, WriteRecording)]
    if version < LATER:
        writes = write_cases.all_cases() if version == WRITES_ON else []
        return [
            Job("counts", "matrix.jsonl", plans.counts(), record_counts),
            Job("xfs", "matrix-xfs.jsonl", plans.iomap(), record_xfs),
            Job("instructions", "matrix-instructions.jsonl", plans.instructions(), record_instructions),
            Job("symbols", "symbols-encryption.jsonl", symbol_cases(), record_by_symbol),
            Job("drivers", "symbols-drivers.jsonl", driver_cases(), record_by_driver),
            Job(
                "xfs-instructions",
                "matrix-xfs-instructions.jsonl",
                plans.iomap_instructions(),
                record_instructions,
            ),
            Job("writes", FOLDER, writes, record_writes, WriteRecording),
        ]
    record: dict[str, Callable[[Any, Recording], None]] = {"instructions": record_instructions}
    record |= {kind: partial(_record_part, kind) for kind in PARTS}
    old = version < LARGE_FOLIOS
    return [Job(kind, file, of(old), record[kind]) for kind, (file, of) in later_cases.GROUPS.items()]


def seed_of(cases: str) -> str:
    """Return the seed of "random:SEED", "" for other cases; RigError for what is no number."""
    word, _, seed = cases.partition(":")
    if word != "random":
        return ""
    if not seed.isdecimal():
        raise RigError(f"--cases {cases}: a seed is a number")
    return seed


def _record_part(kind: str, rig: LaterRig, recording: Recording) -> None:
    record_parts(rig, {kind: recording})


SMOKE = plans.SMOKE + later_cases.SMOKE + write_cases.SMOKE


def chosen(records: list[Record], word: str) -> list[Record]:
    """Return the cases of "all", of "smoke", or that match a pattern."""
    patterns = {"all": ("*",), "smoke": SMOKE}.get(word, (word,))
    return [record for record in records if any(fnmatch(record["case"], pattern) for pattern in patterns)]


def main() -> int:
    """Record; return an exit code."""
    parser = argparse.ArgumentParser(description="record what a real kernel does on our images")
    parser.add_argument("--cases", default="all", help="all, smoke, random:SEED, or a shell pattern")
    parser.add_argument(
        "--kernel", default="linux-image-amd64", help="a Debian package, 6.12, 7.3, or a bzImage"
    )
    parser.add_argument("--only", default="", help="which recordings, with commas between; all unless said")
    parser.add_argument("--again", action="store_true", help="forget the records of these cases first")
    words = parser.parse_args()
    try:
        install_tools()
        lock = _lock()
        kernel = prepare(words.kernel, WORK)
        with lock:
            return _record(kernel, words)
    except RigError as error:
        print(f"truth: {error}", file=sys.stderr)
        return 2


def _record(kernel: Kernel, words: argparse.Namespace) -> int:
    version = kernel.numbers
    drawn = seed_of(words.cases)
    listed = jobs_of(version, drawn)
    kinds = [job.kind for job in listed] + ([] if drawn else [DIGESTS])
    only = words.only.split(",") if words.only else kinds
    for kind in only:
        if kind not in kinds:
            raise RigError(f"--only {kind}: for Linux {version[0]}.{version[1]} there are {', '.join(kinds)}")
    progress, results = Progress(), RESULTS / kernel.version
    if words.cases == "smoke":
        results = WORK / "smoke" / kernel.version
        shutil.rmtree(results, ignore_errors=True)
    if drawn:
        results, words.cases = WORK / f"random-{drawn}" / kernel.version, "all"
    progress.say(f"kernel {kernel.release}, results in {results}")
    rig = (Rig if version < LATER else LaterRig)(kernel, progress, results)
    running: list[Callable[[], None]] = []
    few: dict[str, Recording] = {}
    for job in listed:
        if job.kind not in only:
            continue
        wanted = chosen(job.cases, words.cases)
        if words.again:
            _forget(results / job.file, wanted)
        recording = job.recording(results / job.file, wanted)
        progress.say(f"{job.kind}: {recording.total} cases, {len(recording.open)} to record")
        if isinstance(rig, LaterRig):
            rig.needs(job.kind, recording)
        if not recording.open:
            continue
        if version >= LATER and job.kind in JOINT and len(recording.open) <= FEW:
            few[job.kind] = recording
        else:
            running.append(lambda job=job, recording=recording: job.record(rig, recording))  # type: ignore[misc]
    if few and isinstance(rig, LaterRig):
        running.insert(0, partial(record_parts, rig, few))
    if DIGESTS in only:
        sizes = [4096] if words.cases == "smoke" else list(BLOCK_SIZES)
        running.append(lambda: check_digests(rig, sizes))
    return _run(running) or _validate(results)


def _lock() -> IO[str]:
    """Return an open file that no other run has; RigError if another run is on its way."""
    WORK.mkdir(parents=True, exist_ok=True)
    lock = (WORK / "lock").open("w")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        raise RigError("another run is recording here; wait for it, or stop it") from None
    return lock


def _forget(where: Path, wanted: list[Record]) -> None:
    names = {record["case"] for record in wanted}
    for file in where.glob("*.jsonl") if where.is_dir() else [where] if where.exists() else []:
        kept = [line for line in file.read_text().splitlines() if json.loads(line)["case"] not in names]
        file.write_text("".join(f"{line}\n" for line in kept))


def _run(jobs: list[Callable[[], None]]) -> int:
    """Run the recordings side by side, two at a time; return 2 if any failed."""
    failed: list[str] = []
    room = threading.Semaphore(2)

    def guarded(job: Callable[[], None]) -> None:
        with room:
            try:
                job()
            except Exception as error:  # a thread's failure must not pass for success
                failed.append(str(error) if isinstance(error, RigError) else repr(error))

    threads = [threading.Thread(target=guarded, args=(job,)) for job in jobs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for text in failed:
        print(f"truth: {text}", file=sys.stderr)
    return 2 if failed else 0


def _validate(results: Path) -> int:
    """Hold the simulator against what was recorded; return its exit code."""
    files: Sequence[Path] = sorted(
        file
        for file in (*results.glob("matrix*.jsonl"), *(results / FOLDER).glob("*.jsonl"))
        if "instructions" not in file.name
    )
    if not files:
        return 0
    return subprocess.run(
        [Path(sys.executable).with_name("readpath"), "validate", *files], check=False
    ).returncode


if __name__ == "__main__":
    sys.exit(main())
