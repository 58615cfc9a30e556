"""
Where a new inode goes (fs/ext4/ialloc.c, Linux 6.1.192): the group by its parent, the first free one in it.

Pure, as sim.fs.mballoc, whose free blocks decide with it. Left out: a journal-less file system's five
seconds in which a deleted inode is not used again (recently_deleted), inode goals, old file systems' Orlov
by a random number for a top directory without a name.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, final

from mypy_extensions import mypyc_attr

from sim.errors import ImageError, InvariantError
from sim.ext4.format.descriptor import GroupDescriptor
from sim.ext4.read.reader import Image
from sim.fs.mballoc.allocator import MbAllocator, NoSpaceError
from sim.fs.mballoc.buddy import FREE, pack, unpack

NO_GROUP: Final = -1
"""A directory in which nothing was made yet (i_last_alloc_group)."""


@mypyc_attr(allow_interpreted_subclasses=True)
class InodeBitmapSource:
    """Where inode bitmaps come from."""

    def read(self, group: int) -> bytes:
        """Return a group's inode bitmap, block_size bytes, a set bit for an inode in use."""
        raise NotImplementedError


@final
class InodeGroup:
    """What a group's descriptor says of its inodes; bitmap: a byte each bit, None until it was read."""

    def __init__(self, free: int, directories: int, bitmap_block: int, uninit: bool) -> None:
        """As the descriptor has them."""
        self.free = free
        self.directories = directories
        self.bitmap_block = bitmap_block
        self.uninit = uninit
        self.bitmap: bytearray | None = None


@final
class Parent:
    """A directory: its inode's number and group, whether those in it are spread (the root, TOPDIR_FL)."""

    def __init__(self, number: int, group: int, spreads: bool) -> None:
        """Nothing was made in it since it is in memory."""
        self.number = number
        self.group = group
        self.spreads = spreads
        self.last_group = NO_GROUP


@final
class NewInode:
    """
    An inode that was free: its number, its group.

    bitmap_read: the inode bitmap's block, if it had to be read, else 0. block_bitmap_made: the group's block
    bitmap was BLOCK_UNINIT and is made, so it changes too.
    """

    def __init__(self, number: int, group: int, bitmap_read: int, block_bitmap_made: bool) -> None:
        """As found."""
        self.number = number
        self.group = group
        self.bitmap_read = bitmap_read
        self.block_bitmap_made = block_bitmap_made


@final
class _Stats:
    """Free inodes, free blocks and directories of a flex group, or of a group (struct orlov_stats)."""

    def __init__(self, free_inodes: int, free_blocks: int, directories: int) -> None:
        self.free_inodes = free_inodes
        self.free_blocks = free_blocks
        self.directories = directories


class InodeAllocator:
    """The inodes of a mounted file system."""

    def __init__(
        self,
        blocks: MbAllocator,
        groups: Sequence[InodeGroup],
        inodes_per_group: int,
        first_inode: int,
        source: InodeBitmapSource,
    ) -> None:
        """Raise InvariantError if there is not one InodeGroup a group. first_inode: s_first_ino."""
        if len(groups) != blocks.geometry.groups:
            raise InvariantError(f"{len(groups)} descriptors for {blocks.geometry.groups} groups")
        self.groups = list(groups)
        self.inodes_per_group = inodes_per_group
        self.first_inode = first_inode
        self._blocks = blocks
        self._source = source

    def new(self, parent: Parent, directory: bool, name_hash: int = 0) -> NewInode:
        """
        Take an inode for a file or a directory in `parent` (__ext4_new_inode).

        name_hash: the half MD4 hash of a directory's name with the volume's seed; needed where `parent`
        spreads. Raises NoSpaceError if no inode is free.
        """
        group = self._orlov(parent, directory, name_hash) if directory else self._other(parent)
        if group < 0:
            raise NoSpaceError
        parent.last_group = group
        for _ in range(len(self.groups)):
            found = self._take(group, directory)
            if found is not None:
                return found
            group = group + 1 if group + 1 < len(self.groups) else 0
        raise NoSpaceError

    def _take(self, number: int, directory: bool) -> NewInode | None:
        """Take a group's first free inode."""
        group = self.groups[number]
        if not group.free:
            return None
        checksums = self._blocks.geometry.descriptor_checksums
        read = 0
        if group.bitmap is None:
            if group.uninit and checksums:
                group.bitmap = bytearray(self._blocks.geometry.bitmap_bits)
                beyond = len(group.bitmap) - self.inodes_per_group
                group.bitmap[self.inodes_per_group :] = b"\1" * beyond
            else:
                read = group.bitmap_block
                group.bitmap = unpack(self._source.read(number))
        at = group.bitmap.find(FREE, 0, self.inodes_per_group)
        inode = number * self.inodes_per_group + at + 1
        if at < 0 or inode < self.first_inode:
            raise ImageError(
                f"group {number}",
                f"{group.free} inodes are free by its descriptor, its bitmap has "
                + ("none" if at < 0 else f"the reserved inode {inode} free"),
                "an image that is sound (run e2fsck)",
            )
        group.bitmap[at] = 1
        group.free -= 1
        group.uninit = False
        if directory:
            group.directories += 1
        block_group = self._blocks.groups.every[number]
        made = checksums and block_group.uninit
        if made:
            self._blocks.groups.wait_bitmap(block_group)
            block_group.uninit = False
        return NewInode(inode, number, read, made)

    def free(self, inode: int, directory: bool) -> int:
        """Give an inode back (ext4_free_inode); return its bitmap's block if that had to be read, else 0."""
        number, at = divmod(inode - 1, self.inodes_per_group)
        group = self.groups[number]
        read = 0
        if group.bitmap is None:
            read = group.bitmap_block
            group.bitmap = unpack(self._source.read(number))
        if group.bitmap[at] == FREE:
            raise InvariantError(f"inode {inode} is freed twice")
        group.bitmap[at] = FREE
        group.free += 1
        if directory:
            group.directories -= 1
        return read

    def is_used(self, inode: int) -> bool:
        """Tell whether an inode is in use; its group's bitmap has to be loaded."""
        number, at = divmod(inode - 1, self.inodes_per_group)
        bitmap = self.groups[number].bitmap
        if bitmap is None:
            raise InvariantError(f"the inode bitmap of group {number} was never loaded")
        return bitmap[at] != FREE

    def block_bitmap(self, number: int) -> int:
        """Return the block of a group's bitmap of blocks."""
        return self._blocks.groups.every[number].bitmap_block

    def packed_bitmap(self, number: int) -> bytes:
        """Return a group's inode bitmap block as it stands; it has to be loaded."""
        bitmap = self.groups[number].bitmap
        if bitmap is None:
            raise InvariantError(f"the inode bitmap of group {number} was never loaded")
        return pack(bitmap)

    # -- which group ---------------------------------------------------------------------------------

    def _stats(self, flex: int) -> _Stats:
        """Return the sums of a flex group (get_orlov_stats)."""
        size = self._blocks.geometry.flex_size
        some = slice(flex * size, (flex + 1) * size)
        groups = self.groups[some]
        free_blocks = sum(group.described_free for group in self._blocks.groups.every[some])
        directories = sum(group.directories for group in groups)
        return _Stats(sum(group.free for group in groups), free_blocks, directories)

    def _other(self, parent: Parent) -> int:
        """Return a file's group: in its parent's flex group or where it last found one (find_group_other)."""
        size = self._blocks.geometry.flex_size
        count = len(self.groups)
        if size == 1:
            return self._other_without_flex(parent)
        first = parent.group - parent.group % size
        starts = [first]
        if parent.last_group != NO_GROUP:
            starts.append(parent.last_group - parent.last_group % size)
        for start in starts:
            for number in range(start, min(start + size, count)):
                if self.groups[number].free:
                    return number
        return self._orlov(parent, False, 0)

    def _other_without_flex(self, parent: Parent) -> int:
        """Return a file's group where there are no flex groups: the parent's, or by a quadratic hash."""
        count = len(self.groups)
        if self._has_room(parent.group):
            return parent.group
        number = (parent.group + parent.number) % count
        step = 1
        while step < count:
            number = (number + step) % count
            if self._has_room(number):
                return number
            step *= 2
        for distance in range(1, count + 1):
            number = (parent.group + distance) % count
            if self.groups[number].free:
                return number
        return NO_GROUP

    def _has_room(self, number: int) -> bool:
        return bool(self.groups[number].free and self._blocks.groups.every[number].described_free)

    def _orlov(self, parent: Parent, directory: bool, name_hash: int) -> int:
        """Return the group of a directory: spread by its name, or near its parent (find_group_orlov)."""
        geometry = self._blocks.geometry
        size = geometry.flex_size
        flexes = -(-len(self.groups) // size)
        free_inodes = sum(group.free for group in self.groups)
        mean_inodes = free_inodes // flexes
        mean_blocks = self._blocks.free // flexes
        if directory and parent.spreads:
            flex = self._spread(flexes, name_hash % flexes, mean_inodes, mean_blocks)
        else:
            directories = sum(group.directories for group in self.groups)
            per_flex = self.inodes_per_group * size
            most_directories = directories // flexes + per_flex // 16
            least_inodes = max(mean_inodes - per_flex // 4, 1)
            least_blocks = max(mean_blocks - geometry.blocks_per_group * size // 4, 0)
            near = parent.group if parent.last_group == NO_GROUP else parent.last_group
            flex = self._near(flexes, near // size, most_directories, least_inodes, least_blocks)
        if flex >= 0:
            for number in range(flex * size, min((flex + 1) * size, len(self.groups))):
                if self.groups[number].free:
                    return number
        return self._fallback(parent, free_inodes // len(self.groups))

    def _spread(self, flexes: int, first: int, mean_inodes: int, mean_blocks: int) -> int:
        """Return the flex group with the fewest directories of those that have their share of free space."""
        best = NO_GROUP
        fewest = self.inodes_per_group
        for distance in range(flexes):
            flex = (first + distance) % flexes
            stats = self._stats(flex)
            if not stats.free_inodes or stats.directories >= fewest:
                continue
            if stats.free_inodes >= mean_inodes and stats.free_blocks >= mean_blocks:
                best = flex
                fewest = stats.directories
        return best

    def _near(
        self, flexes: int, first: int, most_directories: int, least_inodes: int, least_blocks: int
    ) -> int:
        """Return the first flex group from `first` on that is not full."""
        for distance in range(flexes):
            flex = (first + distance) % flexes
            stats = self._stats(flex)
            if stats.directories >= most_directories or stats.free_inodes < least_inodes:
                continue
            if stats.free_blocks >= least_blocks:
                return flex
        return NO_GROUP

    def _fallback(self, parent: Parent, mean_inodes: int) -> int:
        """Return the first group from the parent's on with its share of free inodes, or with any."""
        for least in (max(mean_inodes, 1), 1):
            for distance in range(len(self.groups)):
                number = (parent.group + distance) % len(self.groups)
                if self.groups[number].free >= least:
                    return number
        return NO_GROUP


@final
class ImageInodeBitmaps(InodeBitmapSource):
    """The inode bitmaps of an image."""

    def __init__(self, image: Image) -> None:
        """Read nothing yet."""
        self._image = image

    def read(self, group: int) -> bytes:
        """Return a group's inode bitmap."""
        return bytes(self._image.read_block(self._image.group(group).inode_bitmap))


def inode_groups_of(image: Image) -> list[InodeGroup]:
    """Return what an image's group descriptors say of inodes."""
    found: list[InodeGroup] = []
    for number in range(image.superblock.groups_count):
        descriptor = image.group(number)
        uninit = bool(descriptor.flags & GroupDescriptor.INODE_UNINIT)
        found.append(
            InodeGroup(descriptor.free_inodes, descriptor.directories, descriptor.inode_bitmap, uninit)
        )
    return found
