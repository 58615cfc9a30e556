# SPDX-License-Identifier: MIT
"""
make truth: record what a real kernel does on our images.

    experiments/kernel/truth.py [--cases smoke|all|GLOB] [--kernel PACKAGE|bzImage]
                                [--again]
                                [--only counts,xfs,instructions,xfs-instructions,digests,symbols,drivers]

Installs what is missing (Debian), makes images with the project's writer, boots them in QEMU and writes
results/kernel/VERSION/matrix.jsonl and matrix-xfs.jsonl (calls and block events), matrix-instructions.jsonl
and matrix-xfs-instructions.jsonl, symbols-encryption.jsonl and symbols-drivers.jsonl (instructions by
symbol), digests.json and layouts/. A case that has a record is not run again: stop and go on at will.
`smoke` records a few cases of each kind afresh, into results/kernel/build/smoke. In the end the simulator
is held against what was recorded.
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
from collections.abc import Callable, Sequence
from fnmatch import fnmatch
from pathlib import Path
from typing import IO, Any

import cases as plans
from cases import Record
from driver_cases import driver_cases
from drivers import record_drivers
from kernels import Kernel, RigError, install_tools, prepare
from machine import HERE, boot, make_initramfs
from plan import NULL_BLK, guest_plan
from symbols import record_symbols, symbol_cases
from volumes import RAW_KEY, Volume, check_after, layout_document, make_volume, same_extents
from xfs import XfsVolume, make_xfs_volumes, xfs_document, xfs_volume

ROOT = HERE.parents[1]
RESULTS = ROOT / "results" / "kernel"
WORK = RESULTS / "build"
REPETITIONS = 3
RECORDINGS = "counts,xfs,instructions,xfs-instructions,digests,symbols,drivers"

SCATTER = "echo scatter 128 > /sys/kernel/debug/readpath_truth/ctl"
"""No two pages of the cache side by side in memory: a bio's vector then holds one page, as the model says."""
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


def record_counts(rig: Rig, recording: Recording) -> None:
    """Calls and block events of the paths on ext4."""
    volumes = [rig.volume(size) for size in _sizes(recording)]
    _record_calls(rig, recording, "counts", volumes, 256, f"ext4 count=/plan/probes key={RAW_KEY.hex()}")


def record_xfs(rig: Rig, recording: Recording) -> None:
    """The same of iomap on XFS, on pages that lie apart."""
    volumes = rig.xfs_volumes(_sizes(recording))
    _record_calls(rig, recording, "xfs", volumes, 512, "xfs count=/plan/probes", SCATTER)


def _sizes(recording: Recording) -> list[int]:
    """Return the block sizes of what is open."""
    return sorted({record["block_size"] for record in recording.open.values()})


def _record_calls(
    rig: Rig,
    recording: Recording,
    name: str,
    volumes: Sequence[Volume | XfsVolume],
    size_mb: int,
    words: str,
    *before: str,
) -> None:
    """One boot: every block size on a null_blk of its own; before: commands ahead of the first case."""
    plan = {"probes": (HERE / "guest" / "probes").read_text(), "ram_mb": "16"}
    script = ["set -e"]
    for number, volume in enumerate(volumes):
        chosen = [record for record in recording.open.values() if record["block_size"] == volume.block_size]
        plan |= guest_plan(chosen, number)
        script += [NULL_BLK.format(number=number, size_mb=size_mb)]
        script += [f"truth copy /dev/vd{'abc'[number]} $device"]
        script += ["ln -sfn /sys/block/${device#/dev/}/queue /queue"]
        script += before if number == 0 else ()
        script += [f"truth cases /plan/cases{number} $device /mnt {words}"]
    plan["run"] = "\n".join(script)
    rig.boot(name, plan, [volume.image for volume in volumes], recording)


def record_instructions(rig: Rig, recording: Recording) -> None:
    """A boot per block size, on the RAM disk of the module; all cases are on the same file system."""
    xfs = any(record.get("filesystem") == "xfs" for record in recording.open.values())
    for size in _sizes(recording):
        chosen = [record for record in recording.open.values() if record["block_size"] == size]
        image = rig.xfs_volumes([size])[0].image if xfs else rig.volume(size).image
        plan = guest_plan(chosen, 0) | {"ram_mb": "512" if xfs else "256"}
        plan["run"] = "\n".join(
            [
                "set -e",
                "truth copy /dev/vda /dev/rtram",
                "ln -sfn /sys/block/rtram/queue /queue",
                *([SCATTER] if xfs else []),
                f"truth cases /plan/cases0 /dev/rtram /mnt {'xfs' if xfs else 'ext4'} time={REPETITIONS}",
            ]
        )
        name = "xfs-instructions" if xfs else "instructions"
        rig.boot(name, plan, [image], recording, icount=True)


def record_by_symbol(rig: Rig, recording: Recording) -> None:
    """A boot per volume under the plugin that counts instructions by symbol."""
    work = rig.work / "symbols"
    record_symbols(rig.kernel, rig.initramfs, work, rig.results, recording, rig.progress.say)


def record_by_driver(rig: Rig, recording: Recording) -> None:
    """The same, a boot per driver of hardware and block size."""
    work = rig.work / "drivers"
    record_drivers(rig.kernel, rig.initramfs, work, rig.results, recording, rig.progress.say)


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
        self._making_xfs = threading.Lock()

    def volume(self, block_size: int) -> Volume:
        """Return the image of a block size, made and checked if it is not there."""
        with self._lock:
            return make_volume(block_size, WORK / "images")

    def xfs_volumes(self, block_sizes: list[int]) -> list[XfsVolume]:
        """Return the XFS images of these block sizes; the kernel makes those that are not there."""
        folder = WORK / "images"

        def ours(size: int, name: str) -> list[list[int]]:
            return layout_document(self.volume(size), name)["extents"]  # type: ignore[return-value]

        def run(plan: dict[str, str], drives: list[Path], take: Callable[[dict[str, Any]], None]) -> None:
            self.progress.say(f"xfs: making {len(drives)} images")
            boot(self.kernel, self.initramfs, plan, drives, self.work / "xfs-images", take, writable=True)

        with self._making_xfs:
            make_xfs_volumes(block_sizes, folder, ours, run)
        return [xfs_volume(folder, size) for size in block_sizes]

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
        xfs = record.get("filesystem") == "xfs"
        if xfs:
            document = xfs_document(xfs_volume(WORK / "images", record["block_size"]), record["layout"])
        elif not file.exists():
            name = f"enc_{record['layout']}" if "encryption" in record else record["layout"]
            document = layout_document(self.volume(record["block_size"]), name)
        if not file.exists():
            file.write_text(json.dumps(document, separators=(",", ":")) + "\n")
        known = json.loads(file.read_text())
        if xfs and known != document:
            raise RigError(f"{file}: not the layout of this image; --again --cases 'xfs*' records anew")
        record["fiemap_extents"] = len(known["extents"])
        if not xfs:
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
    parser.add_argument("--only", default=RECORDINGS, help="which recordings")
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
            ("xfs", "matrix-xfs.jsonl", plans.iomap, record_xfs),
            ("instructions", "matrix-instructions.jsonl", plans.instructions, record_instructions),
            ("symbols", "symbols-encryption.jsonl", symbol_cases, record_by_symbol),
            ("drivers", "symbols-drivers.jsonl", driver_cases, record_by_driver),
            (
                "xfs-instructions",
                "matrix-xfs-instructions.jsonl",
                plans.iomap_instructions,
                record_instructions,
            ),
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
        return code or _validate([results / "matrix.jsonl", results / "matrix-xfs.jsonl"])
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


def _validate(files: list[Path]) -> int:
    """Hold the simulator against what was recorded; return its exit code."""
    there = [file for file in files if file.exists()]
    if not there:
        return 0
    return subprocess.run(
        [Path(sys.executable).with_name("readpath"), "validate", *there], check=False
    ).returncode


if __name__ == "__main__":
    sys.exit(main())
