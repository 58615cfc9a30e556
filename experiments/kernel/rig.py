# SPDX-License-Identifier: MIT
"""
What all recordings share: the kernel, its first file system, the volumes, and how a boot fills records.
"""

from __future__ import annotations

import json
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from cases import Record
from commands import RigError
from images import Making, make_images
from kernels import Kernel
from machine import HERE, boot, make_initramfs
from volumes import Volume, layout_document, make_volume
from xfs import KernelVolume, kernel_document, xfs_making, xfs_volume

ROOT = HERE.parents[1]
RESULTS = ROOT / "results" / "kernel"
WORK = RESULTS / "build"
WRITES_ON = (6, 1)
"""The kernel whose writes are recorded: its module knows no other."""


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


class Joint:
    """The recordings of one boot, as one."""

    def __init__(self, parts: Sequence[Recording]) -> None:
        self._parts = parts
        self.total = sum(part.total for part in parts)

    @property
    def open(self) -> dict[str, Record]:
        """The cases that have no record yet."""
        return {name: record for part in self._parts for name, record in part.open.items()}

    def take(self, measured: dict[str, Any]) -> None:
        """Give a measured case to its recording."""
        next(part for part in self._parts if measured["case"] in part.open).take(measured)


class Progress:
    """One line on standard error for each step; boots may run side by side."""

    def __init__(self) -> None:
        self._start = time.monotonic()
        self._lock = threading.Lock()

    def say(self, text: str) -> None:
        """Print a line with the time so far."""
        with self._lock:
            print(f"{time.monotonic() - self._start:7.1f} s  {text}", file=sys.stderr, flush=True)


class Rig:
    """
    What all recordings share: the kernel, the initial file system, the volumes, where results go.

    kind: of the ext4 volumes (volumes.py). own_images: kept apart from other kernels'. module: what the
    module is told besides the size of its RAM disk. words: what the program inside is told besides, for
    cases whose calls are counted.
    """

    kind = "all"
    own_images = False
    module = ""
    words = ""

    def __init__(self, kernel: Kernel, progress: Progress, results: Path) -> None:
        self.kernel = kernel
        self.progress = progress
        self.work = WORK / kernel.release
        self.work.mkdir(parents=True, exist_ok=True)
        self.results = results
        (self.results / "layouts").mkdir(parents=True, exist_ok=True)
        self.initramfs = make_initramfs(kernel, self.work, kernel.numbers == WRITES_ON)
        self.images = (self.work if self.own_images else WORK) / "images"
        self._lock = threading.Lock()
        self._making = threading.RLock()

    @property
    def probes(self) -> str:
        """Return what is counted."""
        return (HERE / "guest" / "probes").read_text()

    def volume(self, block_size: int, kind: str = "") -> Volume:
        """Return the image of a block size, made and checked if it is not there."""
        with self._lock:
            return make_volume(block_size, self.images, kind or self.kind)

    def volumes_with_digests(self, block_sizes: list[int]) -> list[Volume]:
        """Return the volumes of these block sizes whose files the kernel is to read as we wrote them."""
        return [self.volume(size) for size in block_sizes]

    def xfs_volumes(self, block_sizes: list[int]) -> list[KernelVolume]:
        """Return the XFS images of these block sizes; the kernel makes those that are not there."""
        self.make("xfs", block_sizes)
        return [xfs_volume(self.images, size) for size in block_sizes]

    def make(self, kind: str, block_sizes: Sequence[int]) -> None:
        """Let the kernel make the images of a kind that are not there."""
        with self._making:
            self.make_missing([self.making(kind, size) for size in block_sizes])

    def make_missing(self, wanted: Sequence[Making | None]) -> None:
        """Let the kernel make images, in one boot."""

        def start(plan: dict[str, str], drives: list[Path], take: Callable[[dict[str, Any]], None]) -> None:
            self.progress.say(f"making {', '.join(drive.stem.removeprefix('making-') for drive in drives)}")
            boot(self.kernel, self.initramfs, plan, drives, self.work / "images-boot", take, writable=True)

        if missing := [image for image in wanted if image is not None]:
            make_images(missing, start)

    def making(self, kind: str, block_size: int) -> Making | None:
        """Return how an image is made by the kernel, None if it is there; kind: xfs."""
        if kind != "xfs":
            raise RigError(f"the kernel makes no images {kind}")

        def ours(size: int, name: str) -> list[list[int]]:
            return layout_document(self.volume(size), name)["extents"]  # type: ignore[return-value]

        return xfs_making(block_size, self.images, ours)

    def boot(
        self,
        name: str,
        plan: dict[str, str],
        drives: list[Path],
        recording: Recording | Joint,
        icount: bool = False,
    ) -> None:
        """Boot and keep every case that comes out."""
        plan = plan | {"module": self.module}

        def take(document: dict[str, Any]) -> None:
            if "case" in document:
                self.finish(document)
                shown = document["case"]
                recording.take(document)
                done = recording.total - len(recording.open)
                self.progress.say(f"{name} {done}/{recording.total}  {shown}")

        for record in recording.open.values():
            self.finish(record)
        boot(self.kernel, self.initramfs, plan, drives, self.work / f"{name}-{len(drives)}", take, icount)

    def finish(self, record: dict[str, Any]) -> None:
        """Write a record's layout beside it, and tell of its tree in the record."""
        if "layout_file" not in record or "fiemap_extents" in record:
            return
        file = self.results / "layouts" / record["layout_file"]
        ours = self.is_ours(record)
        if not ours or not file.exists():
            document = self.layout(record)
        if not file.exists():
            file.write_text(json.dumps(document, separators=(",", ":")) + "\n")
        known = json.loads(file.read_text())
        if not ours and known != document:
            names = f"{record['tag'].split('_')[0]}*"
            raise RigError(f"{file}: not the layout of this image; --again --cases '{names}' records anew")
        record["fiemap_extents"] = len(known["extents"])
        if "depth" in known:
            record["tree_depth"] = known["depth"]

    def is_ours(self, record: Record) -> bool:
        """Return whether our image writer made the image, so that the layout is always the same."""
        return record.get("filesystem") != "xfs"

    def layout(self, record: Record) -> dict[str, object]:
        """Return the layout of a record's file."""
        size, name = record["block_size"], record["layout"]
        if not self.is_ours(record):
            return kernel_document(xfs_volume(self.images, size), name)
        return layout_document(self.volume(size), f"enc_{name}" if "encryption" in record else name)
