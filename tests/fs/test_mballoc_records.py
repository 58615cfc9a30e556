"""
The allocator's answers and calls against a recorded kernel's, on the volume of the recordings.

Every number is of Linux 6.1.192 (Debian 6.1.0-56-amd64): FIEMAP after a case, kprobes in its phase of writing
or of fsync, bitmap blocks among its bios. A new file, its inode in the group that the kernel chose.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
from recorded_volumes import make_recorded_volume

from sim.ext4.read.reader import Image
from sim.fs.ialloc import ImageInodeBitmaps, InodeAllocator, Parent, inode_groups_of
from sim.fs.mballoc.allocator import MbAllocator
from sim.fs.mballoc.goal import ext_find_goal, ext_grow_goal
from sim.fs.mballoc.image import ImageBitmaps, geometry_of, seeds_of
from sim.fs.mballoc.request import DELALLOC_RESERVED, HINT_DATA, AllocationRequest, MbInode
from sim.units import KIB, MIB

IN_INODE = 4
"""Extents that an inode holds."""


@pytest.fixture(scope="module")
def volumes(tmp_path_factory: pytest.TempPathFactory) -> dict[int, Image]:
    """The recorded volumes by block size."""
    folder = tmp_path_factory.mktemp("recorded")
    found = {}
    for block_size in (1024, 4096):
        path = folder / f"w{block_size}.img"
        make_recorded_volume(path, block_size)
        found[block_size] = Image.open(path)
    return found


@dataclass
class NewFile:
    """A new file that grows at its end; a tree of one leaf block, as far as these cases need it."""

    mb: MbAllocator
    inode: MbInode
    delalloc: bool
    extents: list[tuple[int, int, int]] = field(default_factory=list)
    leaf: int = 0
    reads: list[tuple[int, bool]] = field(default_factory=list)
    waits: list[int] = field(default_factory=list)

    def append(self, logical: int, length: int) -> int:
        """Allocate the file's next blocks; return how many came."""
        geometry = self.mb.geometry
        last = self.extents[-1] if self.extents else None
        near = (last[0], last[1]) if last else None
        goal = ext_find_goal(geometry, self.inode, logical, near, self.leaf, self.delalloc, 0)
        self.mb.counts.ext_find_goal += 1
        flags = HINT_DATA | (DELALLOC_RESERVED if self.delalloc else 0)
        request = AllocationRequest(self.inode, logical, length, goal, flags, logical, 0, logical, 0)
        if last:
            request.lleft, request.pleft = last[0] + last[2] - 1, last[1] + last[2] - 1
        found = self.mb.new_blocks(request)
        self.reads += [(read.block, read.ahead) for read in found.reads if not read.waited]
        self.waits += [read.block for read in found.reads if read.waited]
        if last and request.pleft + 1 == found.block:
            self.extents[-1] = (last[0], last[1], last[2] + found.count)
        else:
            if len(self.extents) == IN_INODE:
                self._grow()
            self.extents.append((logical, found.block, found.count))
        return found.count

    def _grow(self) -> None:
        goal, hint = ext_grow_goal(self.mb.geometry, self.inode, 0, self.delalloc, 0)
        flags = hint | (DELALLOC_RESERVED if self.delalloc else 0)
        self.leaf = self.mb.new_blocks(AllocationRequest(self.inode, 0, 1, goal, flags)).block


def new_file(image: Image, delalloc: bool) -> NewFile:
    """Return a new file in the root directory of a volume that was just mounted."""
    mb = MbAllocator(geometry_of(image), seeds_of(image), ImageBitmaps(image))
    inodes = InodeAllocator(
        mb,
        inode_groups_of(image),
        image.superblock.inodes_per_group,
        image.superblock.first_inode,
        ImageInodeBitmaps(image),
    )
    new = inodes.new(Parent(2, 0, spreads=True), directory=False)
    inode = MbInode(new.number, new.group)
    inode.open_writers = 1
    return NewFile(mb, inode, delalloc)


def write_back(file: NewFile, size_bytes: int, per_page: int) -> None:
    """Allocate delayed blocks as ext4_writepages asks for them; it goes on at each page's border."""
    file.inode.size_bytes = size_bytes
    logical, end = 0, size_bytes // file.mb.geometry.block_size
    while logical < end:
        whole = logical % per_page == 0
        length = end - logical if whole else per_page - logical % per_page
        logical += file.append(logical, length)


def write_at_once(file: NewFile, size_bytes: int, per_page: int) -> None:
    """Allocate block by block in write_begin; the size grows page by page."""
    for logical in range(size_bytes // file.mb.geometry.block_size):
        if logical % per_page == 0:
            file.inode.size_bytes = logical * file.mb.geometry.block_size
        assert 1 == file.append(logical, 1)


def test_a_goal_group_that_is_not_loaded_gives_one_block_pieces(volumes: dict[int, Image]) -> None:
    """dev_bs4096/od/own/new/seq128k-1024k/fsync/loop: 59 extents, though 32 MiB lie free in group 1."""
    file = new_file(volumes[4096], delalloc=True)
    assert (42, 1) == (file.inode.number, file.inode.group)
    write_back(file, 1 * MIB, per_page=1)
    assert 59 == len(file.extents)
    assert [(0, 10379, 1), (1, 10381, 1), (2, 10383, 1), (3, 10385, 1), (4, 10387, 1), (5, 10391, 1)] == (
        file.extents[:6]
    ), "10389 is the leaf"
    assert [(92, 10475, 1), (93, 11086, 5), (98, 17171, 158)] == file.extents[-3:]
    assert {
        "ext4_ext_find_goal": 59,
        "ext4_mb_new_blocks": 60,
        "ext4_mb_regular_allocator": 60,
        "ext4_mb_find_by_goal": 60,
        "ext4_mb_complex_scan_group": 60,
        "ext4_mb_good_group": 180,
        "ext4_mb_use_best_found": 60,
        "ext4_mb_mark_diskspace_used": 60,
        "ext4_mb_load_buddy_gfp": 177,
        "ext4_mb_init_group": 1,
        "ext4_mb_init_cache": 2,
        "mb_find_extent": 11977,
        "mb_mark_used": 60,
        "ext4_read_block_bitmap_nowait": 64,
        "ext4_wait_block_bitmap": 62,
    } == file.mb.counts.by_symbol()


def test_sixteen_blocks_of_the_cpu_then_spaces_of_the_inode(volumes: dict[int, Image]) -> None:
    """dev_bs4096/on/own/new/seq128k-1024k/fsync/nullb-nocache: without delayed allocation."""
    file = new_file(volumes[4096], delalloc=False)
    write_at_once(file, 1 * MIB, per_page=1)
    assert [(0, 32770, 16), (16, 33296, 240)] == file.extents
    assert {
        "ext4_ext_find_goal": 256,
        "ext4_mb_new_blocks": 256,
        "ext4_mb_regular_allocator": 5,
        "ext4_mb_find_by_goal": 5,
        "ext4_mb_simple_scan_group": 1,
        "ext4_mb_complex_scan_group": 1,
        "ext4_mb_good_group": 7,
        "ext4_mb_use_best_found": 5,
        "ext4_mb_mark_diskspace_used": 256,
        "ext4_mb_new_inode_pa": 4,
        "ext4_mb_new_group_pa": 1,
        "ext4_mb_use_inode_pa": 240,
        "ext4_mb_load_buddy_gfp": 6,
        "ext4_mb_init_group": 2,
        "ext4_mb_init_cache": 4,
        "mb_find_extent": 9,
        "mb_mark_used": 5,
        "ext4_read_block_bitmap_nowait": 262,
        "ext4_wait_block_bitmap": 260,
    } == file.mb.counts.by_symbol()


def test_a_flex_group_is_read_ahead_for_one_extent(volumes: dict[int, Image]) -> None:
    """append_bs1024/od/own/new/seq4k-64k/fsync: 14 bitmaps are read for 64 blocks of group 0."""
    file = new_file(volumes[1024], delalloc=True)
    write_back(file, 64 * KIB, per_page=4)
    assert [(0, 7515, 64)] == file.extents
    ahead = [3, 5, 7, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18]
    assert [*((block, True) for block in ahead), (4, False)] == file.reads, "group 1, full, for its half page"
    assert [3, 4] == file.waits
    counts = file.mb.counts
    assert (16, 3, 4) == (counts.read_block_bitmap_nowait, counts.wait_block_bitmap, counts.mb_good_group)
    assert (3, 1, 1) == (counts.mb_find_extent, counts.mb_init_group, counts.mb_init_cache)


def test_twenty_groups_are_searched_by_their_lists(volumes: dict[int, Image]) -> None:
    """append_bs1024/on/own/new/seq128k-1024k/fsync: four places, by largest chunk."""
    file = new_file(volumes[1024], delalloc=False)
    write_at_once(file, 1 * MIB, per_page=4)
    assert [(0, 23855, 16), (16, 24369, 112), (128, 57089, 128), (256, 40193, 768)] == file.extents
    assert {
        "ext4_ext_find_goal": 1024,
        "ext4_mb_new_blocks": 1024,
        "ext4_mb_regular_allocator": 7,
        "ext4_mb_find_by_goal": 7,
        "ext4_mb_simple_scan_group": 3,
        "ext4_mb_complex_scan_group": 1,
        "ext4_mb_good_group": 13,
        "ext4_mb_use_best_found": 7,
        "ext4_mb_mark_diskspace_used": 1024,
        "ext4_mb_new_inode_pa": 6,
        "ext4_mb_new_group_pa": 1,
        "ext4_mb_use_inode_pa": 1008,
        "ext4_mb_load_buddy_gfp": 10,
        "ext4_mb_init_group": 8,
        "ext4_mb_init_cache": 8,
        "mb_find_extent": 8,
        "mb_mark_used": 7,
        "ext4_read_block_bitmap_nowait": 1053,
        "ext4_wait_block_bitmap": 1040,
    } == file.mb.counts.by_symbol()


def test_the_image_gets_back_what_was_allocated(volumes: dict[int, Image]) -> None:
    """The bitmap to be written has the file's blocks and nothing else more; preallocations are not in it."""
    image = volumes[4096]
    file = new_file(image, delalloc=False)
    write_at_once(file, 64 * KIB, per_page=1)
    before = int.from_bytes(image.read_block(image.group(1).block_bitmap), "little")
    after = int.from_bytes(file.mb.groups.packed_bitmap(1), "little")
    assert sum(1 << at for at in range(2, 18)) == before ^ after
    assert image.group(1).free_blocks - 16 == file.mb.groups.every[1].described_free
