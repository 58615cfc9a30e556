# SPDX-License-Identifier: MIT
"""
The XFS images that the iomap path is recorded on, and the cases on them.

The kernel allocates the blocks: a file is made extent by extent with fallocate(2), and wherever our ext4 file
of the same name does not go on where it was, a second file takes a block first. So the extents are as long,
as unwritten and as far apart in the file as those of our layout, at other places. What counts is what FIEMAP
says afterwards; `xfs_repair -n` must find nothing.

XFS reads a file's whole extent list into memory when it is first needed: the cases have it there (es=warm),
for it is metadata of XFS, not of the path.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from commands import RigError, run
from images import Making
from volumes import FILE_BYTES, OTHER_SIZES, TAIL, TAIL_BYTES, layouts

from sim.units import MIB

IMAGE_BYTES = 512 * MIB
UUID = "72656164-7061-7468-2074-727574682121"
FLAG_UNWRITTEN = 0x800
LEAST_EXTENTS = 0.95
"""Of those asked for: in an aged file the allocator joins a few."""
MAKE = "mount -t xfs -o noatime {drive} /mnt\ntruth allocate {operations} /mnt\n"


@dataclass(frozen=True)
class KernelVolume:
    """An image on the host whose files the kernel made. extents: what FIEMAP said of each file."""

    block_size: int
    image: Path
    extents: dict[str, list[list[int]]]


def names(block_size: int) -> list[str]:
    """
    Return the files of an image: those of our ext4 images, and one with a page that is not full.

    Those that leave free blocks between theirs come last: the second file of another would take them.
    """
    last = ("aged4", "odd", "sparse")
    return [TAIL, *(name for name in layouts(block_size) if name not in last), *last]


def file_bytes(name: str) -> int:
    """Return a file's size."""
    return OTHER_SIZES.get(name, FILE_BYTES)


def operations(name: str, extents: list[list[int]], block_size: int) -> Iterator[str]:
    """Yield the lines for `truth allocate` that make a file with extents like these (FIEMAP, in bytes)."""
    end = (0, -1)
    for logical, physical, length, _ in extents:
        if end[1] >= 0 and physical != end[1]:
            at = logical // block_size * block_size
            yield f"allocate gap_{name} {at} {block_size}"
        yield f"allocate {name} {logical} {length}"
        end = logical + length, physical + length
    for start, stop in _written(extents):
        yield f"write {name} {start} {stop - start}"
    yield f"size {name} 0 {file_bytes(name)}"


def _written(extents: list[list[int]]) -> Iterator[tuple[int, int]]:
    """Yield [start, stop) in bytes of what is written."""
    runs: list[list[int]] = []
    for logical, _, length, flags in extents:
        if flags & FLAG_UNWRITTEN:
            continue
        if runs and runs[-1][1] == logical:
            runs[-1][1] += length
        else:
            runs.append([logical, logical + length])
    yield from ((start, stop) for start, stop in runs)


def xfs_making(size: int, folder: Path, ours: Callable[[int, str], list[list[int]]]) -> Making | None:
    """
    Return how the image of a block size is made, None if it is there.

    ours: the extents of our ext4 file of a block size and name.
    """
    if _manifest(folder, size).exists():
        return None
    folder.mkdir(parents=True, exist_ok=True)
    drive = folder / f"making-xfs-bs{size}.img"
    drive.unlink(missing_ok=True)
    with drive.open("wb") as stream:
        stream.truncate(IMAGE_BYTES)
    run("mkfs.xfs", "-q", "-b", f"size={size}", "-d", "agcount=2", "-m", f"uuid={UUID}", drive)
    wanted = {name: ours(size, name) for name in names(size) if name != TAIL}
    wanted[TAIL] = [[0, 0, -(-TAIL_BYTES // size) * size, 0]]
    rows: list[list[list[int]]] = []

    def take(document: dict[str, Any]) -> None:
        if "fiemap" in document:
            rows.append([[a, b, n, flags & FLAG_UNWRITTEN] for a, b, n, flags in document["extents"]])

    def finish() -> None:
        run("xfs_repair", "-n", drive)
        found = dict(zip(names(size), rows, strict=True))
        for name, extents in found.items():
            _check_like(name, size, extents, wanted[name])
        drive.rename(folder / f"xfs-bs{size}.img")
        _manifest(folder, size).write_text(json.dumps(found))

    lines = [line for name in names(size) for line in operations(name, wanted[name], size)]
    shown = "".join(f"truth fiemap /mnt/{name}\n" for name in names(size))
    return Making(drive, "\n".join(lines) + "\n", f"{MAKE}{shown}umount /mnt", take, finish)


def _check_like(name: str, size: int, found: list[list[int]], wanted: list[list[int]]) -> None:
    """Raise RigError unless the same blocks are there and written, in (nearly) as many extents."""
    if _kinds(found) != _kinds(wanted):
        raise RigError(f"XFS, block size {size}: {name} has other blocks than asked for")
    if len(found) < LEAST_EXTENTS * len(wanted):
        raise RigError(f"XFS, block size {size}: {name} has {len(found)} extents, not {len(wanted)}")


def _kinds(rows: list[list[int]]) -> list[list[int]]:
    """Return [start, stop, flags] in bytes of what is written and what is not, wherever it lies."""
    kinds: list[list[int]] = []
    for logical, _, length, flags in rows:
        if kinds and kinds[-1][1:] == [logical, flags & FLAG_UNWRITTEN]:
            kinds[-1][1] += length
        else:
            kinds.append([logical, logical + length, flags & FLAG_UNWRITTEN])
    return kinds


def xfs_volume(folder: Path, size: int) -> KernelVolume:
    """Return an image that was made."""
    extents = json.loads(_manifest(folder, size).read_text())
    return KernelVolume(size, folder / f"xfs-bs{size}.img", extents)


def kernel_document(volume: KernelVolume, name: str) -> dict[str, object]:
    """Return a file's layout as results/kernel keeps it: a FIEMAP list in bytes."""
    return {
        "block_size": volume.block_size,
        "layout": name,
        "file_bytes": file_bytes(name),
        "fields": ["logical", "physical", "length", "flags"],
        "extents": volume.extents[name],
    }


def _manifest(folder: Path, size: int) -> Path:
    return folder / f"xfs-bs{size}.json"
