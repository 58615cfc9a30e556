"""
Giving the files and directories of an image being made their blocks.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import accumulate

from sim.errors import ConfigError
from sim.ext4.format.extents import Extent, TreePlan, normalise, plan_tree
from sim.ext4.format.features import RoCompat
from sim.ext4.format.inode import FLAG_EXTENTS, LOST_AND_FOUND_INODE, TYPE_DIRECTORY
from sim.ext4.format.xattr import Value, XattrKey
from sim.ext4.make.geometry import Frame
from sim.ext4.make.layout import Piece, Plan
from sim.ext4.make.names import Names
from sim.ext4.make.spec import FileSpec


@dataclass(slots=True)
class Item:
    """A file or directory on its way to the disk: what its inode will say, and where its blocks are."""

    place: str
    inode: int
    size_bytes: int
    mode: int
    links: int = 1
    flags: int = FLAG_EXTENTS
    extents: list[Extent] = field(default_factory=list)
    tree: TreePlan | None = None
    tree_blocks: list[int] = field(default_factory=list)
    body_xattrs: dict[XattrKey, Value] = field(default_factory=dict)
    block_xattrs: dict[XattrKey, Value] = field(default_factory=dict)
    xattr_block: int = 0
    hidden: list[HiddenValue] = field(default_factory=list)


@dataclass(slots=True)
class HiddenValue:
    """An xattr value on its way into an inode of its own."""

    key: XattrKey
    value: bytes
    item: Item


@dataclass(slots=True)
class File:
    """A file to be made, with its plan and its neighbour's number in the list of files."""

    spec: FileSpec
    size_bytes: int
    plan: Plan
    item: Item
    neighbour: int | None = None
    neighbour_of: str | None = None


def place_absolute(frame: Frame, file: File) -> None:
    """Reserve the blocks that a Placed layout names; ConfigError if one is taken."""
    item = file.item
    extents = [Extent(p.logical, p.offset, p.length, p.unwritten) for p in file.plan.pieces]
    for extent in extents:
        if extent.physical < frame.first_free:
            problem = f"block {extent.physical} of the device, for logical block {extent.logical}"
            allowed = f"{frame.first_free} and more, behind the superblock and the group descriptors"
            raise ConfigError(f"{item.place}: layout", problem, allowed)
        frame.allocator.reserve(extent.physical, extent.length, f"{item.place}: layout")
    item.extents = normalise(extents, merge=False)
    item.tree = plan_tree(item.extents, frame.superblock.block_size)
    if file.plan.tree_blocks:
        if len(file.plan.tree_blocks) != item.tree.blocks_needed:
            raise ConfigError(
                f"{item.place}: tree_blocks",
                f"{len(file.plan.tree_blocks)} blocks",
                f"{item.tree.blocks_needed}",
            )
        for block in file.plan.tree_blocks:
            frame.allocator.reserve(block, 1, f"{item.place}: tree_blocks")
        item.tree_blocks = list(file.plan.tree_blocks)


def place_directories(frame: Frame, names: Names) -> list[tuple[Item, list[bytes]]]:
    """Return every directory with its blocks, placed."""
    size = frame.superblock.block_size
    placed = []
    for path, directory in names.directories.items():
        blocks = directory.encode(size, frame.superblock.has(RoCompat.METADATA_CSUM))
        mode = TYPE_DIRECTORY | (0o700 if directory.inode == LOST_AND_FOUND_INODE else 0o755)
        item = Item(
            f"{frame.place}: {path or '/'}", directory.inode, len(blocks) * size, mode, directory.links
        )
        runs = frame.allocator.take(len(blocks), item.place)
        item.extents = _translate([Piece(0, 0, len(blocks), False)], runs)
        place_rest(frame, item)
        placed.append((item, blocks))
    return placed


def place_file(frame: Frame, file: File, files: list[File]) -> None:
    """Place a file, and its neighbour in the blocks between."""
    runs = frame.allocator.take(file.plan.span, file.item.place)
    file.item.extents = _translate(file.plan.pieces, runs)
    gaps = _gaps(file.plan)
    if file.neighbour is not None:
        files[file.neighbour].item.extents = _translate(gaps, runs)
        return
    for gap in _translate(gaps, runs):
        frame.allocator.release(gap.physical, gap.length)


def place_hidden(frame: Frame, item: Item) -> None:
    """Give the values of an item that lie in inodes of their own their blocks."""
    size = frame.superblock.block_size
    for hidden in item.hidden:
        blocks = -(-len(hidden.value) // size)
        runs = frame.allocator.take(blocks, item.place)
        hidden.item.extents = _translate([Piece(0, 0, blocks, False)], runs)
        place_rest(frame, hidden.item)


def place_rest(frame: Frame, item: Item) -> None:
    """Give an item whose extents are placed its tree blocks and xattr block."""
    if item.tree is None:
        item.tree = plan_tree(item.extents, frame.superblock.block_size)
    if not item.tree_blocks:
        item.tree_blocks = _singles(frame.allocator.take(item.tree.blocks_needed, item.place))
    if item.block_xattrs:
        item.xattr_block = frame.allocator.take(1, item.place)[0][0]


def _singles(runs: Iterable[tuple[int, int]]) -> list[int]:
    return [start + index for start, length in runs for index in range(length)]


def _gaps(plan: Plan) -> list[Piece]:
    """Return what a plan's pieces leave over of its region, as one file's pieces in order."""
    gaps: list[Piece] = []
    at = logical = 0
    for offset, length in [*sorted((p.offset, p.length) for p in plan.pieces), (plan.span, 0)]:
        if offset > at:
            gaps.append(Piece(logical, at, offset - at, False))
            logical += offset - at
        at = offset + length
    return gaps


def _translate(pieces: Sequence[Piece], runs: Sequence[tuple[int, int]]) -> list[Extent]:
    """Return the extents of pieces in a region that lies in `runs` of (physical start, length)."""
    ends = list(accumulate(length for _start, length in runs))
    extents: list[Extent] = []
    for logical, offset, length, unwritten in pieces:
        while length:
            run = bisect_right(ends, offset)
            count = min(length, ends[run] - offset)
            physical = runs[run][0] + runs[run][1] - (ends[run] - offset)
            extents.append(Extent(logical, physical, count, unwritten))
            logical, offset, length = logical + count, offset + count, length - count
    return normalise(extents)
