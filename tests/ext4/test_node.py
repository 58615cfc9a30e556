"""Which blocks a node of an extent tree may name, against the owners of every block of an image."""

from __future__ import annotations

from pathlib import Path

import pytest

from sim.ext4.check.node import BlockValidity
from sim.ext4.make.mkfs import make_image
from sim.ext4.make.spec import FileSpec, ImageSpec
from sim.ext4.read.reader import Image


@pytest.mark.parametrize("block_size", [1024, 4096])
def test_the_file_systems_own_blocks_are_no_files(tmp_path: Path, block_size: int) -> None:
    """Superblocks and descriptors with their copies, bitmaps, inode tables, journal; several groups."""
    size = 40 << 20 if block_size == 1024 else 150 << 20
    spec = ImageSpec((FileSpec("/f", 9000),), block_size, size, journal_blocks=1024)
    make_image(tmp_path / "v.img", spec)
    image = Image.open(tmp_path / "v.img")
    sb, own = image.superblock, {0}
    for number in range(sb.groups_count):
        found = image.group(number)
        own |= {found.block_bitmap, found.inode_bitmap}
        own |= set(range(found.inode_table, found.inode_table + sb.inode_table_blocks))
        if sb.has_backup(number):
            at = sb.superblock_block(number)
            own |= set(range(at, at + 1 + sb.descriptor_blocks))
    for extent in image.inode(8).tree.extents:
        own |= set(range(extent.physical, extent.physical + extent.length))
    own.add(sb.first_data_block)
    validity = BlockValidity(image)
    assert own == {block for block in range(image.blocks_count) if not validity.valid(block, 1)}
    assert 2 <= sb.groups_count
    for block in sorted(own)[:: len(own) // 200 + 1]:
        before = block - 3
        free = not own.intersection(range(before, before + 3)) and before > sb.first_data_block
        assert free == validity.valid(before, 3)
        assert not validity.valid(before, 4)
    assert not validity.valid(image.blocks_count - 1, 2)
    assert not validity.valid(1 << 40, 1)
