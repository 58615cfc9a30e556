"""
Damaged and foreign images: one ImageError each, never a traceback, a hang or runaway memory.
"""

from __future__ import annotations

import json
import math
import struct
import tracemalloc
from pathlib import Path

import pytest
from ext4_samples import check_bytes, check_outcome, metadata_ranges, outcome, read_everything
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sim.errors import ImageError
from sim.ext4.format.superblock import looks_like_superblock
from sim.ext4.read.reader import Image
from sim.ext4.store import MemoryStore, MmapStore

MUTATIONS = Path(__file__).parents[1] / "data" / "ext4" / "mutations.jsonl"


def _inode_offset(data: bytes, path: str) -> int:
    image = Image(MemoryStore(data))
    number = image.lookup(path).number
    return image.group(0).inode_table * image.block_size + (number - 1) * image.superblock.inode_size


def _tree_block(data: bytes, path: str) -> int:
    image = Image(MemoryStore(data))
    return image.lookup(path).tree.blocks[0] * image.block_size


def _damaged(data: bytes, offset: int, new: bytes) -> bytearray:
    changed = bytearray(data)
    changed[offset : offset + len(new)] = new
    return changed


SUPERBLOCK_DAMAGE = {
    "magic": (0x38, "<H", 0x1234, "this is no ext4 image"),
    "block size code": (0x18, "<I", 7, "block size code is 7"),
    "huge block size code": (0x18, "<I", 0xFFFFFFFF, "block size code"),
    "blocks": (0x04, "<I", 0xFFFFFFFF, "inodes"),
    "no blocks": (0x04, "<I", 0, "0 blocks"),
    "inodes": (0x00, "<I", 0xFFFFFFFF, "4294967295 inodes"),
    "inodes per group": (0x28, "<I", 0, "0 inodes per group"),
    "blocks per group": (0x20, "<I", 0, "0 blocks per group"),
    "inode size": (0x58, "<H", 100, "inode size is 100"),
    "first block": (0x14, "<I", 9, "first data block is 9"),
    "revision": (0x4C, "<I", 0, "revision is 0"),
    "needs recovery": (0x60, "<I", 0x46, "needs_recovery; run e2fsck"),
    "mmp": (0x60, "<I", 0x142, "unsupported feature: mmp"),
    "bigalloc": (0x64, "<I", 0x203, "unsupported feature: bigalloc"),
    "of the future": (0x60, "<I", 0x80000042, "unsupported feature: bit 0x80000000"),
    "descriptor size": (0x60, "<I", 0xC2, "descriptor size is 0"),
}


@pytest.mark.parametrize("name", SUPERBLOCK_DAMAGE)
def test_damaged_superblock(small_images: dict[int, bytes], name: str) -> None:
    """Every field of the superblock on which the rest relies is judged, and named when wrong."""
    offset, code, value, words = SUPERBLOCK_DAMAGE[name]
    with pytest.raises(ImageError, match=words):
        Image(MemoryStore(_damaged(small_images[1024], 1024 + offset, struct.pack(code, value))))


@pytest.mark.parametrize("length", [0, 1, 1024, 2047, 2048, 200_000])
def test_truncated_image(small_images: dict[int, bytes], length: int) -> None:
    """An image cut short is refused when it is opened."""
    with pytest.raises(ImageError):
        Image(MemoryStore(small_images[1024][:length]))


def test_unreadable_files(tmp_path: Path) -> None:
    """An empty file, a directory and no file at all are ImageErrors that name the path."""
    (tmp_path / "empty").touch()
    for name in ("empty", "missing", "."):
        with pytest.raises(ImageError, match="cannot be read"):
            MmapStore(tmp_path / name)


INODE_DAMAGE = {
    "size": (0x6C, struct.pack("<I", 0x7FFFFFFF), "/plain", "the size is"),
    "large size": (0x6C, struct.pack("<I", 0x10), "/plain", "too many for memory"),
    "indirect": (0x20, struct.pack("<I", 0), "/plain", "block 0 points at block 127754"),
    "inline data": (0x20, struct.pack("<I", 0x10080000), "/plain", "inline_data"),
    "extra size": (0x80, struct.pack("<H", 1000), "/plain", "extra size is 1000"),
    "extent magic": (0x28, b"\0\0", "/plain", "extent magic is 0x0000"),
    "too many entries": (0x2A, struct.pack("<H", 5), "/plain", "5 of 4 extent entries"),
    "depth": (0x2E, struct.pack("<H", 9), "/plain", "extent depth is 9"),
    "extent beyond the device": (0x3C, struct.pack("<I", 255), "/plain", "physical block 255"),
    "xattr block": (0x68, struct.pack("<I", 0xFFFFFF), "/noted", "xattr block: points at block 16777215"),
    "foreign xattr block": (0x68, struct.pack("<I", 1), "/noted", "xattr magic"),
    "xattr value": (0xA6, struct.pack("<H", 0x4000), "/noted", "at offset 16384"),
}


@pytest.mark.parametrize("name", INODE_DAMAGE)
def test_damaged_inode(small_images: dict[int, bytes], name: str) -> None:
    """What an inode says about its contents and xattrs is judged before it is followed."""
    offset, new, path, words = INODE_DAMAGE[name]
    data = small_images[1024]
    changed = _damaged(data, _inode_offset(data, path) + offset, new)
    with pytest.raises(ImageError, match=words):
        read_everything(changed)


def test_damaged_leaf_block(small_images: dict[int, bytes]) -> None:
    """A leaf that claims another depth than its parent gave it is refused: no walk can run on."""
    data = small_images[1024]
    with pytest.raises(ImageError, match="the node's depth is 1"):
        read_everything(_damaged(data, _tree_block(data, "/dir/deep") + 6, b"\1\0"))


def test_record_length_zero(small_images: dict[int, bytes]) -> None:
    """A directory record of length 0 ends the reading, not the reader's patience."""
    data = small_images[1024]
    image = Image(MemoryStore(data))
    root = image.inode(2).tree.extents[0].physical * 1024
    with pytest.raises(ImageError, match="record of 0 bytes"):
        read_everything(_damaged(data, root + 4, b"\0\0"))


def test_directory_loop(small_images: dict[int, bytes]) -> None:
    """A directory that contains itself is told, not walked for ever."""
    data = small_images[1024]
    image = Image(MemoryStore(data))
    directory = image.lookup("/dir")
    sub = image.lookup("/dir/sub").number
    block = directory.tree.extents[0].physical * 1024
    at = data.index(struct.pack("<I", sub), block + 24)
    with pytest.raises(ImageError, match="was met before"):
        read_everything(_damaged(data, at, struct.pack("<I", directory.number)))


def test_large_holes_cost_no_memory(small_images: dict[int, bytes]) -> None:
    """A file of 1 TiB in an image of 256 KiB is refused by read_file and streamed without a copy."""
    data = small_images[1024]
    image = Image(MemoryStore(_damaged(data, _inode_offset(data, "/plain") + 0x6C, struct.pack("<I", 0x100))))
    inode = image.lookup("/plain")
    tracemalloc.start()
    with pytest.raises(ImageError, match="too many for memory"):
        image.read_file(inode)
    chunks = image.iter_chunks(inode)
    for _ in range(1000):
        next(chunks)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 8 << 20


@pytest.mark.parametrize("name", ["free blocks", "bitmap", "links", "shared block"])
def test_check_tells_contradictions(small_images: dict[int, bytes], name: str) -> None:
    """check finds damage that a reader need not notice; the sound image has none."""
    data = small_images[1024]
    assert check_bytes(data) == []
    image = Image(MemoryStore(data))
    extent = image.lookup("/plain").tree.extents[0]
    bitmap = image.group(0).block_bitmap * 1024 + (extent.physical - 1) // 8
    offset, new, words = {
        "free blocks": (2048 + 0x0C, b"\0\0", "free blocks are recorded"),
        "bitmap": (bitmap, b"\0", "in use are marked free"),
        "links": (_inode_offset(data, "/plain") + 0x1A, b"\7\0", "7 links are recorded, 1 counted"),
        "shared block": (
            _inode_offset(data, "/plain") + 0x3C,
            struct.pack("<I", image.lookup("/dir/odd").tree.extents[0].physical),
            "has another owner",
        ),
    }[name]
    problems = check_bytes(_damaged(data, offset, new))
    assert any(words in problem for problem in problems), problems


def _apply(data: bytes, changes: list[tuple[int, bytes]]) -> bytearray:
    changed = bytearray(data)
    for offset, new in changes:
        changed[offset : offset + len(new)] = new
    return changed[: len(data)]


def test_corpus_of_mutations(small_images: dict[int, bytes]) -> None:
    """Every committed mutation has the outcome recorded with it, for reading and for check."""
    rows = [json.loads(line) for line in MUTATIONS.read_text().splitlines()]
    assert len(rows) >= 60
    for row in rows:
        changes = [(offset, bytes.fromhex(new)) for offset, new in row["changes"]]
        data = _apply(small_images[row["block_size"]], changes)
        assert (row["read"], row["check"]) == (
            outcome(lambda data=data: read_everything(data)),
            check_outcome(data),
        ), row


@settings(
    max_examples=400,
    derandomize=True,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(st.data())
def test_fuzzed_metadata(small_images: dict[int, bytes], data: st.DataObject) -> None:
    """Whatever bytes of the metadata change, reading and check end well or in a ReadpathError."""
    sound = small_images[data.draw(st.sampled_from(sorted(small_images)))]
    ranges = metadata_ranges(sound)
    changes = []
    for _ in range(data.draw(st.integers(1, 4))):
        part = ranges[data.draw(st.integers(0, len(ranges) - 1))]
        offset = data.draw(st.integers(part.start, part.stop - 1))
        changes.append((offset, data.draw(st.binary(min_size=1, max_size=6))))
    changed = _apply(sound, changes)
    outcome(lambda: read_everything(changed))
    outcome(lambda: check_bytes(changed))


@settings(max_examples=60, derandomize=True, deadline=None, database=None)
@given(st.binary(max_size=5000))
def test_fuzzed_nonsense(data: bytes) -> None:
    """Bytes that are no image are refused as such, also behind a right magic."""
    padded = bytearray(data.ljust(4096, b"\0"))
    assert outcome(lambda: Image(MemoryStore(data))) != "fine"
    padded[1024 + 0x38 : 1024 + 0x3A] = b"\x53\xef"
    outcome(lambda: read_everything(padded))


def test_how_seldom_noise_passes_for_a_superblock() -> None:
    """One magic, two revisions and seven block sizes are taken: of noise one in 2^76."""

    def taken(changes: dict[int, bytes]) -> bool:
        raw = bytearray(b"\xa5" * 2048)
        for at, value in {0x38: b"\x53\xef", 0x4C: bytes(4), 0x18: bytes(4), **changes}.items():
            raw[1024 + at : 1024 + at + len(value)] = value
        return looks_like_superblock(MemoryStore(raw), 1024)

    bits = [range(8), *(range(1 << bit, (1 << bit) + 2) for bit in range(3, 32))]
    words = [struct.pack("<I", value) for some in bits for value in some]
    magics = [value for value in range(1 << 16) if taken({0x38: struct.pack("<H", value)})]
    revisions = [word for word in words if taken({0x4C: word})]
    sizes = [word for word in words if taken({0x18: word})]
    assert ([0xEF53], 2, 7) == (magics, len(revisions), len(sizes))
    assert 76 == int(16 + math.log2(2**32 / len(revisions)) + math.log2(2**32 / len(sizes)))
