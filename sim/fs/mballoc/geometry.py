"""
What the allocator is told once: the file system's shape, its tunables, where bitmaps come from.
"""

from __future__ import annotations

from typing import Final, final

from mypy_extensions import mypyc_attr

from sim.units import PAGE_BYTES

OPTIMIZE_SCAN_GROUPS: Final = 16
"""MB_DEFAULT_LINEAR_SCAN_THRESHOLD, groups: from so many on the lists of groups are kept (mballoc.h)."""
FLEX_SIZE_DIR_ALLOC_SCHEME: Final = 4
"""EXT4_FLEX_SIZE_DIR_ALLOC_SCHEME, groups: flex groups of so many keep one for directories (ext4.h)."""
_PREFETCH_FLEX_GROUPS: Final = 8
"""Reads under way at most, each of one flex group (ext4_mb_init_backend)."""
_PREFETCH_GROUPS: Final = 32
"""Bitmaps read ahead at a time without flex groups (ext4_mb_init_backend)."""
_PREFETCH_LIMIT: Final = 4
"""How many times that a search reads ahead at criteria 0 and 1 (ext4_mb_init_backend)."""
_RESERVED_SHARE: Final = 50
"""One block of so many is kept back for write-back's own needs (ext4_set_resv_clusters) ..."""
_RESERVED_MOST: Final = 4096
"""... but no more than these (ext4_set_resv_clusters)."""


@final
class MbGeometry:
    """
    The shape of a file system.

    flex_bg: the feature; log_groups_per_flex: 0 without it. descriptor_checksums: descriptors have them, so
    BLOCK_UNINIT counts. reserved: blocks kept for root (s_r_blocks_count).
    """

    def __init__(
        self,
        block_size: int,
        blocks: int,
        first_data_block: int,
        blocks_per_group: int,
        flex_bg: bool,
        log_groups_per_flex: int,
        descriptor_checksums: bool,
        reserved: int = 0,
    ) -> None:
        """All in blocks but block_size (bytes)."""
        self.block_size = block_size
        self.block_bits = block_size.bit_length() - 1
        self.blocks = blocks
        self.first_data_block = first_data_block
        self.blocks_per_group = blocks_per_group
        self.groups = -(-(blocks - first_data_block) // blocks_per_group)
        self.flex_bg = flex_bg
        self.flex_size = 1 << log_groups_per_flex
        self.descriptor_checksums = descriptor_checksums
        self.reserved = reserved
        self.orders = self.block_bits + 2
        """MB_NUM_ORDERS: a buddy is at most 2^(orders - 1) blocks."""
        self.bitmap_bits = block_size * 8
        self.blocks_per_page = max(PAGE_BYTES // block_size, 1)
        self.groups_per_page = max(self.blocks_per_page // 2, 1)
        """A group has two blocks in the buddy cache: its bitmap and its buddies."""

    def group_of(self, block: int) -> int:
        """Return the group of a block."""
        return (block - self.first_data_block) // self.blocks_per_group

    def offset_of(self, block: int) -> int:
        """Return the place of a block in its group."""
        return (block - self.first_data_block) % self.blocks_per_group

    def first_of(self, group: int) -> int:
        """Return the first block of a group."""
        return self.first_data_block + group * self.blocks_per_group


@final
class MbTunables:
    """
    The allocator's settings, as Linux 6.1 sets them: /sys/fs/ext4/DEVICE/mb_*, and mb_optimize_scan.

    rotational: the device says that it turns (queue/rotational). reads_inline: a bitmap that is read ahead
    is there when its read was submitted (a RAM disk without queue). cpus: of the machine.
    """

    def __init__(
        self, geometry: MbGeometry, rotational: bool = False, reads_inline: bool = False, cpus: int = 1
    ) -> None:
        """Take the defaults for a file system of this shape."""
        self.max_to_scan = 200
        self.min_to_scan = 10
        self.order2_reqs = 2
        self.stream_request = 16
        self.group_prealloc = 512
        self.max_inode_prealloc = 512
        self.max_linear_groups = 4 if rotational else 0
        self.optimize_scan = geometry.groups >= OPTIMIZE_SCAN_GROUPS
        prefetch = _PREFETCH_GROUPS
        if geometry.flex_bg:
            prefetch = _PREFETCH_FLEX_GROUPS * geometry.flex_size
        self.prefetch = min(prefetch, geometry.groups)
        self.prefetch_limit = min(_PREFETCH_LIMIT * self.prefetch, geometry.groups)
        self.reads_inline = reads_inline
        self.cpus = cpus
        self.reserved = min(geometry.blocks // _RESERVED_SHARE, _RESERVED_MOST)


@mypyc_attr(allow_interpreted_subclasses=True)
class BitmapSource:
    """Where block bitmaps come from."""

    def read(self, group: int) -> bytes:
        """
        Return a group's block bitmap, block_size bytes, a set bit for a block in use, from the lowest bit on.

        For a group marked BLOCK_UNINIT it is the bitmap that the kernel would make (ext4_init_block_bitmap).
        """
        raise NotImplementedError


@final
class GroupSeed:
    """What a group's descriptor says: its free blocks, where its bitmap lies, whether it is BLOCK_UNINIT."""

    def __init__(self, free: int, bitmap_block: int, uninit: bool) -> None:
        """As the descriptor has them."""
        self.free = free
        self.bitmap_block = bitmap_block
        self.uninit = uninit
