"""
A block of an extent tree, as a kernel looks at it before it is used: __ext4_ext_check() of fs/ext4/extents.c
(Linux 6.1), and which blocks such a node may name (fs/ext4/block_validity.c, on unless mounted without).

A leaf without extents is refused here, where the kernel does so only when it maps by it. Left out: which of
EFSCORRUPTED and EFSBADCRC it is, for read(2) returns EIO; the mount option errors=.
"""

from __future__ import annotations

from bisect import bisect_right

from sim.errors import ImageError
from sim.ext4.check.sums import tail_is_wrong
from sim.ext4.format.extents import (
    ENTRY_BYTES,
    MAX_LOGICAL_BLOCKS,
    decode_header,
    decode_index_entries,
    decode_leaf_entries,
)
from sim.ext4.format.features import Compat
from sim.ext4.read.own_blocks import own_blocks_of
from sim.ext4.read.reader import Image


class BlockValidity:
    """
    Which blocks a map of a file may name: ext4_inode_block_valid().

    None before the first or behind the last, none of superblocks, descriptors, bitmaps and inode tables
    (ext4_setup_system_zone()), none of the journal's.
    """

    def __init__(self, image: Image) -> None:
        sb = image.superblock
        self._first, self._end = sb.first_data_block, image.blocks_count
        runs = []
        for group, own in own_blocks_of(image).items():
            start = sb.group_blocks(group).start
            runs += [(start + run.start, start + run.stop) for run in own]
        if sb.has(Compat.HAS_JOURNAL) and sb.journal_inode:
            extents = image.inode(sb.journal_inode).tree.extents
            runs += [(e.physical, e.physical + e.length) for e in extents]
        self._starts: list[int] = []
        self._ends: list[int] = []
        for start, end in sorted(runs):
            if self._ends and start <= self._ends[-1]:
                self._ends[-1] = max(self._ends[-1], end)
            else:
                self._starts.append(start)
                self._ends.append(end)

    def valid(self, block: int, count: int) -> bool:
        """Return whether a file may have `count` blocks from `block` on."""
        if block <= self._first or block + count > self._end:
            return False
        at = bisect_right(self._starts, block + count - 1) - 1
        return at < 0 or self._ends[at] <= block


def node_problem(node: bytes, depth: int, key: int, validity: BlockValidity, seed: int | None) -> str:
    """
    Return what is wrong with a block of an extent tree, "" for nothing.

    depth: levels below it, key: its first logical block, as its parent says. seed: of the checksums of the
    inode's tree, None without metadata_csum.
    """
    try:
        entries, most, found = decode_header(node, "")
    except ImageError as error:
        return error.problem
    if found != depth or not entries:
        return f"{entries} entries at depth {found}, not {depth}"
    if depth:
        children = decode_index_entries(node, entries)
        runs = [(logical, block, 1) for logical, block in children]
    else:
        runs = [extent[:3] for extent in decode_leaf_entries(node, entries)]
    if runs[0][0] != key:
        return f"begins at logical block {runs[0][0]}, its parent says {key}"
    low = 0
    for logical, block, length in runs:
        if logical < low or not length or logical + length >= MAX_LOGICAL_BLOCKS:
            return f"{length} blocks at logical block {logical}, behind {low}"
        if not validity.valid(block, length):
            return f"{length} blocks at block {block}"
        low = logical + length
    if seed is not None and tail_is_wrong(seed, node, ENTRY_BYTES * (most + 1)):
        return "the checksum is wrong"
    return ""
