# SPDX-License-Identifier: MIT
"""
ext4 images that mke2fs and the recorded kernel make: blocks larger than a page, files with fs-verity.

Pieces lie apart because blocks were taken out of a contiguous file. Where an extent tree's blocks lie is not
known: a layout has the extents that FIEMAP says.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from commands import run
from images import Making
from xfs import FLAG_UNWRITTEN, KernelVolume, file_bytes

from sim.units import PAGE_BYTES

BLOCKS, VERITY = "big", "verity"
FEATURES = {BLOCKS: "^has_journal", VERITY: "^has_journal,verity"}
FILES = {
    BLOCKS: ("contig", "frag1", "frag2", "frag3", "frag4", "frag16", "sparse", "unwritten", "tail"),
    VERITY: ("contig", "tail"),
}
"""Files by kind of image."""
MAKE = "mount -t ext4 -o noatime {drive} /mnt\ntruth allocate {operations} /mnt\n"


def operations(kind: str, block_size: int) -> Iterator[str]:
    """Yield the lines for `truth allocate` that make the files of an image."""
    for name in FILES[kind]:
        yield from _file(name, block_size)
        if kind == VERITY:
            yield f"verity {name} 0 {min(block_size, PAGE_BYTES)}"


def _file(name: str, block_size: int) -> Iterator[str]:
    total = file_bytes(name)
    if name == "unwritten":
        yield f"allocate {name} 0 {total}"
        return
    if name.startswith("frag"):  # a block is taken out after every piece
        piece = int(name.removeprefix("frag")) * block_size
        pieces = -(-total // piece)
        yield f"write {name} 0 {min(pieces * (piece + block_size), total + pieces * block_size)}"
        for at in range(pieces - 2, -1, -1):
            yield f"collapse {name} {at * (piece + block_size) + piece} {block_size}"
        yield f"size {name} 0 {total}"
        return
    yield f"write {name} 0 {-(-total // PAGE_BYTES) * PAGE_BYTES}"
    if name == "sparse":
        for at in range(block_size, total, 2 * block_size):
            yield f"punch {name} {at} {block_size}"
    if total % PAGE_BYTES:
        yield f"size {name} 0 {total}"


def making(kind: str, block_size: int, folder: Path) -> Making | None:
    """Return how the image of a kind and block size is made, None if it is there."""
    image = _image(kind, block_size, folder)
    if image.with_suffix(".json").exists():
        return None
    folder.mkdir(parents=True, exist_ok=True)
    drive = folder / f"making-{image.name}"
    drive.unlink(missing_ok=True)
    run("mke2fs", "-q", "-F", "-t", "ext4", "-b", str(block_size), "-O", FEATURES[kind], drive, "256M")
    rows: list[list[list[int]]] = []

    def take(document: dict[str, Any]) -> None:
        if "fiemap" in document:
            rows.append([[a, b, n, flags & FLAG_UNWRITTEN] for a, b, n, flags in document["extents"]])

    def finish() -> None:
        run("e2fsck", "-fn", drive)
        drive.rename(image)
        image.with_suffix(".json").write_text(json.dumps(dict(zip(FILES[kind], rows, strict=True))))

    shown = "".join(f"truth fiemap /mnt/{name}\n" for name in FILES[kind])
    lines = "\n".join(operations(kind, block_size)) + "\n"
    return Making(drive, lines, f"{MAKE}{shown}umount /mnt", take, finish)


def made_volume(kind: str, block_size: int, folder: Path) -> KernelVolume:
    """Return an image that was made."""
    image = _image(kind, block_size, folder)
    return KernelVolume(block_size, image, json.loads(image.with_suffix(".json").read_text()))


def _image(kind: str, block_size: int, folder: Path) -> Path:
    return folder / f"{kind}-bs{block_size}.img"
