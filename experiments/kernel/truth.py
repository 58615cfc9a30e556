# SPDX-License-Identifier: MIT
"""
make truth: record what a real kernel does on our images.

    experiments/kernel/truth.py [--cases smoke|all|GLOB] [--kernel PACKAGE|bzImage]
                                [--only counts,instructions,digests,symbols]
                                [--again]

Installs what is missing (Debian), makes images with the project's writer, boots them in QEMU and writes
results/kernel/VERSION/matrix.jsonl (calls and block events), matrix-instructions.jsonl, digests.json,
symbols-encryption.jsonl (instructions by symbol) and layouts/. A case that has a record is not run again:
stop and go on at will. `smoke` records a few cases of each kind afresh, into results/kernel/build/smoke. In
the end the simulator is held against what was recorded.
"""

from __future__ import annotations

import argparse
import fcntl
import json
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from fnmatch import fnmatch
from pathlib import Path
from typing import IO, Any

import cases as plans
from cases import Record
from kernels import Kernel, RigError, install_tools, prepare
from machine import HERE, boot, make_initramfs
from symbols import record_symbols, symbol_cases
from volumes import RAW_KEY, Volume, check_after, layout_document, make_volume, same_extents

from sim.experiment.kernel_case import reads

ROOT = HERE.parents[1]
RESULTS = ROOT / "results" / "kernel"
WORK = RESULTS / "build"
REPETITIONS = 3

NULL_BLK = """
n=/sys/kernel/config/nullb/n{number}; mkdir $n
echo 256 > $n/size; echo 512 > $n/blocksize; echo 1 > $n/memory_backed; echo 2 > $n/queue_mode
echo 0 > $n/completion_nsec; echo 1 > $n/irqmode
echo 1 > $n/submit_queues; echo 1280 > $n/max_sectors; echo 1 > $n/power
device=/dev/n{number}; [ -b $device ] || device=/dev/nullb$(cat $n/index)
"""
# The files are read once under a mount that can be written to, and their digests taken.
DIGESTS = """
mount -t ext4 -o noatime {drive} /mnt; truth addkey /mnt {key}
for file in {files}; do
  truth fiemap /mnt/$file
  digest=$(sha256sum /mnt/$file | cut -c1-64)
  echo "{{\\"file\\":\\"$file\\",\\"block_size\\":{block_size},\\"sha256\\":\\"$digest\\"}}"
done
umount /mnt
"""


class Recording:
    """The records of one file: which are there, and how to add one."""

    def __init__(self, file: Path, wanted: list[Record]) -> None:
        self.file = file
        done = (
            {json.loads(line)["case"] for line in file.read_text().splitlines()} if file.exists() else set()
        )
        self.open = {record["case"]: record for record in wanted if record["case"] not in done}
        self.total = len(wanted)

    def take(self, measured: dict[str, Any]) -> None:
        """Keep a measured case."""
        record = self.open.pop(measured.pop("case"))
        line = json.dumps(record | measured, separators=(",", ":"))
        with self.file.open("a") as stream:
            stream.write(line + "\n")


class Progress:
    """One line on standard error for each step; boots may run side by side."""

    def __init__(self) -> None:
        self._start = time.monotonic()
        self._lock = threading.Lock()

    def say(self, text: str) -> None:
        """Print a line with the time so far."""
        with self._lock:
            print(f"{time.monotonic() - self._start:7.1f} s  {text}", file=sys.stderr, flush=True)


def guest_plan(records: list[Record], number: int) -> dict[str, str]:
    """Return the files below /plan that tell the program inside what to do for these records."""
    files: dict[str, str] = {}

    def shared(kind: str, text: str) -> str:
        """Return the path of a file with this text; equal texts share one."""
        name = next((name for name, known in files.items() if known == text), f"{kind}{number}/{len(files)}")
        files[name] = text
        return f"/plan/{name}"

    lines = []
    for record in records:
        file = f"enc_{record['layout']}" if "encryption" in record else record["layout"]
        ops = {"ext4": "own"}.get(record["path"], record["path"])
        words = [f"name={record['case']}", f"file={file}", f"ops={ops}", f"es={record['es']}"]
        listed = "".join(f"{offset} {length} {descriptor}\n" for offset, length, descriptor in reads(record))
        words.append(f"reads={shared('reads', listed)}")
        advice = "random" if record["access"].endswith("_advrandom") else record.get("fadvise", "normal")
        words.append(f"advice={advice}")
        if "cached_pages" in record:
            ranges = "".join(f"{a * 4096} {(b - a) * 4096}\n" for a, b in _within(record["cached_pages"]))
            words.append(f"cached={shared('cached', ranges)}")
        if "rewritten_blocks" in record:
            size = record["block_size"]
            ranges = "".join(f"{block * size} {size}\n" for block in record["rewritten_blocks"])
            words.append(f"written={shared('written', ranges)}")
        settings = f"/queue/read_ahead_kb {record['read_ahead_kb']}\n"
        if "max_sectors_kb" in record:
            settings += (
                f"/queue/max_sectors_kb {record['max_sectors_kb']}\n/queue/scheduler {record['scheduler']}\n"
            )
        words.append(f"set={shared('set', settings)}")
        lines.append(" ".join(words))
    return files | {f"cases{number}": "\n".join(lines) + "\n"}


def _within(ranges: list[list[int]], most: int = 32) -> list[tuple[int, int]]:
    """Return page ranges cut to what one read of the guest's buffer takes."""
    return [(at, min(at + most, end)) for start, end in ranges for at in range(start, end, most)]


def record_counts(rig: Rig, recording: Recording) -> None:
    """One boot: every block size on a null_blk of its own."""
    sizes = sorted({record["block_size"] for record in recording.open.values()})
    volumes = [rig.volume(size) for size in sizes]
    plan = {"probes": (HERE / "guest" / "probes").read_text(), "ram_mb": "16"}
    script = ["set -e"]
    for number, volume in enumerate(volumes):
        chosen = [record for record in recording.open.values() if record["block_size"] == volume.block_size]
        plan |= guest_plan(chosen, number)
        script += [NULL_BLK.format(number=number), f"truth copy /dev/vd{'abc'[number]} $device"]
        script += ["ln -sfn /sys/block/${device#/dev/}/queue /queue"]
        script += [
            f"truth cases /plan/cases{number} $device /mnt ext4 count=/plan/probes key={RAW_KEY.hex()}"
        ]
    plan["run"] = "\n".join(script)
    rig.boot("counts", plan, [volume.image for volume in volumes], recording)


def record_instructions(rig: Rig, recording: Recording) -> None:
    """A boot per block size, on the RAM disk of the module."""
    for size in sorted({record["block_size"] for record in recording.open.values()}):
        chosen = [record for record in recording.open.values() if record["block_size"] == size]
        plan = guest_plan(chosen, 0) | {"ram_mb": "256"}
        plan["run"] = "\n".join(
            [
                "set -e",
                "truth copy /dev/vda /dev/rtram",
                "ln -sfn /sys/block/rtram/queue /queue",
                f"truth cases /plan/cases0 /dev/rtram /mnt ext4 time={REPETITIONS}",
            ]
        )
        rig.boot("instructions", plan, [rig.volume(size).image], recording, icount=True)


def record_by_symbol(rig: Rig, recording: Recording) -> None:
    """A boot per volume under the plugin that counts instructions by symbol."""
    work = rig.work / "symbols"
    record_symbols(rig.kernel, rig.initramfs, work, rig.results, recording, rig.progress.say)


def check_digests(rig: Rig, sizes: list[int]) -> None:
    """Let the kernel mount our images for writing, read every file, and compare digests and extents."""
    volumes = {size: rig.volume(size) for size in sizes}
    drives, script = [], ["set -e"]
    for number, (size, volume) in enumerate(volumes.items()):
        drive = rig.work / f"mounted-bs{size}.img"
        shutil.copy(volume.image, drive)
        drives.append(drive)
        names = " ".join(path.lstrip("/") for path in volume.digests)
        script.append(
            DIGESTS.format(drive=f"/dev/vd{'abc'[number]}", key=RAW_KEY.hex(), files=names, block_size=size)
        )
    rows: list[dict[str, Any]] = []
    extents: list[list[list[int]]] = []

    def take(document: dict[str, Any]) -> None:
        if "fiemap" in document:
            extents.append(document["extents"])
        elif "sha256" in document:
            rows.append(document)
            rig.progress.say(f"digests: block size {document['block_size']}, {document['file']}")

    plan = {"run": "\n".join(script), "ram_mb": "16"}
    boot(rig.kernel, rig.initramfs, plan, drives, rig.work / "digests", take, writable=True)
    for row, found in zip(rows, extents, strict=True):
        volume = volumes[row["block_size"]]
        row["ours_sha256"] = volume.digests[f"/{row['file']}"]
        row["encrypted"] = row["file"].startswith("enc_")
        row["same_digest"] = row["sha256"] == row["ours_sha256"]
        row["same_extents"] = same_extents(layout_document(volume, row["file"])["extents"], found)  # type: ignore[arg-type]
    for drive in drives:
        check_after(drive)
        drive.unlink()
    if len(rows) != sum(len(volume.digests) for volume in volumes.values()):
        raise RigError(f"{len(rows)} files were read, not all")
    (rig.results / "digests.json").write_text(json.dumps(rows, indent=1) + "\n")
    bad = [row["file"] for row in rows if not (row["same_digest"] and row["same_extents"])]
    if bad:
        raise RigError(f"the kernel reads other bytes or extents than we wrote: {', '.join(bad)}")
    rig.progress.say(
        f"digests: {len(rows)} files read by the kernel, all as we wrote them; e2fsck clean before and after"
    )


class Rig:
    """What all recordings share: the kernel, the initial file system, the volumes, where results go."""

    def __init__(self, kernel: Kernel, progress: Progress, results: Path) -> None:
        self.kernel = kernel
        self.progress = progress
        self.work = WORK / kernel.release
        self.work.mkdir(parents=True, exist_ok=True)
        self.results = results
        (self.results / "layouts").mkdir(parents=True, exist_ok=True)
        self.initramfs = make_initramfs(kernel, self.work)
        self._lock = threading.Lock()

    def volume(self, block_size: int) -> Volume:
        """Return the image of a block size, made and checked if it is not there."""
        with self._lock:
            return make_volume(block_size, WORK / "images")

    def boot(
        self, name: str, plan: dict[str, str], drives: list[Path], recording: Recording, icount: bool = False
    ) -> None:
        """Boot and keep every case that comes out."""

        def take(document: dict[str, Any]) -> None:
            if "case" in document:
                self._finish(document)
                shown = document["case"]
                recording.take(document)
                done = recording.total - len(recording.open)
                self.progress.say(f"{name} {done}/{recording.total}  {shown}")

        for record in recording.open.values():
            self._finish(record)
        boot(self.kernel, self.initramfs, plan, drives, self.work / f"{name}-{len(drives)}", take, icount)

    def _finish(self, record: dict[str, Any]) -> None:
        """Write a record's layout beside it, and tell of its tree in the record."""
        if "layout_file" not in record or "fiemap_extents" in record:
            return
        file = self.results / "layouts" / record["layout_file"]
        if not file.exists():
            name = f"enc_{record['layout']}" if "encryption" in record else record["layout"]
            document = layout_document(self.volume(record["block_size"]), name)
            file.write_text(json.dumps(document, separators=(",", ":")) + "\n")
        known = json.loads(file.read_text())
        record["fiemap_extents"] = len(known["extents"])
        record["tree_depth"] = known["depth"]


def chosen(records: list[Record], word: str) -> list[Record]:
    """Return the cases of "all", of "smoke", or that match a pattern."""
    patterns = {"all": ("*",), "smoke": plans.SMOKE}.get(word, (word,))
    return [record for record in records if any(fnmatch(record["case"], pattern) for pattern in patterns)]


def main() -> int:
    """Record; return an exit code."""
    parser = argparse.ArgumentParser(description="record what a real kernel does on our images")
    parser.add_argument("--cases", default="all", help="all, smoke, or a shell pattern")
    parser.add_argument("--kernel", default="linux-image-amd64", help="a Debian package, or a bzImage")
    parser.add_argument("--only", default="counts,instructions,digests,symbols", help="which recordings")
    parser.add_argument("--again", action="store_true", help="forget the records of these cases first")
    words = parser.parse_args()
    only = words.only.split(",")
    progress = Progress()
    try:
        install_tools()
        lock = _lock()
        kernel = prepare(words.kernel, WORK)
        results = RESULTS / kernel.version
        if words.cases == "smoke":
            results = WORK / "smoke" / kernel.version
            shutil.rmtree(results, ignore_errors=True)
        progress.say(f"kernel {kernel.release}, results in {results}")
        rig = Rig(kernel, progress, results)
        jobs: list[Callable[[], None]] = []
        for kind, file, listed, record in (
            ("counts", "matrix.jsonl", plans.counts, record_counts),
            ("instructions", "matrix-instructions.jsonl", plans.instructions, record_instructions),
            ("symbols", "symbols-encryption.jsonl", symbol_cases, record_by_symbol),
        ):
            if kind not in only:
                continue
            wanted = chosen(listed(), words.cases)
            if words.again:
                _forget(rig.results / file, wanted)
            recording = Recording(rig.results / file, wanted)
            progress.say(f"{kind}: {recording.total} cases, {len(recording.open)} to record")
            if recording.open:
                jobs.append(lambda record=record, recording=recording: record(rig, recording))
        if "digests" in only:
            sizes = [4096] if words.cases == "smoke" else list(plans.BLOCK_SIZES)
            jobs.append(lambda: check_digests(rig, sizes))
        with lock:
            code = _run(jobs)
        return code or _validate(results / "matrix.jsonl")
    except RigError as error:
        print(f"truth: {error}", file=sys.stderr)
        return 2


def _lock() -> IO[str]:
    """Return an open file that no other run has; RigError if another run is on its way."""
    WORK.mkdir(parents=True, exist_ok=True)
    lock = (WORK / "lock").open("w")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        raise RigError("another run is recording here; wait for it, or stop it") from None
    return lock


def _forget(file: Path, wanted: list[Record]) -> None:
    names = {record["case"] for record in wanted}
    if file.exists():
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


def _validate(file: Path) -> int:
    """Hold the simulator against what was recorded; return its exit code."""
    if not file.exists():
        return 0
    return subprocess.run(
        [Path(sys.executable).with_name("readpath"), "validate", file], check=False
    ).returncode


if __name__ == "__main__":
    sys.exit(main())
