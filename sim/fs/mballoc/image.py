"""
The allocator's geometry and bitmaps, of an image.
"""

from __future__ import annotations

from typing import final

from sim.errors import ImageError
from sim.ext4.format.descriptor import GroupDescriptor
from sim.ext4.format.features import Incompat
from sim.ext4.read.own_blocks import own_blocks_of
from sim.ext4.read.reader import Image
from sim.fs.mballoc.buddy import pack
from sim.fs.mballoc.geometry import BitmapSource, GroupSeed, MbGeometry


@final
class ImageBitmaps(BitmapSource):
    """The block bitmaps of an image; that of a BLOCK_UNINIT group is made as the kernel makes it."""

    def __init__(self, image: Image) -> None:
        """Read nothing yet."""
        self._image = image
        self._own: dict[int, list[range]] | None = None

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
            self._own = own_blocks_of(self._image)
        bits = bytearray(sb.block_size * 8)
        for run in self._own.get(group, []):
            bits[run.start : run.stop] = b"\1" * len(run)
        blocks = len(sb.group_blocks(group))
        bits[blocks:] = b"\1" * (len(bits) - blocks)
        return pack(bits)


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
