# SPDX-License-Identifier: MIT
"""
The images of the write recordings: ours with a journal, their variants by tune2fs, and some by mke2fs.

w1024, w2048, w4096: by the project's image writer. -csum: with metadata_csum, so with checksums in the
journal; -nojournal. mke2fs1024, mke2fs4096: empty ones, with the features that mke2fs of Debian 12 gives.
"""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

from commands import RigError, run
from volumes import encryption
from write_volumes import describe_all

from sim.ext4.make.layout import Aged, Contiguous, Fragmented, Layout, Pattern, unwritten
from sim.ext4.make.mkfs import make_image
from sim.ext4.make.spec import FileSpec, ImageSpec
from sim.units import MIB

SEED = 20261127
DEVICE_BYTES = 160 * MIB
JOURNAL_BLOCKS = {1024: 8192, 2048: 4096, 4096: 4096}
"""By block size."""
MKE2FS_SIZES = (1024, 4096)
VARIANTS = {"csum": "metadata_csum", "nojournal": "^has_journal"}
UUID = "11111111-2222-3333-4444-555555555555"
MKE2FS_TIME = "1700000000"
MKE2FS = f"hash_seed={UUID},lazy_itable_init=0,lazy_journal_init=0,nodiscard"
PIECE_BYTES = 65536
"""Of an image, as it is copied inside."""


def files(block_size: int) -> tuple[FileSpec, ...]:
    """Return the files of an image of ours."""
    page_blocks = 4096 // block_size
    pieces = {n: Fragmented(n, gap_blocks=1) for n in (1, 2, 3, 4, 16, 64)}
    zeros: dict[str, tuple[Layout, int]] = {"contig": (Contiguous(), 8 * MIB)}
    zeros |= {f"frag{n}": (layout, 2 * MIB) for n, layout in pieces.items()}
    free = {f"free{n}": (pieces[n], 6 * MIB) for n in (4, 16)}
    others: dict[str, tuple[Layout, int]] = {
        "sparse": (Pattern(f"{page_blocks}d{page_blocks}h"), 2 * MIB),
        "odd": (Pattern("3d1h2d5h1u7d2u"), MIB),
        "unwritten": (unwritten(), 2 * MIB),
        "aged": (Aged(16), 2 * MIB),
    }
    specs = [FileSpec(f"/{name}", size, layout, data=bytes(size)) for name, (layout, size) in zeros.items()]
    specs += [FileSpec(f"/{name}", size, layout) for name, (layout, size) in others.items()]
    specs += [FileSpec(f"/{name}", size, one, data=bytes(size)) for name, (one, size) in free.items()]
    specs.append(FileSpec("/tail", MIB + 1234, Contiguous()))
    secret: dict[str, Layout] = {"contig": Contiguous(), "frag1": pieces[1], "frag4": pieces[4]}
    for name, layout in secret.items():
        specs.append(FileSpec(f"/enc_{name}", MIB, layout, encryption=encryption(block_size, name)))
    return tuple(specs)


def make_write_images(folder: Path, block_sizes: tuple[int, ...] = (1024, 2048, 4096)) -> dict[str, Any]:
    """Make the images that are not there; return what volumes.json says of all. e2fsck must find nothing."""
    folder.mkdir(parents=True, exist_ok=True)
    for size in block_sizes:
        image = folder / f"w{size}.img"
        if not image.exists():
            spec = ImageSpec(
                files(size),
                size,
                size_bytes=DEVICE_BYTES,
                seed=SEED,
                journal_blocks=JOURNAL_BLOCKS[size],
                directories=("/dir",),
            )
            make_image(image, spec)
            run("e2fsck", "-fn", image)
        for variant, feature in VARIANTS.items():
            _vary(image, folder / f"w{size}-{variant}.img", feature)
        if size in MKE2FS_SIZES:
            _mke2fs(folder / f"mke2fs{size}.img", size)
    described = folder / "volumes.json"
    if not described.exists():
        described.write_text(json.dumps(describe_all(folder), separators=(",", ":")) + "\n")
    return dict(json.loads(described.read_text()))


def _vary(image: Path, other: Path, feature: str) -> None:
    if other.exists():
        return
    making = other.with_suffix(".making")
    shutil.copy(image, making)
    run("tune2fs", "-O", feature, making)
    if feature == "metadata_csum":
        try:
            run("e2fsck", "-fyD", making)
        except RigError as error:  # 1: it wrote what was asked for
            if "exit code 1:" not in str(error):
                raise
    run("e2fsck", "-fn", making)
    making.rename(other)


def _mke2fs(image: Path, block_size: int) -> None:
    if image.exists():
        return
    making = image.with_suffix(".making")
    with making.open("wb") as stream:
        stream.truncate(DEVICE_BYTES)
    words = ["mke2fs", "-q", "-F", "-t", "ext4", "-b", str(block_size), "-U", UUID, "-E", MKE2FS, str(making)]
    run(*words, env=os.environ | {"E2FSPROGS_FAKE_TIME": MKE2FS_TIME})
    making.rename(image)


def pieces_of(image: Path) -> list[int]:
    """Return the numbers of the pieces of an image that are not zero."""
    with image.open("rb") as stream:
        read = iter(lambda: stream.read(PIECE_BYTES), b"")
        return [number for number, piece in enumerate(read) if piece.count(0) != len(piece)]
