"""What ext4_map_blocks() does to an unwritten extent of which a part is written: shift, zeros or a split."""

from __future__ import annotations

import pytest
from write_kit import DATA, Bump, WriteRig

from sim.block.bio import Plug
from sim.fs.map_flags import CONVERT, CREATE, IO_CREATE, UNWRITTEN

W, U = False, True
Extents = list[tuple[int, int, int, bool]]


def mapped(
    extents: Extents, lblk: int, want: int, flags: int = CREATE, blocks: int = 64, block_size: int = 4096
) -> tuple[Extents, list[tuple[str, int, int]]]:
    """Map a range of a file of so many blocks; return its extents then, and the bios that it took."""
    rig = WriteRig(block_size, log=0)
    inode = rig.file(blocks * block_size, extents)
    rig.run(rig.writer.mapper.map_blocks(rig.task, inode, lblk, want, flags, Plug(holds=False)))
    return [(a, b, c, d) for a, b, c, d in inode.tree.extents()], rig.bios()


@pytest.mark.parametrize(
    ("extents", "lblk", "want", "after", "zeros"),
    [
        # the written extent on the left takes its first blocks, the one on the right its last
        ([(0, 100, 4, W), (4, 104, 20, U)], 4, 2, [(0, 100, 6, W), (6, 106, 18, U)], []),
        ([(4, 104, 20, U), (24, 124, 4, W)], 22, 2, [(4, 104, 18, U), (22, 122, 6, W)], []),
        # not beside it on the disk: what follows, up to 8 blocks from the written on, is zeros
        ([(0, 900, 4, W), (4, 104, 8, U)], 4, 2, [(0, 900, 4, W), (4, 104, 8, W)], [("WS", 106, 6)]),
        ([(0, 900, 4, W), (4, 104, 9, U)], 4, 2, [(0, 900, 4, W), (4, 104, 2, W), (6, 106, 7, U)], []),
        # what precedes, too, if all is less than 8 blocks
        ([(4, 104, 7, U)], 7, 1, [(4, 104, 7, W)], [("WS", 108, 3), ("WS", 104, 3)]),
        ([(4, 104, 8, U)], 7, 1, [(4, 104, 3, U), (7, 107, 5, W)], [("WS", 108, 4)]),
        # to its end: nothing follows, so that nothing is filled up in front of it
        ([(4, 104, 7, U)], 9, 2, [(4, 104, 5, U), (9, 109, 2, W)], []),
        # all of it
        ([(4, 104, 7, U)], 4, 7, [(4, 104, 7, W)], []),
    ],
)
def test_a_part_is_written(
    extents: Extents, lblk: int, want: int, after: Extents, zeros: list[tuple[str, int, int]]
) -> None:
    """ext4_ext_convert_to_initialized(), at 4 KiB: 32 KiB of zeros are 8 blocks."""
    assert mapped(extents, lblk, want) == (after, zeros)


def test_nothing_is_filled_past_the_end_of_the_file() -> None:
    """An extent that reaches past i_disksize is split, however short it is."""
    after, bios = mapped([(4, 104, 8, U)], 4, 2, blocks=8)
    assert (after, bios) == ([(4, 104, 2, W), (6, 106, 6, U)], [])


@pytest.mark.parametrize(("block_size", "most"), [(1024, 32), (2048, 16), (4096, 8)])
def test_32_kib_are_zeros(block_size: int, most: int) -> None:
    """The limit is one of bytes."""
    after, bios = mapped([(1, 104, most, U)], 1, 1, block_size=block_size)
    assert (after, bios) == ([(1, 104, most, W)], [("WS", 105, most - 1)])
    after, bios = mapped([(1, 104, most + 1, U)], 1, 1, block_size=block_size)
    assert (after, bios) == ([(1, 104, 1, W), (2, 105, most, U)], [])


def test_before_io_it_is_split_and_stays_unwritten() -> None:
    """dioread_nolock: three extents until the end of I/O, then one of them is written."""
    rig = WriteRig(log=0)
    inode = rig.file(64 * 4096, [(0, 100, 20, U)])
    plug = Plug(holds=False)
    rig.run(rig.writer.mapper.map_blocks(rig.task, inode, 5, 3, CREATE | IO_CREATE, plug))
    assert [tuple(each) for each in inode.tree.extents()] == [
        (0, 100, 5, U),
        (5, 105, 3, U),
        (8, 108, 12, U),
    ]
    rig.run(rig.writer.mapper.map_blocks(rig.task, inode, 5, 3, CREATE | UNWRITTEN | CONVERT, plug))
    assert [tuple(each) for each in inode.tree.extents()] == [
        (0, 100, 5, U),
        (5, 105, 3, W),
        (8, 108, 12, U),
    ]


def test_a_hole_is_filled_up_to_the_next_extent() -> None:
    """No more than is asked for, than the hole has, and than the allocator gives at once."""
    for want, piece, length in ((3, 100, 3), (50, 100, 10), (50, 4, 4)):
        rig = WriteRig(log=0, allocator=Bump(piece, 7))
        inode = rig.file(64 * 4096, [(0, 100, 2, W), (12, 112, 2, W)])
        rig.run(rig.writer.mapper.map_blocks(rig.task, inode, 2, want, CREATE, Plug(holds=False)))
        assert inode.tree.covering(2) == (2, DATA, length, W)
        assert inode.tree.covering(12) == (12, 112, 2, W)
