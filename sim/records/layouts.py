"""
Recorded layouts: where the blocks of the files lie that records are of.

A layout file is a FIEMAP list, with a head that names block size, size and tree blocks where they are known
(results/kernel/layout-schema.json); the oldest are the bare list.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from sim.errors import ConfigError
from sim.ext4.format.extents import Extent, normalise, plan_tree
from sim.ext4.make.fiemap import placed_from_named
from sim.records.json_lines import parse, read_text
from sim.records.record_schema import check_form


@dataclass(frozen=True, slots=True)
class RecordedLayout:
    """
    A file's extents, in blocks, and the blocks of its tree (None: not recorded).

    listed: extents as FIEMAP listed them. file_bytes, depth: size and depth of the tree as the layout file
    says them, None if it does not.
    """

    extents: tuple[Extent, ...]
    tree_blocks: tuple[int, ...] | None = None
    listed: int = 0
    file_bytes: int | None = None
    depth: int | None = None


class LayoutFolder:
    """A folder of layout files, each read once."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._known: dict[tuple[str, int], RecordedLayout] = {}

    def read(self, name: str, block_size: int) -> RecordedLayout:
        """
        Return the layout in a file of the folder, of a file system of blocks of `block_size` bytes.

        Raises ConfigError for a file that is not there, not of the form, or of another block size.
        """
        if (name, block_size) not in self._known:
            self._known[name, block_size] = _read(self._folder / name, block_size)
        return self._known[name, block_size]


def _read(path: Path, block_size: int) -> RecordedLayout:
    place = str(path)
    layout = parse(read_text(path), place)
    if isinstance(layout, list):
        layout = {"block_size": block_size, "extents": layout}
    plain = isinstance(layout, dict) and _are_plain(layout.get("extents"))  # thousands: the schema is slow
    check_form(layout | {"extents": []} if plain else layout, "layout", place)
    if layout["block_size"] != block_size:
        raise ConfigError(f"{place}: block_size", str(layout["block_size"]), f"{block_size}, the record's")
    named = [(f"{place}: extent {number}", row) for number, row in enumerate(layout["extents"])]
    extents = placed_from_named(place, named, block_size).extents
    for left, right in pairwise(extents):
        if left.logical + left.length > right.logical:
            raise ConfigError(place, f"block {right.logical} of the file is in two extents", "in one")
    blocks = layout.get("tree_blocks")
    tree_blocks = None if blocks is None else tuple(blocks)
    if tree_blocks is not None:
        _check_tree(tree_blocks, extents, block_size, f"{place}: tree_blocks")
    return RecordedLayout(
        extents, tree_blocks, len(layout["extents"]), layout.get("file_bytes"), layout.get("depth")
    )


def _are_plain(rows: Any) -> bool:
    """Return whether there is nothing about rows that the schema could complain of."""
    return isinstance(rows, list) and all(
        type(row) is list and len(row) == 4 and all(type(number) is int and number >= 0 for number in row)
        for row in rows
    )


def _check_tree(tree_blocks: tuple[int, ...], extents: tuple[Extent, ...], block_size: int, at: str) -> None:
    """Raise ConfigError unless these can be the blocks of the extents' tree."""
    needed = plan_tree(normalise(extents, merge=False), block_size).blocks_needed
    if len(set(tree_blocks)) != needed or len(tree_blocks) != needed:
        problem = f"{len(set(tree_blocks))} blocks in a list of {len(tree_blocks)}"
        raise ConfigError(at, problem, f"{needed}, what a tree of {len(extents)} extents takes")
    by_place = sorted(extents, key=_physical)
    for block in tree_blocks:
        before = bisect_right(by_place, block, key=_physical) - 1
        if before >= 0 and block < by_place[before].physical + by_place[before].length:
            raise ConfigError(at, f"block {block} is one of the file's", "blocks of no extent")


def _physical(extent: Extent) -> int:
    return extent.physical
