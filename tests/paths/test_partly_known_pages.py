"""Pages of which some blocks are up to date, anywhere: what a read of them finds, and what it reads."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from write_kit import WriteRig

from sim.cache.page_runs import gaps_of
from sim.cache.pages import PRESENT, UPTODATE
from sim.ext4.format.extents import Extent, ExtentTree
from sim.fs.fs_inode import FsInode

PAGE, BLOCK = 4096, 1024
PLACE = 500


@given(known=st.integers(0, (1 << 16) - 1), blocks=st.integers(0, 16))
def test_gaps(known: int, blocks: int) -> None:
    """Every unknown block is in one gap, gaps are apart and in order."""
    gaps = gaps_of(known, blocks)
    unknown = [block for block in range(blocks) if not known >> block & 1]
    assert unknown == [block for start, end in gaps for block in range(start, end)]
    assert all(end < start for (_, end), (start, _) in pairwise(gaps))


@pytest.mark.parametrize(
    ("offset", "length", "read"),
    [
        (1024, 1024, []),  # the block that was written
        (1100, 50, []),
        (1024, 1025, [(500, 1), (502, 1), (503, 1)]),  # one byte more
        (1023, 10, [(500, 1), (502, 1), (503, 1)]),
        (0, 4096, [(500, 1), (502, 1), (503, 1)]),
        (3000, 100, [(500, 1), (502, 1), (503, 1)]),
    ],
)
def test_a_page_of_which_its_second_block_was_written(
    offset: int, length: int, read: list[tuple[int, int]]
) -> None:
    """What is asked for decides whether the page is read (block_is_partially_uptodate()); never the block."""
    rig = WriteRig(BLOCK)
    inode = rig.file(PAGE, [(0, PLACE, 4, False)])
    rig.start(rig.write(inode, BLOCK, BLOCK))
    rig.run_for(1_000_000)
    assert (inode.mapping.state[0], inode.mapping.known_blocks) == (PRESENT, {0: 0b10})
    rig.bios()
    tree = ExtentTree(0, [Extent(0, PLACE, 4, False)], [0], [0], [()])
    file = FsInode(tree, PAGE, BLOCK)
    file.map.status.fill()
    opened = rig.machine.open(inode.mapping, file)
    rig.start(rig.machine.filemap.read(rig.task, opened, offset, length))
    rig.run_for(1_000_000)
    assert [(block, blocks) for kind, block, blocks in rig.bios() if kind == "R"] == read
    assert inode.mapping.state[0] == (UPTODATE if read else PRESENT)
