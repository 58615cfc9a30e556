"""
What verifying makes a reader read: a file of 1 MiB, in order and at random, under each layout of tags.

Counts of sim.integrity.reading on real images: one file whole on the disk, and one in extents of 16 blocks.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from sim.ext4.edit.files import FileEditor
from sim.ext4.make.layout import Contiguous, Fragmented, Layout
from sim.ext4.make.mkfs import make_image
from sim.ext4.make.spec import FileSpec, ImageSpec
from sim.ext4.read.reader import Image
from sim.integrity.plan import Plan, plan_of
from sim.integrity.protect import protect
from sim.integrity.reading import Reader
from sim.integrity.tagger import Secrets

BLOCK_BYTES = 4096
BLOCKS = 256
RANDOM_READS = 16
_STRIDE = 37
WINDOW = 32
FILES: dict[str, Layout] = {"contiguous": Contiguous(), "extents of 16": Fragmented(16)}
PATTERNS = ("in order", "random")
SAID: tuple[tuple[str, str, str, int], ...] = (
    ("table_all", "checksum", "crc32c", 0),
    ("table_data", "checksum", "crc32c", 0),
    *(("per_extent", "checksum", "crc32c", most) for most in (1, 4, 16, 64, 0)),
    ("per_extent", "checksum", "sha256", 1),
    ("merkle", "checksum", "sha256", 0),
)


@dataclass(frozen=True, slots=True)
class Reads:
    """
    What reads of one pattern came to. tag_blocks, more_blocks: read besides the data. hashed_bytes: of both.
    """

    said: tuple[str, str, str, int]
    file: str
    pattern: str
    when: str
    data_blocks: int
    tag_blocks: int
    more_blocks: int
    hashed_bytes: int


def run_reads() -> Iterator[Reads]:
    """Yield the counts of every layout, file and pattern, each from an empty memory."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.img"
        for said in SAID:
            for name, layout in FILES.items():
                spec = FileSpec("/f", BLOCKS * BLOCK_BYTES, layout)
                make_image(path, ImageSpec((spec,), BLOCK_BYTES, size_bytes=1024 * BLOCK_BYTES, seed=31))
                editor = FileEditor(path)
                protect(editor, Plan.of(*said), Secrets())
                editor.commit()
                image = Image.open(path)
                plan = plan_of(image)
                assert plan is not None
                for pattern in PATTERNS:
                    yield _counts(said, name, pattern, Reader(image, plan, "/f"))


def _counts(said: tuple[str, str, str, int], name: str, pattern: str, reader: Reader) -> Reads:
    reads = [(at, WINDOW) for at in range(0, BLOCKS, WINDOW)]
    if pattern == "random":
        reads = [((5 + _STRIDE * number) % BLOCKS, 1) for number in range(RANDOM_READS)]
    costs = [reader.read(first, blocks) for first, blocks in reads]
    return Reads(
        said,
        name,
        pattern,
        costs[0].when,
        sum(cost.data_blocks for cost in costs),
        sum(len(cost.tag_blocks) for cost in costs),
        sum(cost.more_blocks for cost in costs),
        sum(cost.hashed_bytes for cost in costs),
    )
