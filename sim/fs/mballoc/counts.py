"""
How often each kernel function of the allocator ran: what a kernel records with a kprobe a symbol.
"""

from __future__ import annotations

from typing import final


@final
class MbCounts:
    """One counter a symbol, named without its `ext4_` (the two that begin with `mb_` are named in full)."""

    def __init__(self) -> None:
        """Start at none."""
        self.reset()

    def reset(self) -> None:
        """Count anew."""
        self.mb_new_blocks = 0
        self.mb_regular_allocator = 0
        self.mb_find_by_goal = 0
        self.mb_good_group = 0
        self.mb_simple_scan_group = 0
        self.mb_complex_scan_group = 0
        self.mb_use_best_found = 0
        self.mb_mark_diskspace_used = 0
        self.mb_use_inode_pa = 0
        self.mb_new_inode_pa = 0
        self.mb_new_group_pa = 0
        self.mb_load_buddy_gfp = 0
        self.mb_init_group = 0
        self.mb_init_cache = 0
        self.mb_discard_group_preallocations = 0
        self.discard_preallocations = 0
        self.free_blocks = 0
        self.read_block_bitmap_nowait = 0
        self.wait_block_bitmap = 0
        self.mb_find_extent = 0
        self.mb_mark_used = 0
        self.ext_find_goal = 0

    def by_symbol(self) -> dict[str, int]:
        """Return every count that is not 0, by kernel symbol."""
        every = {
            "ext4_mb_new_blocks": self.mb_new_blocks,
            "ext4_mb_regular_allocator": self.mb_regular_allocator,
            "ext4_mb_find_by_goal": self.mb_find_by_goal,
            "ext4_mb_good_group": self.mb_good_group,
            "ext4_mb_simple_scan_group": self.mb_simple_scan_group,
            "ext4_mb_complex_scan_group": self.mb_complex_scan_group,
            "ext4_mb_use_best_found": self.mb_use_best_found,
            "ext4_mb_mark_diskspace_used": self.mb_mark_diskspace_used,
            "ext4_mb_use_inode_pa": self.mb_use_inode_pa,
            "ext4_mb_new_inode_pa": self.mb_new_inode_pa,
            "ext4_mb_new_group_pa": self.mb_new_group_pa,
            "ext4_mb_load_buddy_gfp": self.mb_load_buddy_gfp,
            "ext4_mb_init_group": self.mb_init_group,
            "ext4_mb_init_cache": self.mb_init_cache,
            "ext4_mb_discard_group_preallocations": self.mb_discard_group_preallocations,
            "ext4_discard_preallocations": self.discard_preallocations,
            "ext4_free_blocks": self.free_blocks,
            "ext4_read_block_bitmap_nowait": self.read_block_bitmap_nowait,
            "ext4_wait_block_bitmap": self.wait_block_bitmap,
            "mb_find_extent": self.mb_find_extent,
            "mb_mark_used": self.mb_mark_used,
            "ext4_ext_find_goal": self.ext_find_goal,
        }
        return {symbol: count for symbol, count in every.items() if count}
