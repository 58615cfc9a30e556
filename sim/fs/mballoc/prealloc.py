"""
Preallocations: blocks taken beyond what was asked, kept for the inode or for the CPU's small files.
"""

from __future__ import annotations

from typing import Final

from sim.errors import InvariantError
from sim.fs.mballoc.buddy import FREE, USED, Buddy
from sim.fs.mballoc.groups import Group, Groups
from sim.fs.mballoc.request import (
    FOUND,
    HINT_DATA,
    HINT_GROUP_ALLOC,
    LOCALITY_LISTS,
    AllocationContext,
    LocalityGroup,
    MbInode,
    PreallocSpace,
)

_LIST_MOST: Final = 8
"""A locality group's list is cut when it is longer ... (ext4_mb_add_n_trim)"""
_LIST_KEPT: Final = 5
"""... to so many (ext4_mb_discard_lg_preallocations)."""


def _list_of(length: int) -> int:
    """Return the list of a locality group that spaces of so many free blocks are in."""
    return min(length.bit_length() - 1, LOCALITY_LISTS - 1)


class Preallocations:
    """The preallocated spaces of a file system."""

    def __init__(self, groups: Groups) -> None:
        """None yet, and a locality group for each CPU."""
        self._groups = groups
        self._geometry = groups.geometry
        self._counts = groups.counts
        self.localities = [LocalityGroup() for _ in range(groups.tunables.cpus)]

    # -- using ---------------------------------------------------------------------------------------

    def use(self, ac: AllocationContext) -> bool:
        """Serve a request from what is preallocated, if it can be (ext4_mb_use_preallocated)."""
        if not ac.flags & HINT_DATA:
            return False
        for space in ac.inode.preallocs:
            if space.lstart <= ac.o_logical < space.lstart + space.length and space.free:
                self._use_inode_space(ac, space)
                return True
        if not ac.flags & HINT_GROUP_ALLOC or ac.locality is None:
            return False
        goal = self._geometry.first_of(ac.g_group) + ac.g_start
        nearest: PreallocSpace | None = None
        for spaces in ac.locality.lists[_list_of(ac.o_len) :]:
            for space in spaces:
                if space.free >= ac.o_len and (
                    nearest is None or abs(goal - space.pstart) < abs(goal - nearest.pstart)
                ):
                    nearest = space
        if nearest is None:
            return False
        self._use_group_space(ac, nearest)
        return True

    def _use_inode_space(self, ac: AllocationContext, space: PreallocSpace) -> None:
        """Take what was asked, as far as the space has it (ext4_mb_use_inode_pa)."""
        self._counts.mb_use_inode_pa += 1
        skipped = ac.o_logical - space.lstart
        length = min(space.length - skipped, ac.o_len)
        if skipped < 0 or length <= 0 or space.free < length:
            raise InvariantError(f"{length} blocks from {skipped} on of a space with {space.free} free")
        ac.b_group = self._geometry.group_of(space.pstart + skipped)
        ac.b_start = self._geometry.offset_of(space.pstart + skipped)
        ac.b_len = length
        space.free -= length
        self._take(ac, space)

    def _use_group_space(self, ac: AllocationContext, space: PreallocSpace) -> None:
        """Take the first blocks of a locality group's space (ext4_mb_use_group_pa)."""
        ac.b_group = self._geometry.group_of(space.pstart)
        ac.b_start = self._geometry.offset_of(space.pstart)
        ac.b_len = ac.o_len
        self._take(ac, space)

    def _take(self, ac: AllocationContext, space: PreallocSpace) -> None:
        space.in_use = True
        ac.status = FOUND
        ac.prealloc = space

    # -- making --------------------------------------------------------------------------------------

    def make(self, ac: AllocationContext) -> None:
        """Keep what was found beyond what was asked, and use what was asked (ext4_mb_new_preallocation)."""
        if ac.o_len >= ac.b_len or not ac.inode.regular:
            raise InvariantError(f"{ac.b_len} blocks were found for {ac.o_len} of inode {ac.inode.number}")
        of_group = bool(ac.flags & HINT_GROUP_ALLOC)
        if not of_group and ac.b_len < ac.g_len:
            ac.b_logical = self._placed(ac)
        start = self._geometry.first_of(ac.b_group) + ac.b_start
        owner = None if of_group else ac.inode
        space = PreallocSpace(start, start if of_group else ac.b_logical, ac.b_len, ac.b_group, owner)
        self._groups.every[ac.b_group].preallocs.insert(0, space)
        if of_group:
            self._counts.mb_new_group_pa += 1
            self._use_group_space(ac, space)
        else:
            self._counts.mb_new_inode_pa += 1
            self._use_inode_space(ac, space)
            ac.inode.preallocs.insert(0, space)

    def _placed(self, ac: AllocationContext) -> int:
        """
        Return which block of the inode a space begins with that is shorter than was looked for.

        At the end of what was looked for, if that covers the first block asked; at its start, if that covers
        the last one; else at the first block asked.
        """
        at_end = ac.g_logical + ac.g_len - ac.b_len
        if ac.o_logical >= at_end:
            return at_end
        if ac.o_logical + ac.o_len <= ac.g_logical + ac.b_len:
            return ac.g_logical
        return ac.o_logical

    def release(self, ac: AllocationContext) -> None:
        """Enter what an allocation left of the space it used (ext4_mb_release_context)."""
        space = ac.prealloc
        if space is not None:
            if space.inode is None:
                if ac.locality is None:
                    raise InvariantError("a locality group's space is used without the group")
                space.pstart += ac.b_len
                space.lstart += ac.b_len
                space.free -= ac.b_len
                space.length -= ac.b_len
                if space.free:
                    self._unlist(space)
                    self._add_and_trim(ac.locality, space)
            else:
                space.inode.preallocs.remove(space)
                space.inode.preallocs.insert(0, space)
            self._put(space)
        active = len(ac.inode.preallocs)
        most = self._groups.tunables.max_inode_prealloc
        if active > most + (most >> 2) + 1:
            self.discard_inode(ac.inode, active - most)

    def _put(self, space: PreallocSpace) -> None:
        """Let go of a space; one that is used up is gone (ext4_mb_put_pa)."""
        space.in_use = False
        if space.free:
            return
        self._groups.every[space.group].preallocs.remove(space)
        self._unlist(space)

    def _unlist(self, space: PreallocSpace) -> None:
        """Remove a space from its owner's list."""
        if space.inode is not None:
            space.inode.preallocs.remove(space)
            return
        for locality in self.localities:
            for spaces in locality.lists:
                if space in spaces:
                    spaces.remove(space)
                    return

    def _add_and_trim(self, locality: LocalityGroup, space: PreallocSpace) -> None:
        """List a space by what is free in it; shorten a list that grew long (ext4_mb_add_n_trim)."""
        spaces = locality.lists[_list_of(space.free)]
        at = 0
        while at < len(spaces) and space.free >= spaces[at].free:
            at += 1
        spaces.insert(at, space)
        total = len(spaces)
        if total <= _LIST_MOST:
            return
        discarded: list[PreallocSpace] = []
        for other in list(spaces):
            if other.in_use:
                continue
            spaces.remove(other)
            discarded.insert(0, other)
            total -= 1
            if total <= _LIST_KEPT:
                break
        for other in discarded:
            group = self._groups.every[other.group]
            buddy = self._groups.load(group)
            self._release_space(group, buddy, other)

    # -- giving back ---------------------------------------------------------------------------------

    def discard_inode(self, inode: MbInode, needed: int = 0) -> None:
        """Give back what is preallocated for an inode, the `needed` spaces used longest ago; 0: all."""
        self._counts.discard_preallocations += 1
        if not inode.regular:
            return
        cut = max(len(inode.preallocs) - needed, 0) if needed else 0
        discarded = inode.preallocs[cut:]
        del inode.preallocs[cut:]
        for space in discarded:
            group = self._groups.every[space.group]
            buddy = self._groups.load(group)
            self._groups.wait_bitmap(group)
            self._release_space(group, buddy, space)

    def _release_space(self, group: Group, buddy: Buddy, space: PreallocSpace) -> None:
        """Free what the bitmap block does not have in use (ext4_mb_release_inode_pa, _group_pa)."""
        group.preallocs.remove(space)
        bitmap = group.bitmap
        if bitmap is None:
            raise InvariantError(f"group {group.number} has a preallocation and no bitmap")
        at = self._geometry.offset_of(space.pstart)
        end = at + space.length
        freed = 0
        at = bitmap.find(FREE, at, end)
        while at >= 0:
            behind = bitmap.find(USED, at, end)
            behind = behind if behind >= 0 else end
            self._groups.mark_free(group, buddy, at, behind - at)
            freed += behind - at
            at = bitmap.find(FREE, behind, end)
        if freed != space.free:
            raise InvariantError(f"a space of group {group.number} had {freed} blocks free, not {space.free}")

    def discard_group(self, group: Group) -> int:
        """Give back a group's preallocations, return how many (ext4_mb_discard_group_preallocations)."""
        self._counts.mb_discard_group_preallocations += 1
        if not group.preallocs:
            return 0
        self._groups.wait_bitmap(group)
        buddy = self._groups.load(group)
        discarded = [space for space in group.preallocs if not space.in_use]
        if discarded:
            self._groups.changes += 1
        for space in reversed(discarded):
            self._unlist(space)
            self._release_space(group, buddy, space)
        return sum(space.free for space in discarded)
