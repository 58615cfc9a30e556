"""
Taking and giving back blocks and inodes of an image that is there: bitmaps, descriptors, free counts.

New blocks and inodes come from groups whose bitmaps are initialised, first fit. Only the primary superblock
and descriptors are kept up to date, as the kernel does; features go into every copy.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable

from sim.errors import ImageError
from sim.ext4.edit.overlay import OverlayStore
from sim.ext4.format.checksums import Checksums
from sim.ext4.format.descriptor import DESCRIPTOR_BYTES_64BIT, GroupDescriptor
from sim.ext4.format.superblock import SUPERBLOCK_BYTES, SUPERBLOCK_OFFSET
from sim.ext4.read.free_runs import free_runs
from sim.ext4.read.reader import Image

_FREE_BLOCKS_LOW, _FREE_BLOCKS_HIGH = 0x0C, 0x158
_FREE_INODES = 0x10
_INCOMPAT = 0x60
_COMPAT = 0x5C
_RO_COMPAT = 0x64
_GROUP_FREE_BLOCKS, _GROUP_FREE_INODES, _GROUP_UNUSED = (0x0C, 0x2C), (0x0E, 0x2E), (0x1C, 0x32)


class Groups:
    """
    The allocation state of an image, over a store that can be written.

    more: by how many (blocks, inodes) the superblock's free counts are behind until `settle`.

    Raises ImageError for blocks and inodes that are not as they should be: a free block given back would
    spoil the image.
    """

    def __init__(self, image: Image, store: OverlayStore, checksums: Checksums) -> None:
        self._image = image
        self._store = store
        self._checksums = checksums
        self.more = (0, 0)

    # -- pieces of metadata --------------------------------------------------------------------------

    def _descriptor_at(self, group: int) -> int:
        sb = self._image.superblock
        return (sb.first_data_block + 1) * sb.block_size + group * sb.descriptor_bytes

    def _descriptor(self, group: int) -> bytearray:
        return bytearray(
            self._store.read(self._descriptor_at(group), self._image.superblock.descriptor_bytes)
        )

    def _write_descriptor(self, group: int, raw: bytearray) -> None:
        self._checksums.descriptor(raw, group)
        self._store.write(self._descriptor_at(group), raw)

    def _count(self, raw: bytearray, places: tuple[int, int], change: int) -> None:
        """Change a count of a descriptor that lies in two halves."""
        low, high = places
        wide = len(raw) >= DESCRIPTOR_BYTES_64BIT
        value = struct.unpack_from("<H", raw, low)[0] + change
        if wide:
            value += struct.unpack_from("<H", raw, high)[0] << 16
            struct.pack_into("<H", raw, high, value >> 16)
        struct.pack_into("<H", raw, low, value & 0xFFFF)

    def _superblock(self) -> bytearray:
        return bytearray(self._store.read(SUPERBLOCK_OFFSET, SUPERBLOCK_BYTES))

    def _change_totals(self, blocks: int, inodes: int) -> None:
        self.more = self.more[0] + blocks, self.more[1] + inodes

    def settle(self) -> None:
        """
        Bring the superblock's free counts up to date, once and last: e2fsck sets right what a crash leaves.
        """
        if self.more == (0, 0):
            return
        raw = self._superblock()
        free = struct.unpack_from("<I", raw, _FREE_BLOCKS_LOW)[0]
        free |= struct.unpack_from("<I", raw, _FREE_BLOCKS_HIGH)[0] << 32
        free += self.more[0]
        struct.pack_into("<I", raw, _FREE_BLOCKS_LOW, free & 0xFFFF_FFFF)
        struct.pack_into("<I", raw, _FREE_BLOCKS_HIGH, free >> 32)
        inodes = struct.unpack_from("<I", raw, _FREE_INODES)[0] + self.more[1]
        struct.pack_into("<I", raw, _FREE_INODES, inodes)
        self.more = (0, 0)
        self._checksums.superblock(raw)
        self._store.write(SUPERBLOCK_OFFSET, raw)

    def add_features(self, incompat: int, compat: int = 0, ro_compat: int = 0, *, clear: int = 0) -> None:
        """Set feature bits, in the superblock and in its backups; clear: bits of ro_compat to take away."""
        sb = self._image.superblock
        for group in range(sb.groups_count):
            if not sb.has_backup(group):
                continue
            at = SUPERBLOCK_OFFSET if group == 0 else sb.group_blocks(group).start * sb.block_size
            raw = bytearray(self._store.read(at, SUPERBLOCK_BYTES))
            for at_word, more in ((_INCOMPAT, incompat), (_COMPAT, compat), (_RO_COMPAT, ro_compat)):
                struct.pack_into("<I", raw, at_word, struct.unpack_from("<I", raw, at_word)[0] | more)
            kept = struct.unpack_from("<I", raw, _RO_COMPAT)[0] & ~clear
            struct.pack_into("<I", raw, _RO_COMPAT, kept)
            self._checksums.superblock(raw)
            self._store.write(at, raw)

    def _flip(self, bitmap: bytearray, index: int, used: bool, group: int, what: str) -> None:
        """Mark a bit of a group's bitmap; ImageError, naming `what` it stands for, if it is marked so."""
        if bool(bitmap[index >> 3] >> (index & 7) & 1) == used:
            raise ImageError(
                f"{self._image.name}: group {group}",
                f"{what} of the group is {'in use' if used else 'free'} already",
                "an image that is sound (run e2fsck)",
            )
        bitmap[index >> 3] ^= 1 << (index & 7)

    # -- blocks --------------------------------------------------------------------------------------

    def _set_blocks(self, blocks: Iterable[int], used: bool) -> None:
        sb = self._image.superblock
        by_group: dict[int, list[int]] = {}
        for block in blocks:
            group, index = divmod(block - sb.first_data_block, sb.blocks_per_group)
            by_group.setdefault(group, []).append(index)
        for group, indices in by_group.items():
            at = self._image.group(group).block_bitmap * sb.block_size
            bitmap = bytearray(self._store.read(at, sb.block_size))
            for index in indices:
                self._flip(bitmap, index, used, group, f"block {index}")
            self._store.write(at, bitmap)
            raw = self._descriptor(group)
            self._count(raw, _GROUP_FREE_BLOCKS, -len(indices) if used else len(indices))
            self._checksums.block_bitmap(bitmap, raw)
            self._write_descriptor(group, raw)
            self._change_totals(-len(indices) if used else len(indices), 0)

    def free_blocks(self, blocks: Iterable[int]) -> None:
        """Give blocks back."""
        self._set_blocks(blocks, used=False)

    def take_blocks(self, count: int, most_runs: int, place: str) -> list[tuple[int, int]]:
        """
        Take `count` blocks in at most `most_runs` runs of (first block, length), the longest first fit.

        Raises ImageError, naming `place`, if there are none such.
        """
        runs = self.free_runs()
        whole = next((run for run in runs if run[1] >= count), None)
        if whole is not None:
            chosen = [(whole[0], count)]
        else:
            chosen, left = [], count
            for start, length in sorted(runs, key=lambda run: (-run[1], run[0]))[:most_runs]:
                chosen.append((start, min(length, left)))
                left -= chosen[-1][1]
                if not left:
                    break
            if left:
                raise ImageError(place, f"needs {count} blocks in {most_runs} pieces", "more free space")
            chosen.sort()
        self._set_blocks((start + i for start, length in chosen for i in range(length)), used=True)
        return chosen

    def free_runs(self, uninitialised: bool = False) -> list[tuple[int, int]]:
        """Return the free runs as they are now, see sim.ext4.read.free_runs."""
        return free_runs(self._image, uninitialised)

    # -- inodes --------------------------------------------------------------------------------------

    def free_inode(self, number: int) -> None:
        """Give an inode back."""
        group, index = divmod(number - 1, self._image.superblock.inodes_per_group)
        self._set_inode(group, index, used=False)

    def take_inode(self, place: str) -> int:
        """Take a free inode and return its number; ImageError, naming `place`, if there is none."""
        sb = self._image.superblock
        for group in range(sb.groups_count):
            descriptor = self._image.group(group)
            if descriptor.flags & GroupDescriptor.INODE_UNINIT or not descriptor.free_inodes:
                continue
            bitmap = self._store.read(descriptor.inode_bitmap * sb.block_size, sb.block_size)
            for index in range(sb.inodes_per_group):
                number = group * sb.inodes_per_group + index + 1
                if number >= sb.first_inode and not bitmap[index >> 3] >> (index & 7) & 1:
                    self._set_inode(group, index, used=True)
                    return number
        raise ImageError(place, "there is no free inode", "an image with a free inode")

    def _set_inode(self, group: int, index: int, used: bool) -> None:
        sb = self._image.superblock
        at = self._image.group(group).inode_bitmap * sb.block_size
        bitmap = bytearray(self._store.read(at, sb.block_size))
        self._flip(bitmap, index, used, group, f"inode {index + 1}")
        self._store.write(at, bitmap)
        raw = self._descriptor(group)
        self._count(raw, _GROUP_FREE_INODES, -1 if used else 1)
        if used and self._checksums.on:
            # Inodes from the end of the table that were never used: e2fsck does not look at them.
            unused = struct.unpack_from("<H", raw, _GROUP_UNUSED[0])[0]
            if len(raw) >= DESCRIPTOR_BYTES_64BIT:
                unused |= struct.unpack_from("<H", raw, _GROUP_UNUSED[1])[0] << 16
            left = sb.inodes_per_group - index - 1
            self._count(raw, _GROUP_UNUSED, min(0, left - unused))
        self._checksums.inode_bitmap(bitmap, raw)
        self._write_descriptor(group, raw)
        self._change_totals(0, -1 if used else 1)
