"""Where new inodes go, rule by rule."""

from __future__ import annotations

import pytest

from sim.errors import ImageError, InvariantError
from sim.fs.ialloc import InodeAllocator, InodeBitmapSource, InodeGroup, Parent
from sim.fs.mballoc.allocator import MbAllocator, NoSpaceError
from sim.fs.mballoc.buddy import pack
from sim.fs.mballoc.geometry import BitmapSource, GroupSeed, MbGeometry

INODES = 16
PER_GROUP = 8192


class Blocks(BitmapSource):
    """Groups that are free but for as many blocks as are told."""

    def __init__(self, free: list[int]) -> None:
        self.free = free

    def read(self, group: int) -> bytes:
        """Return a bitmap with its first blocks free."""
        return pack(bytearray(self.free[group]) + bytearray(b"\1" * (PER_GROUP - self.free[group])))


class Inodes(InodeBitmapSource):
    """Groups whose first inodes are in use; the bits beyond the inodes are set."""

    def __init__(self, free: list[int]) -> None:
        self.free = free

    def read(self, group: int) -> bytes:
        """Return a bitmap with its last inodes free."""
        used = INODES - self.free[group]
        bits = bytearray(b"\1" * used) + bytearray(self.free[group])
        return pack(bits + bytearray(b"\1" * (PER_GROUP - INODES)))


def volume(
    inodes: list[int],
    directories: list[int] | None = None,
    blocks: list[int] | None = None,
    log_flex: int = 2,
    uninit: bool = False,
) -> InodeAllocator:
    """Return a volume by what is free in its groups."""
    blocks = blocks or [PER_GROUP] * len(inodes)
    directories = directories or [0] * len(inodes)
    geometry = MbGeometry(1024, 1 + PER_GROUP * len(inodes), 1, PER_GROUP, log_flex > 0, log_flex, True)
    seeds = [GroupSeed(free, 100 + n, uninit) for n, free in enumerate(blocks)]
    groups = [
        InodeGroup(free, dirs, 200 + n, False)
        for n, (free, dirs) in enumerate(zip(inodes, directories, strict=True))
    ]
    return InodeAllocator(MbAllocator(geometry, seeds, Blocks(blocks)), groups, INODES, 1, Inodes(inodes))


def test_a_file_goes_into_its_parents_flex_group() -> None:
    """The first group there that has an inode; its bitmap is read once."""
    inodes = volume([0, 2, 3, 0, 9, 9, 9, 9])
    parent = Parent(2, 3, spreads=True)
    first, second, third = (inodes.new(parent, directory=False) for _ in range(3))
    assert [(31, 1, 201), (32, 1, 0), (46, 2, 202)] == [
        (new.number, new.group, new.bitmap_read) for new in (first, second, third)
    ]
    assert 0 == inodes.groups[1].free


def test_a_full_flex_group_sends_files_where_the_last_one_went() -> None:
    """Found once by Orlov's rule, and remembered in the parent."""
    inodes = volume([0, 0, 0, 0, 0, 0, 3, 9])
    parent = Parent(2, 0, spreads=True)
    assert 6 == inodes.new(parent, directory=False).group
    assert 6 == parent.last_group
    assert 6 == inodes.new(parent, directory=False).group


def test_a_directory_of_the_root_goes_where_there_are_fewest() -> None:
    """From the flex group that its name's hash tells; of those with their share of inodes and blocks."""
    inodes = volume([9] * 12, directories=[2, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0])
    assert 8 == inodes.new(Parent(2, 0, spreads=True), directory=True, name_hash=2).group
    assert 4 == inodes.new(Parent(2, 0, spreads=True), directory=True, name_hash=1).group
    assert [2, 2, 2] == [sum(group.directories for group in inodes.groups[at : at + 4]) for at in (0, 4, 8)]
    few = volume([9] * 8, blocks=[PER_GROUP] * 4 + [100] * 4)
    assert 0 == few.new(Parent(2, 0, spreads=True), directory=True, name_hash=1).group


def test_a_directory_below_stays_near_its_parent() -> None:
    """Unless there are too many directories already: an average share and one for 16 inodes."""
    near = volume([9] * 8)
    assert 4 == near.new(Parent(20, 5, spreads=False), directory=True).group
    crowded = volume([9] * 8, directories=[0, 0, 0, 0, 20, 0, 0, 0])
    assert 0 == crowded.new(Parent(20, 5, spreads=False), directory=True).group


def test_without_flex_groups_a_file_stays_with_its_parent_or_is_hashed_away() -> None:
    """A group without free blocks is none: 1, then (1 + 7) % 4 = 0, 0 + 1, 1 + 2 = 3."""
    inodes = volume([9, 9, 9, 9], blocks=[0, 0, PER_GROUP, PER_GROUP], log_flex=0)
    assert 2 == inodes.new(Parent(7, 2, spreads=False), directory=False).group
    assert 3 == inodes.new(Parent(7, 1, spreads=False), directory=False).group
    linear = volume([0, 0, 1, 0], blocks=[0, 0, 0, 0], log_flex=0)
    assert 2 == linear.new(Parent(7, 0, spreads=False), directory=False).group


def test_an_inode_in_a_group_without_a_block_bitmap_makes_it() -> None:
    """BLOCK_UNINIT: the group descriptor says so no longer, and the bitmap has to be written."""
    inodes = volume([9], uninit=True)
    parent = Parent(2, 0, spreads=True)
    assert [True, False] == [inodes.new(parent, directory=False).block_bitmap_made for _ in range(2)]


def test_an_inode_comes_back() -> None:
    """And is the first that is given out again."""
    inodes = volume([9, 9, 9, 9])
    parent = Parent(2, 1, spreads=True)
    new = inodes.new(parent, directory=True)
    assert 0 == inodes.free(new.number, directory=True)
    assert (9, 0) == (inodes.groups[0].free, inodes.groups[0].directories)
    assert new.number == inodes.new(parent, directory=True).number
    assert 203 == inodes.free(3 * INODES + 1, directory=False)
    with pytest.raises(InvariantError, match="inode 49 is freed twice"):
        inodes.free(3 * INODES + 1, directory=False)


def test_no_inode_is_left() -> None:
    """And a descriptor that promises one that its bitmap has not is a damaged image."""
    with pytest.raises(NoSpaceError):
        volume([0, 0]).new(Parent(2, 0, spreads=True), directory=False)
    wrong = volume([9])
    wrong.groups[0].bitmap = bytearray(b"\1" * PER_GROUP)
    with pytest.raises(ImageError, match="group 0: 9 inodes are free by its descriptor, its bitmap has none"):
        wrong.new(Parent(2, 0, spreads=True), directory=False)
