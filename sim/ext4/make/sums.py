"""
The checksums of an image that is made (feature metadata_csum): of all that lies in it, set when it is whole.

Left out: the journal's own (a kernel gives the log them at the first mount), metadata_csum_seed.
"""

from __future__ import annotations

from sim.ext4.format.checksums import Checksums
from sim.ext4.format.superblock import SUPERBLOCK_BYTES, SUPERBLOCK_OFFSET, Superblock
from sim.ext4.read.reader import Image
from sim.ext4.store import SparseWriter


def set_checksums(writer: SparseWriter, sb: Superblock, used_inodes: int) -> None:
    """Set every checksum of an image in which inodes 1 to `used_inodes` are in use; sb: its superblock."""
    image, sums = Image(writer), Checksums(sb)
    for number in range(1, used_inodes + 1):
        _sum_inode(writer, image, sums, number)
    size, groups = sb.descriptor_bytes, sb.groups_count
    table = bytearray(writer.read(sb.descriptor_block(0) * sb.block_size, groups * size))
    for group in range(groups):
        found = image.group(group)
        raw = table[group * size : (group + 1) * size]
        sums.block_bitmap(image.read_block(found.block_bitmap), raw)
        sums.inode_bitmap(image.read_block(found.inode_bitmap), raw)
        sums.descriptor(raw, group)
        table[group * size : (group + 1) * size] = raw
    for group in range(groups):
        if sb.has_backup(group):
            start = sb.group_blocks(group).start
            writer.write((start + 1) * sb.block_size, table)
            offset = start * sb.block_size if group else SUPERBLOCK_OFFSET
            block = bytearray(writer.read(offset, SUPERBLOCK_BYTES))
            sums.superblock(block)
            writer.write(offset, block)


def _sum_inode(writer: SparseWriter, image: Image, sums: Checksums, number: int) -> None:
    """Set the checksums of an inode, and of the blocks that are its own."""
    inode, size = image.inode(number), image.block_size
    raw = bytearray(inode.raw_bytes)
    if not any(raw):
        return
    for block in inode.tree.blocks if inode.has_contents else ():
        node = bytearray(image.read_block(block))
        sums.extent_block(node, raw, number)
        writer.write(block * size, node)
    if inode.is_directory:
        for extent in inode.tree.extents:
            for block in range(extent.physical, extent.physical + extent.length):
                names = bytearray(image.read_block(block))
                sums.directory_block(names, raw, number)
                writer.write(block * size, names)
    if inode.raw.xattr_block:
        xattrs = bytearray(image.read_block(inode.raw.xattr_block))
        sums.xattr_block(xattrs, inode.raw.xattr_block)
        writer.write(inode.raw.xattr_block * size, xattrs)
    sums.inode(raw, number)
    size_of = image.superblock.inode_size
    group, index = divmod(number - 1, image.superblock.inodes_per_group)
    writer.write(image.group(group).inode_table * size + index * size_of, raw)
