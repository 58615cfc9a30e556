"""
The allocator's geometry and bitmaps, of an image.
"""

from __future__ import annotations

from typing import final

from sim.errors import ImageError
from sim.ext4.format.descriptor import GroupDescriptor
from sim.ext4.format.features import Incompat
from sim.ext4.read.reader import Image
from sim.fs.mballoc.buddy import pack
from sim.fs.mballoc.geometry import BitmapSource, GroupSeed, MbGeometry


@final
class ImageBitmaps(BitmapSource):
    """The block bitmaps of an image; that of a BLOCK_UNINIT group is made as the kernel makes it."""

    def __init__(self, image: Image) -> None:
        """Read nothing yet."""
        self._image = image
        self._own: dict[int, list[tuple[int, int]]] | None = None

    def read(self, group: int) -> bytes:
        """Return a group's bitmap."""
        sb = self._image.superblock
        descriptor = self._image.group(group)
        if sb.has_group_checksums and descriptor.flags & GroupDescriptor.BLOCK_UNINIT:
            return self._made(group)
        return bytes(self._image.read_block(descriptor.block_bitmap))

    def _made(self, group: int) -> bytes:
        """Return the bitmap of a group in which only the file system's own blocks are in use."""
        sb = self._image.superblock
        if self._own is None:
            self._own = _own_runs(self._image)
        bits = bytearray(sb.block_size * 8)
        for start, length in self._own.get(group, []):
            bits[start : start + length] = b"\1" * length
        blocks = len(sb.group_blocks(group))
        bits[blocks:] = b"\1" * (len(bits) - blocks)
        return pack(bits)


def _own_runs(image: Image) -> dict[int, list[tuple[int, int]]]:
    """Return (first, length) in each group of superblocks, descriptors, bitmaps and inode tables."""
    sb = image.superblock
    runs: dict[int, list[tuple[int, int]]] = {}
    for number in range(sb.groups_count):
        descriptor = image.group(number)
        places = [(descriptor.block_bitmap, 1), (descriptor.inode_bitmap, 1)]
        places.append((descriptor.inode_table, sb.inode_table_blocks))
        places += [(own.start, len(own)) for own in sb.own_blocks(number)]
        for first, length in places:
            at = first - sb.first_data_block
            while length:  # a table may go on in the next group
                group, inside = divmod(at, sb.blocks_per_group)
                count = min(length, sb.blocks_per_group - inside)
                runs.setdefault(group, []).append((inside, count))
                at, length = at + count, length - count
    return runs


def geometry_of(image: Image) -> MbGeometry:
    """Return the shape of an image's file system; ImageError for one with bigalloc."""
    sb = image.superblock
    if sb.cluster_blocks != 1:
        raise ImageError(image.name, "has clusters of several blocks", "an image without bigalloc")
    flex_bg = sb.has(Incompat.FLEX_BG)
    return MbGeometry(
        sb.block_size,
        sb.blocks_count,
        sb.first_data_block,
        sb.blocks_per_group,
        flex_bg,
        sb.log_groups_per_flex if flex_bg else 0,
        sb.has_group_checksums,
        sb.reserved_blocks_count,
    )


def seeds_of(image: Image) -> list[GroupSeed]:
    """Return what an image's group descriptors say."""
    found: list[GroupSeed] = []
    for number in range(image.superblock.groups_count):
        descriptor = image.group(number)
        uninit = bool(descriptor.flags & GroupDescriptor.BLOCK_UNINIT)
        found.append(GroupSeed(descriptor.free_blocks, descriptor.block_bitmap, uninit))
    return found
