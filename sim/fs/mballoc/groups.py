"""
All groups: which bitmaps are loaded, reading them ahead, and the lists that a search picks a group from.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, final

from sim.errors import ImageError, InvariantError
from sim.fs.mballoc.buddy import FREE, USED, Buddy, pack, unpack
from sim.fs.mballoc.counts import MbCounts
from sim.fs.mballoc.geometry import BitmapSource, GroupSeed, MbGeometry, MbTunables
from sim.fs.mballoc.request import BitmapRead, PreallocSpace

_NOT_LISTED: Final = -1


@final
class FreedExtent:
    """Blocks of a group that were freed by a transaction which has not committed (struct ext4_free_data)."""

    def __init__(self, start: int, count: int, tid: int) -> None:
        """In the group's blocks."""
        self.start = start
        self.count = count
        self.tid = tid


@final
class Group:
    """
    A group (struct ext4_group_info).

    free: blocks that may be taken; fragments: free runs, 0 until the bitmap is loaded. described_free: the
    descriptor's count, which knows nothing of preallocations. bitmap: the block on the disk, a byte each bit,
    None until it was read. buddy: None until made of it.
    """

    def __init__(self, number: int, seed: GroupSeed) -> None:
        """As its descriptor says; nothing is loaded."""
        self.number = number
        self.bitmap_block = seed.bitmap_block
        self.under_way = False
        """Its bitmap is being read, and nobody has waited for it yet."""
        self.uninit = seed.uninit
        self.described_free = seed.free
        self.free = seed.free
        self.fragments = 0
        self.bitmap: bytearray | None = None
        self.buddy: Buddy | None = None
        self.asked = False
        """It was read ahead, or was not worth it (EXT4_GROUP_INFO_BBITMAP_READ_BIT)."""
        self.largest_order = _NOT_LISTED
        self.listed_largest = _NOT_LISTED
        self.mean_order = _NOT_LISTED
        self.preallocs: list[PreallocSpace] = []
        self.freed: list[FreedExtent] = []


class Groups:
    """
    The groups of a file system.

    by_largest, by_mean: the groups by the order of their largest chunk and of their mean free run, those of
    an order in the order of their coming, which is the order they are tried in (mb_optimize_scan). reads: the
    bitmap blocks read since the caller last took them.
    """

    def __init__(
        self,
        geometry: MbGeometry,
        tunables: MbTunables,
        seeds: Sequence[GroupSeed],
        source: BitmapSource,
        counts: MbCounts,
    ) -> None:
        """Raise InvariantError if there is not one seed a group."""
        if len(seeds) != geometry.groups:
            raise InvariantError(f"{len(seeds)} descriptors for {geometry.groups} groups")
        self.geometry = geometry
        self.tunables = tunables
        self.source = source
        self.counts = counts
        self.every = [Group(number, seed) for number, seed in enumerate(seeds)]
        self.by_largest: list[dict[int, None]] = [{} for _ in range(geometry.orders)]
        self.by_mean: list[dict[int, None]] = [{} for _ in range(geometry.orders)]
        self.reads: list[BitmapRead] = []
        self.changes = 0
        """How often a buddy changed (discard_pa_seq)."""

    # -- bitmaps and buddies -------------------------------------------------------------------------

    def _unread(self, group: Group) -> bool:
        """Return whether a bitmap is only the disk's to know: not BLOCK_UNINIT."""
        return not (self.geometry.descriptor_checksums and group.uninit)

    def read_bitmap(self, group: Group, ahead: bool = False) -> bytearray:
        """Return a group's bitmap block, from the disk the first time (ext4_read_block_bitmap_nowait)."""
        self.counts.read_block_bitmap_nowait += 1
        bitmap = group.bitmap
        if bitmap is None:
            if self._unread(group):
                self.reads.append(BitmapRead(group.number, group.bitmap_block, ahead))
                group.under_way = True
            bitmap = unpack(self.source.read(group.number))
            if len(bitmap) != self.geometry.bitmap_bits:
                raise InvariantError(f"group {group.number}: a bitmap of {len(bitmap)} bits")
            group.bitmap = bitmap
        elif group.under_way:  # lock_buffer() of a block that is being read
            self._sleep_for(group)
        return bitmap

    def wait_bitmap(self, group: Group) -> bytearray:
        """Return a group's bitmap block, read and waited for (ext4_read_block_bitmap)."""
        bitmap = self.read_bitmap(group)
        self._wait(group)
        return bitmap

    def _wait(self, group: Group) -> None:
        """Wait for a bitmap that may still be on its way (ext4_wait_block_bitmap)."""
        self.counts.wait_block_bitmap += 1
        if group.under_way:
            self._sleep_for(group)

    def _sleep_for(self, group: Group) -> None:
        group.under_way = False
        self.reads.append(BitmapRead(group.number, group.bitmap_block, False, True))

    def packed_bitmap(self, number: int) -> bytes:
        """Return a group's bitmap block as it stands on the disk once all is written; it has to be loaded."""
        bitmap = self.every[number].bitmap
        if bitmap is None:
            raise InvariantError(f"the bitmap of group {number} was never loaded")
        return pack(bitmap)

    def init_group(self, group: Group) -> None:
        """Make a group's buddies, and those of the group that shares its page (ext4_mb_init_group)."""
        self.counts.mb_init_group += 1
        if group.buddy is None:
            self._init_cache(group.number)
            if self.geometry.blocks_per_page == 1:  # the buddies are in a page of their own
                self._init_cache(group.number)

    def _init_cache(self, number: int) -> None:
        """Fill a page of the buddy cache (ext4_mb_init_cache)."""
        self.counts.mb_init_cache += 1
        first = number - number % self.geometry.groups_per_page
        some = self.every[first : first + self.geometry.groups_per_page]
        for group in some:
            self.read_bitmap(group)
        for group in some:
            self._wait(group)
        for group in some:
            if group.buddy is None:
                self._generate_buddy(group)

    def _generate_buddy(self, group: Group) -> None:
        """Make a group's buddies of its bitmap; nothing of it was taken yet (ext4_mb_generate_buddy)."""
        if group.bitmap is None:
            raise InvariantError(f"group {group.number} has no bitmap yet")
        if group.preallocs or group.freed:
            raise InvariantError(f"group {group.number} has preallocations and no buddies")
        orders, blocks = self.geometry.orders, self.geometry.blocks_per_group
        group.buddy = Buddy(bytearray(group.bitmap), orders, blocks)
        if group.buddy.free != group.free:
            raise ImageError(
                f"group {group.number}",
                f"{group.buddy.free} blocks are free by its bitmap, {group.free} by its descriptor",
                "an image that is sound (run e2fsck)",
            )
        self._changed(group, group.buddy)

    def load(self, group: Group) -> Buddy:
        """Return a group's buddies (ext4_mb_load_buddy_gfp)."""
        self.counts.mb_load_buddy_gfp += 1
        if group.buddy is None:
            self.init_group(group)
        if group.buddy is None:
            raise InvariantError(f"group {group.number} has no buddies")
        return group.buddy

    def prefetch(self, number: int, count: int, ios: int) -> tuple[int, int]:
        """
        Read the bitmaps of `count` groups ahead (ext4_mb_prefetch).

        Returns the group behind them, and `ios` more the reads that are under way.
        """
        for _ in range(count):
            group = self.every[number]
            asked, group.asked = group.asked, True
            if not asked and group.buddy is None and group.described_free and self._unread(group):
                known = group.bitmap is not None
                self.read_bitmap(group, ahead=True)
                if not known and not self.tunables.reads_inline:
                    ios += 1
            number = number + 1 if number + 1 < self.geometry.groups else 0
        return number, ios

    def prefetch_fini(self, number: int, count: int) -> None:
        """Make the buddies of the `count` groups before `number` (ext4_mb_prefetch_fini)."""
        for _ in range(count):
            number = (number or self.geometry.groups) - 1
            group = self.every[number]
            if group.buddy is None and group.described_free and self._unread(group):
                self.init_group(group)

    # -- taking and giving back ----------------------------------------------------------------------

    def mark_used(self, group: Group, buddy: Buddy, start: int, length: int) -> None:
        """Take blocks of a group's buddies (mb_mark_used)."""
        self.counts.mb_mark_used += 1
        self.changes += 1
        buddy.mark_used(start, length)
        self._changed(group, buddy)

    def mark_free(self, group: Group, buddy: Buddy, start: int, length: int) -> None:
        """Give blocks back to a group's buddies (mb_free_blocks)."""
        self.changes += 1
        buddy.mark_free(start, length)
        self._changed(group, buddy)

    def set_bits(self, group: Group, bitmap: bytearray, start: int, length: int) -> None:
        """Mark blocks as used in the bitmap block and the descriptor."""
        if bitmap.find(USED, start, start + length) >= 0:
            raise InvariantError(f"group {group.number}: blocks {start}+{length} are given out twice")
        bitmap[start : start + length] = b"\1" * length
        group.uninit = False
        group.described_free -= length

    def clear_bits(self, group: Group, bitmap: bytearray, start: int, length: int) -> None:
        """Mark blocks as free in the bitmap block and the descriptor."""
        if bitmap.find(FREE, start, start + length) >= 0:
            raise InvariantError(f"group {group.number}: blocks {start}+{length} are freed twice")
        bitmap[start : start + length] = bytes(length)
        group.described_free += length

    def _changed(self, group: Group, buddy: Buddy) -> None:
        """List a group where it is now (mb_set_largest_free_order, mb_update_avg_fragment_size)."""
        group.free = buddy.free
        group.fragments = buddy.fragments
        new = buddy.largest_order()
        if new != group.largest_order:
            group.largest_order = new
            if self.tunables.optimize_scan:
                if group.listed_largest >= 0:
                    del self.by_largest[group.listed_largest][group.number]
                group.listed_largest = new
                if new >= 0:
                    self.by_largest[new][group.number] = None
        if not self.tunables.optimize_scan:
            return
        mean = self.mean_order(buddy.free // buddy.fragments) if buddy.fragments else _NOT_LISTED
        if mean != group.mean_order:
            if group.mean_order >= 0:
                del self.by_mean[group.mean_order][group.number]
            group.mean_order = mean
            if mean >= 0:
                self.by_mean[mean][group.number] = None

    def mean_order(self, length: int) -> int:
        """Return the list for a mean free run of this length (mb_avg_fragment_size_order)."""
        order = max(length.bit_length() - 2, 0)
        return order - 1 if order == self.geometry.orders else order
