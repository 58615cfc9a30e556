"""
The frame of an image being made: block groups, their fixed metadata, counters and bitmaps.

Chosen features: no journal, no checksums, flex_bg (so that bitmaps and inode tables may lie anywhere and
need not cut long files), sparse superblock backups; fewer of them (sparse_super2) where a recorded layout has
blocks in their places. Linux mounts such an image read-write.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from sim.errors import ConfigError
from sim.ext4.format.descriptor import GroupDescriptor
from sim.ext4.format.features import Compat, Incompat, RoCompat
from sim.ext4.format.superblock import (
    BLOCK_SIZES,
    MOST_GROUP_BLOCKS,
    SUPERBLOCK_OFFSET,
    Superblock,
)
from sim.ext4.make.allocator import Allocator
from sim.ext4.make.content import named_key
from sim.ext4.store import SparseWriter

MOST_BLOCKS = 1 << 28
"""Of a device that is made, 1 TiB in blocks of 4 KiB: its bitmaps take a second and 300 MiB of memory."""
INODE_BYTES = 256
SPARE_INODES = 16
_LEAST_TAIL_BLOCKS = 64
"""A last group with less room than this behind its metadata is left off, as mke2fs does."""
_CRC32C = 1
"""The one kind of checksums of metadata that there is (s_checksum_type)."""
_EPOCH_S = 1_500_000_000
_EPOCH_SPREAD_S = 1 << 27


def plan_superblock(
    place: str,
    block_size: int,
    size_bytes: int,
    inodes: int,
    seed: int,
    encrypted: bool,
    ea_inodes: bool = False,
) -> Superblock:
    """
    Return the superblock for a device of `size_bytes` with at least `inodes` inodes; free counts are 0.

    ConfigError, naming `place`, on a block size or a device that cannot be used.
    """
    if block_size not in BLOCK_SIZES:
        raise ConfigError(f"{place}: block_size", f"{block_size}", ", ".join(map(str, BLOCK_SIZES)))
    blocks = size_bytes // block_size
    if not 64 <= blocks <= MOST_BLOCKS:
        raise ConfigError(f"{place}: size", f"{blocks} blocks of {block_size} bytes", "64 to 2^28 blocks")
    first = 1 if block_size == 1024 else 0
    per_group = min(8 * block_size, MOST_GROUP_BLOCKS)
    time_s = _EPOCH_S + int.from_bytes(named_key(seed, "time")[:8], "little") % _EPOCH_SPREAD_S
    sb = Superblock(
        inodes_count=0,
        blocks_count_lo=blocks,
        first_data_block=first,
        log_block_size=BLOCK_SIZES.index(block_size),
        log_cluster_size=BLOCK_SIZES.index(block_size),
        blocks_per_group=per_group,
        clusters_per_group=per_group,
        inodes_per_group=1,
        write_time_s=time_s,
        last_check_s=time_s,
        mkfs_time_s=time_s,
        compat=int(Compat.EXT_ATTR),
        incompat=int(
            Incompat.FILETYPE
            | Incompat.EXTENTS
            | Incompat.FLEX_BG
            | (Incompat.ENCRYPT if encrypted else Incompat(0))
            | (Incompat.EA_INODE if ea_inodes else Incompat(0))
        ),
        ro_compat=int(RoCompat.SPARSE_SUPER | RoCompat.LARGE_FILE | RoCompat.EXTRA_ISIZE),
        uuid=named_key(seed, "uuid")[:16],
        hash_seed=named_key(seed, "hash")[:16],
        log_groups_per_flex=4,
    )
    last = sb.groups_count - 1
    overhead = 1 + sb.descriptor_blocks if sb.has_backup(last) else 0
    if last and len(sb.group_blocks(last)) < overhead + _LEAST_TAIL_BLOCKS:
        sb = replace(sb, blocks_count_lo=sb.group_blocks(last).start)
    each = _inodes_per_group(place, sb, inodes)
    return replace(sb, inodes_per_group=each, inodes_count=each * sb.groups_count)


def with_checksums(superblock: Superblock) -> Superblock:
    """Return the superblock of a file system with metadata_csum: CRC-32C is the one kind there is."""
    return replace(
        superblock, ro_compat=superblock.ro_compat | int(RoCompat.METADATA_CSUM), checksum_type=_CRC32C
    )


def _inodes_per_group(place: str, sb: Superblock, inodes: int) -> int:
    """Return how many inodes a group has, for at least `inodes` and some to spare in all."""
    per_group = -(-(inodes + SPARE_INODES) // sb.groups_count)
    # Whole table blocks, and whole bytes of the bitmap.
    step = max(8, sb.block_size // INODE_BYTES)
    per_group = max(-(-per_group // step) * step, 16)
    if per_group > 8 * sb.block_size:
        raise ConfigError(
            place, f"{inodes} inodes in {sb.groups_count} groups", "a larger image, or fewer files"
        )
    return per_group


def clear_of_backups(superblock: Superblock, runs: Sequence[tuple[int, int]]) -> Superblock:
    """
    Return the superblock with backups in other groups, if blocks that must be free for files would hold one.

    runs: (start, length) of those blocks. Then the image has sparse_super2: two backups at most, in the first
    and last of the groups that would have had one and are clear; none if none is. Else nothing changes.
    """
    groups = [group for group in range(1, superblock.groups_count) if superblock.has_backup(group)]
    clear = []
    for group in groups:
        begin = superblock.group_blocks(group).start
        end = begin + 1 + superblock.descriptor_blocks
        if not any(start < end and start + length > begin for start, length in runs):
            clear.append(group)
    if len(clear) == len(groups):
        return superblock
    first, last = (clear[0], clear[-1]) if clear else (0, 0)
    backups = struct.pack("<2I", first, last if last != first else 0)
    return replace(superblock, compat=superblock.compat | Compat.SPARSE_SUPER2, backup_groups=backups)


class Frame:
    """The groups of an image being made, and the allocator of what is free in them."""

    def __init__(self, place: str, superblock: Superblock) -> None:
        self.place = place
        self.superblock = superblock
        self.allocator = Allocator(range(superblock.first_data_block, superblock.blocks_count))
        self._bitmaps: list[tuple[int, int]] = []
        self.inode_tables: list[int] = []
        for group in range(superblock.groups_count):
            if superblock.has_backup(group):
                start = superblock.group_blocks(group).start
                self.allocator.reserve(start, 1 + superblock.descriptor_blocks, f"{place}: group {group}")
        self.first_free = superblock.group_blocks(0).start + 1 + superblock.descriptor_blocks
        """The first block behind the superblock and the group descriptors, which lie where they must."""

    def place_tables(self) -> None:
        """Give every group its bitmaps and inode table, in the first free blocks: after absolute layouts."""
        sb = self.superblock
        groups = range(sb.groups_count)
        bitmaps = [self._one(1) for _ in range(2 * len(groups))]
        self._bitmaps = [(bitmaps[group], bitmaps[group + len(groups)]) for group in groups]
        self.inode_tables = [self._one(sb.inode_table_blocks) for _group in groups]

    def _one(self, length: int) -> int:
        """Take one run that must not be cut."""
        runs = self.allocator.take(length, f"{self.place}: metadata")
        if len(runs) > 1:
            raise ConfigError(
                f"{self.place}: metadata", f"no {length} free blocks in a row", "a larger image"
            )
        return runs[0][0]

    def inode_offset(self, number: int) -> int:
        """Return the byte at which an inode lies."""
        group, index = divmod(number - 1, self.superblock.inodes_per_group)
        return self.inode_tables[group] * self.superblock.block_size + index * INODE_BYTES

    def write(self, writer: SparseWriter, used_inodes: int, directory_inodes: list[int]) -> Superblock:
        """
        Write superblocks, descriptors and bitmaps: inodes 1 to `used_inodes` are in use.

        Returns the superblock with its free counts.
        """
        sb = self.superblock
        used = self._used_blocks()
        per_group = sb.inodes_per_group
        directories = np.bincount([(n - 1) // per_group for n in directory_inodes], minlength=sb.groups_count)
        descriptors = []
        for group, (block_bitmap, inode_bitmap) in enumerate(self._bitmaps):
            blocks = sb.group_blocks(group)
            mine = used[blocks.start : blocks.stop]
            inodes_used = min(max(used_inodes - group * per_group, 0), per_group)
            descriptors.append(
                GroupDescriptor(
                    block_bitmap,
                    inode_bitmap,
                    self.inode_tables[group],
                    len(mine) - int(np.count_nonzero(mine)),
                    per_group - inodes_used,
                    int(directories[group]),
                    GroupDescriptor.INODE_ZEROED,
                )
            )
            self._write_bitmap(writer, block_bitmap, mine)
            self._write_bitmap(writer, inode_bitmap, np.arange(per_group) < inodes_used)
        table = b"".join(descriptor.encode() for descriptor in descriptors)
        sb = replace(
            sb,
            free_blocks_lo=self.allocator.free_blocks,
            free_inodes_count=sb.inodes_count - used_inodes,
        )
        for group in range(sb.groups_count):
            if sb.has_backup(group):
                start = sb.group_blocks(group).start
                offset = SUPERBLOCK_OFFSET if group == 0 else start * sb.block_size
                writer.write(offset, replace(sb, group_number=group).encode())
                writer.write((start + 1) * sb.block_size, table)
        return sb

    def _used_blocks(self) -> npt.NDArray[np.bool_]:
        used = np.ones(self.superblock.blocks_count, dtype=np.bool_)
        for start, end in self.allocator.free_runs:
            used[start:end] = False
        return used

    def _write_bitmap(self, writer: SparseWriter, block: int, bits: npt.NDArray[np.bool_]) -> None:
        # Bits beyond the last block or inode are set, so that no one allocates them.
        size = self.superblock.block_size
        padded = np.ones(8 * size, dtype=np.bool_)
        padded[: len(bits)] = bits
        writer.write(block * size, np.packbits(padded, bitorder="little").tobytes())


def overhead_blocks(superblock: Superblock) -> int:
    """Return how many blocks superblocks, descriptors, bitmaps and inode tables take."""
    backups = sum(superblock.has_backup(group) for group in range(superblock.groups_count))
    each = 2 + superblock.inode_table_blocks
    return backups * (1 + superblock.descriptor_blocks) + superblock.groups_count * each
