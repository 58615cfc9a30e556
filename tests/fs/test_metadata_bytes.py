"""What each block of metadata holds: inodes, nodes, bitmaps, descriptors of a small image, with checksums."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
from tools import MKE2FS_KINDS, mke2fs

from sim.cache.pages import Mapping
from sim.errors import InvariantError
from sim.ext4.check.run import check_image
from sim.ext4.edit.overlay import OverlayStore
from sim.ext4.format.extents import Extent
from sim.ext4.make.layout import Fragmented
from sim.ext4.make.mkfs import make_image
from sim.ext4.make.spec import FileSpec, ImageSpec
from sim.ext4.read.reader import Image
from sim.ext4.store import MemoryStore
from sim.fs.live_inode import LiveInode
from sim.fs.mballoc.allocator import MbAllocator
from sim.fs.mballoc.image import ImageBitmaps, geometry_of, seeds_of
from sim.fs.metadata_bytes import MetadataBytes
from sim.units import NS_PER_S


class Mounted:
    """An image, its groups, and one file that is open."""

    def __init__(self, store: MemoryStore, path: str) -> None:
        self.store = store
        self.image = image = Image(store)
        mb = MbAllocator(geometry_of(image), seeds_of(image), ImageBitmaps(image))
        self.groups = mb.groups
        on_disk = image.lookup(path)
        sb = image.superblock
        group, at = divmod(on_disk.number - 1, sb.inodes_per_group)
        table = image.group(group).inode_table + at * sb.inode_size // image.block_size
        self.inode = LiveInode(
            on_disk.number,
            table,
            group,
            on_disk.size_bytes,
            on_disk.tree,
            image.block_size,
            Mapping(64, False),
        )
        self.data: dict[int, bytes] = {}
        self.bytes = MetadataBytes(image, self.groups, {on_disk.number: self.inode}, self.data.get)

    def over(self, *blocks: int) -> Image:
        """Return the image with these blocks as they are now; reading it checks their checksums."""
        store, size = OverlayStore(self.store), self.image.block_size
        for block in blocks:
            raw = self.bytes.block(block)
            assert len(raw) == size
            store.write(block * size, raw)
        return Image(store)


@pytest.fixture(params=["made", *MKE2FS_KINDS])
def mounted(request: pytest.FixtureRequest, tmp_path: Path) -> Mounted:
    """Images of every kind: made here, and by mke2fs with and without checksums."""
    path = tmp_path / "image"
    if request.param == "made":
        make_image(path, ImageSpec((FileSpec("/f", 40_000),), 1024))
    else:
        folder = tmp_path / "files"
        folder.mkdir()
        (folder / "f").write_bytes(bytes(range(250)) * 160)
        mke2fs(path, folder, *MKE2FS_KINDS[request.param])
    return Mounted(MemoryStore(path.read_bytes()), "/f")


def test_an_inode_as_it_was_copied(mounted: Mounted) -> None:
    """Size on the disk, times, sectors and the root; what changes behind the copy is not in it."""
    inode, image = mounted.inode, mounted.image
    before = image.inode(inode.number)
    inode.disksize, inode.taken = 50_000, 3
    mounted.bytes.inode_copied(inode, 7)
    inode.disksize = 99_999
    after = mounted.over(inode.table_block).inode(inode.number)
    assert after.size_bytes == 50_000
    sectors = struct.unpack_from("<I", before.raw_bytes, 0x1C)[0] + 3 * image.block_size // 512
    assert struct.unpack_from("<I", after.raw_bytes, 0x1C)[0] == sectors
    seconds = image.superblock.write_time_s
    assert struct.unpack_from("<2I", after.raw_bytes, 0x0C) == (seconds, seconds)
    if len(after.raw_bytes) > 128:
        assert struct.unpack_from("<2I", after.raw_bytes, 0x84) == (7 << 2, 7 << 2)
    assert after.tree.extents == before.tree.extents


def test_time_goes_on(mounted: Mounted) -> None:
    """The clock's seconds are added to the image's last write."""
    mounted.bytes.inode_copied(mounted.inode, 3 * NS_PER_S + 5)
    after = mounted.over(mounted.inode.table_block).inode(mounted.inode.number)
    assert struct.unpack_from("<I", after.raw_bytes, 0x0C)[0] == mounted.image.superblock.write_time_s + 3


def test_a_bitmap_and_its_descriptor(mounted: Mounted) -> None:
    """Blocks that are given out: a bit each; free blocks and the bitmap's checksum in the descriptor."""
    group = mounted.groups.every[0]
    bitmap = mounted.groups.wait_bitmap(group)
    first = bitmap.find(bytes(7)) + 1
    assert first
    was = mounted.image.group(0).free_blocks
    mounted.groups.set_bits(group, bitmap, first, 5)
    block = mounted.image.group(0).block_bitmap
    bits = np.unpackbits(np.frombuffer(mounted.bytes.block(block), np.uint8), bitorder="little")
    assert bits[first - 1 : first + 6].tolist() == [0, 1, 1, 1, 1, 1, 0]
    over = mounted.over(block, mounted.image.superblock.descriptor_block(0))
    assert over.group(0).free_blocks == was - 5
    assert over.group(0).free_inodes == mounted.image.group(0).free_inodes


def test_journalled_data_comes_before_tables(mounted: Mounted) -> None:
    """A block of a file's data is what the file says."""
    mounted.data[9999] = b"data"
    assert mounted.bytes.block(9999) == b"data"


def test_a_block_that_nobody_knows(mounted: Mounted) -> None:
    """An error of the simulator, with the block; so is a table of inodes that nobody has changed."""
    bitmap = mounted.groups.wait_bitmap(mounted.groups.every[0])
    free = mounted.image.superblock.group_blocks(0).start + bitmap.find(0)
    for block in (free, mounted.inode.table_block):
        with pytest.raises(InvariantError, match=f"block {block} is changed, and nobody knows"):
            mounted.bytes.block(block)


@pytest.mark.parametrize("kind", ["made", *MKE2FS_KINDS])
def test_nodes_of_a_tree(kind: str, tmp_path: Path) -> None:
    """A leaf as it is now; its tail has the checksum, which is looked at when it is read."""
    path = tmp_path / "image"
    if kind == "made":
        make_image(path, ImageSpec((FileSpec("/f", 40 * 1024, Fragmented(2)),), 1024))
    else:
        folder = tmp_path / "files"
        folder.mkdir()
        with (folder / "f").open("wb") as file:
            for at in range(20):
                file.seek(at * 8192)
                file.write(4096 * b"x")
        mke2fs(path, folder, *MKE2FS_KINDS[kind])
    mounted = Mounted(MemoryStore(path.read_bytes()), "/f")
    inode, tree = mounted.inode, mounted.image.lookup("/f").tree
    (node,) = tree.blocks
    mounted.bytes.inode_copied(inode, 0)
    assert mounted.over(node, inode.table_block).lookup("/f").tree == tree
    leaf = inode.tree.find(1000).leaf
    leaf.physical[-1] += 500
    last = tree.extents[-1]
    moved = Extent(last.logical, last.physical + 500, last.length, last.unwritten)
    over = mounted.over(node, inode.table_block)
    assert over.lookup("/f").tree.extents == [*tree.extents[:-1], moved]
    problems = [problem for problem in check_image(over) if "checksum" in problem]
    assert problems == []
