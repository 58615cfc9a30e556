# SPDX-License-Identifier: MIT
"""
ext4 images that mke2fs and the recorded kernel make: blocks larger than a page, files with fs-verity.

Pieces lie apart because blocks were taken out of a contiguous file. Where an extent tree's blocks lie is not
known: a layout has the extents that FIEMAP says.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from commands import run
from xfs import FLAG_UNWRITTEN, KernelVolume, file_bytes

from sim.units import PAGE_BYTES

BLOCKS, VERITY = "big", "verity"
FEATURES = {BLOCKS: "^has_journal", VERITY: "^has_journal,verity"}
FILES = {
    BLOCKS: ("contig", "frag1", "frag2", "frag3", "frag4", "frag16", "sparse", "unwritten", "tail"),
    VERITY: ("contig", "tail"),
}
"""Files by kind of image."""
MAKE = "set -e\nmount -t ext4 -o noatime /dev/vda /mnt\ntruth allocate /plan/operations /mnt\n"


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


def made_volume(
    kind: str,
    block_size: int,
    folder: Path,
    boot: Callable[[dict[str, str], list[Path], Callable[[dict[str, Any]], None]], None],
) -> KernelVolume:
    """Return the image of a kind and block size, made if it is not there. boot: run a plan on drives."""
    image = folder / f"{kind}-bs{block_size}.img"
    manifest = image.with_suffix(".json")
    if not manifest.exists():
        folder.mkdir(parents=True, exist_ok=True)
        making = folder / f"making-{image.name}"
        making.unlink(missing_ok=True)
        run("mke2fs", "-q", "-F", "-t", "ext4", "-b", str(block_size), "-O", FEATURES[kind], making, "256M")
        shown = "".join(f"truth fiemap /mnt/{name}\n" for name in FILES[kind])
        plan = {"ram_mb": "16", "operations": "\n".join(operations(kind, block_size)) + "\n"}
        rows: list[list[list[int]]] = []

        def take(document: dict[str, Any]) -> None:
            if "fiemap" in document:
                rows.append([[a, b, n, flags & FLAG_UNWRITTEN] for a, b, n, flags in document["extents"]])

        boot(plan | {"run": f"{MAKE}{shown}umount /mnt"}, [making], take)
        run("e2fsck", "-fn", making)
        making.rename(image)
        manifest.write_text(json.dumps(dict(zip(FILES[kind], rows, strict=True))))
    return KernelVolume(block_size, image, json.loads(manifest.read_text()))
