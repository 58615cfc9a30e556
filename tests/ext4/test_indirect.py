"""Block maps of ext2 and ext3: the way to a block, images of mke2fs, maps that cannot be true."""

from __future__ import annotations

import random
import struct
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from tools import tool

from sim.errors import ImageError
from sim.ext4.check.run import check_image
from sim.ext4.format.indirect import IndirectMap, block_path, blocks_to_boundary, read_map
from sim.ext4.read.reader import Image


def test_the_way_to_a_block() -> None:
    """Blocks of 1 KiB hold 256 pointers: the first and last block of each level."""
    ways = {
        0: (0,),
        11: (11,),
        12: (12, 0),
        267: (12, 255),
        268: (13, 0, 0),
        65_803: (13, 255, 255),
        65_804: (14, 0, 0, 0),
        65_804 + 256**3 - 1: (14, 255, 255, 255),
    }
    assert ways == {block: block_path(block, 256) for block in ways}
    assert [12, 1, 256, 1, 256] == [blocks_to_boundary(block, 256) for block in (0, 11, 12, 267, 268)]


def sparse_file(path: Path, block_size: int, blocks: list[int]) -> bytes:
    """Write a file with data in some blocks; return its contents."""
    source = random.Random(block_size)
    contents = bytearray((max(blocks) + 1) * block_size - 100)
    for block in blocks:
        piece = source.randbytes(block_size)[: len(contents) - block * block_size]
        contents[block * block_size : block * block_size + len(piece)] = piece
    path.write_bytes(contents)
    return bytes(contents)


@pytest.mark.parametrize("kind", ["ext2", "ext3"])
@pytest.mark.parametrize("block_size", [1024, 4096])
def test_images_of_mke2fs_read_back(tmp_path: Path, kind: str, block_size: int) -> None:
    """Contents, holes, blocks of data and blocks of pointers are what debugfs sees; nothing is damaged."""
    folder = tmp_path / "source"
    folder.mkdir()
    per_block = block_size // 4
    far = [*range(20), 12 + per_block - 1, 12 + per_block, 12 + per_block + 3]
    if block_size == 1024:
        far += [12 + per_block + per_block**2, 12 + per_block + per_block**2 + 1]  # three levels
    sets = {"small": [*range(5)], "edge": [*range(12)], "far": far}
    wanted = {name: sparse_file(folder / name, block_size, blocks) for name, blocks in sets.items()}
    path = tmp_path / "made.img"
    command = [tool("mke2fs"), "-q", "-t", kind, "-b", str(block_size), "-d", str(folder), str(path), "24M"]
    subprocess.run(command, check=True, capture_output=True)
    image = Image.open(path)
    for name, contents in wanted.items():
        inode = image.lookup(f"/{name}")
        assert contents == image.read_file(inode, limit_bytes=1 << 30)
        said = subprocess.run(
            [tool("debugfs"), "-R", f"blocks /{name}", str(path)], check=True, capture_output=True, text=True
        )
        assert inode.indirect is not None
        data = [p + i for _, p, length, _ in inode.tree.extents for i in range(length)]
        assert sorted(int(word) for word in said.stdout.split()) == sorted(
            [*data, *inode.indirect.nodes.values()]
        )
    levels = {len(way) for way in image.lookup("/far").indirect.nodes}  # type: ignore[union-attr]
    assert ({1, 2, 3} if block_size == 1024 else {1, 2}) == levels
    assert [] == check_image(image)


def test_a_chain_ends_where_a_block_of_pointers_is_absent() -> None:
    """A hole may lack its blocks of pointers: those that are there are read."""
    mapped = IndirectMap(256, {(12,): 50, (13,): 60, (13, 1): 61}, [])
    assert [(), (50,), (60,), (60, 61), ()] == [mapped.chain(b) for b in (3, 12, 268, 268 + 256, 65_804)]


def _field(pointers: dict[int, int]) -> bytes:
    return struct.pack("<15I", *(pointers.get(slot, 0) for slot in range(15)))


def _reader(nodes: dict[int, dict[int, int]]) -> Callable[[int, str], bytes]:
    def read_block(block: int, _place: str) -> bytes:
        return struct.pack("<256I", *(nodes[block].get(offset, 0) for offset in range(256)))

    return read_block


@pytest.mark.parametrize(
    ("pointers", "nodes", "message"),
    [
        ({0: 1000}, {}, "block 0 points at block 1000"),
        ({12: 50}, {50: {3: 999}}, "block 15 points at block 999"),
        ({12: 50, 13: 51}, {50: {}, 51: {0: 50}}, "visits block 50 twice"),
        ({13: 51}, {51: {0: 51}}, "visits block 51 twice"),
    ],
)
def test_a_map_that_cannot_be_true_is_refused(
    pointers: dict[int, int], nodes: dict[int, dict[int, int]], message: str
) -> None:
    """Pointers out of the device, loops: one line with the inode and the block."""
    with pytest.raises(ImageError, match=message):
        read_map(_field(pointers), _reader(nodes), range(1, 900), 10_000, 1024, "made.img: inode 12")


def test_pointers_beyond_the_end_are_not_looked_at() -> None:
    """A file of 13 blocks: the second pointer of its indirect block may be anything."""
    nodes = {50: {0: 70, 1: 0xFFFF_FFFF}}
    found = read_map(_field({0: 60, 12: 50}), _reader(nodes), range(1, 900), 13, 1024, "x")
    assert [(0, 60, 1, False), (12, 70, 1, False)] == [tuple(extent) for extent in found.extents]
    assert {(12,): 50} == found.nodes
