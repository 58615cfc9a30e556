"""
The layout of a real file from a FIEMAP list as JSON.

A FIEMAP list is {"block_size": bytes, "extents": [[logical, physical, length, flags], ...]} in bytes, with
an optional "file_bytes" (the size of the file; else the extents end it) and "tree_blocks": [physical block,
...] (see Placed). A bare list of extents is taken too. Source of the flags:
Documentation/filesystems/fiemap.rst, Linux 6.1.

Taken: last, merged (block by block, put together for the list), shared (a clone has the blocks too),
encrypted (by the file system, block for block), unwritten. All others say that the blocks are not those of
the file's bytes, or not here, and are refused by name.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise

from sim.documents import parse_json
from sim.errors import ConfigError
from sim.ext4.format.extents import MAX_LOGICAL_BLOCKS, MAX_PHYSICAL_BLOCK, Extent, normalise
from sim.ext4.make.layout import Placed

FIEMAP_UNWRITTEN = 0x800
TAKEN = {0x1: "last", 0x80: "encrypted", FIEMAP_UNWRITTEN: "unwritten", 0x1000: "merged", 0x2000: "shared"}
REFUSED = {
    0x2: "unknown",
    0x4: "delalloc",
    0x8: "encoded",
    0x100: "not_aligned",
    0x200: "inline",
    0x400: "tail",
    0x8000_0000: "net",
}
"""No place yet (unknown, delalloc), not the file's bytes (encoded), part of a block, on another machine."""

Row = tuple[int, int, int, int]


def placed_from_named(
    place: str,
    rows: Iterable[tuple[str, Row]],
    block_size: int,
    tree_blocks: Iterable[int] = (),
    size_bytes: int | None = None,
) -> Placed:
    """
    Return the layout of FIEMAP rows (logical, physical, length, flags), in bytes, each with its own place.

    Extents longer than an entry holds are cut; none are merged. size_bytes: of the file, if it is known.
    ConfigError, naming a row's place, if it is no multiple of `block_size` bytes, or its flags say that its
    blocks are not the file's; naming `place` for what is wrong with them together.
    """
    extents = [_extent(where, row, block_size) for where, row in rows]
    by_place = sorted(extents, key=lambda extent: extent.physical)
    for left, right in pairwise(by_place):
        if left.physical + left.length > right.physical:
            problem = (
                f"block {right.physical} of the device at logical blocks {left.logical} and {right.logical}"
            )
            raise ConfigError(place, problem, "a block once: ext4 shares none")
    return Placed(tuple(normalise(extents, merge=False)), tuple(tree_blocks), size_bytes)


def _extent(where: str, row: Row, block_size: int) -> Extent:
    logical, physical, length, flags = row
    require_taken(where, flags)
    if logical % block_size or physical % block_size or length % block_size or length == 0:
        raise ConfigError(
            where,
            f"{length} bytes at {logical}, on the device at {physical}",
            f"multiples of {block_size} bytes",
        )
    extent = Extent(
        logical // block_size,
        physical // block_size,
        length // block_size,
        bool(flags & FIEMAP_UNWRITTEN),
    )
    if (
        min(extent[:3]) < 0
        or extent.logical + extent.length > MAX_LOGICAL_BLOCKS
        or extent.physical + extent.length > MAX_PHYSICAL_BLOCK
    ):
        raise ConfigError(
            where, f"{length} bytes at {logical}, on the device at {physical}", "what ext4 can hold"
        )
    return extent


def require_taken(where: str, flags: int) -> None:
    """Raise ConfigError, naming `where` and the flags, unless blocks with these can be laid out."""
    refused = [f"{word} (flag {bit:#x})" for bit, word in REFUSED.items() if flags & bit]
    if refused:
        raise ConfigError(where, f"is {', '.join(refused)}", "extents with blocks of their own")
    if flags & ~sum(TAKEN):
        words = ", ".join(f"{bit:#x} ({word})" for bit, word in TAKEN.items())
        raise ConfigError(where, f"flag {flags & ~sum(TAKEN):#x} is not known", words)


def parse_fiemap(place: str, text: str, block_size: int | None = None) -> Placed:
    """
    Return the layout in a FIEMAP list as JSON.

    block_size: of the image to be made; ConfigError if the list says another, or none is known.
    """
    data = parse_json(text, place, "a FIEMAP list")
    table = data if isinstance(data, dict) else {"extents": data}
    rows, said = table.get("extents"), table.get("block_size", block_size)
    tree_blocks, size_bytes = table.get("tree_blocks", []), table.get("file_bytes")
    if not isinstance(rows, list) or not all(_is_numbers(row, 4) for row in rows):
        raise ConfigError(
            place, "has no list of extents", '"extents": [[logical, physical, length, flags], ...]'
        )
    if not _is_numbers(tree_blocks):
        raise ConfigError(f"{place}: tree_blocks", f"{tree_blocks!r}"[:80], "a list of block numbers")
    if size_bytes is not None and (not _is_numbers([size_bytes]) or size_bytes < 0):
        raise ConfigError(f"{place}: file_bytes", f"{size_bytes!r}"[:80], "a number of bytes")
    named = ((f"{place}: extent {number}", row) for number, row in enumerate(rows))
    return placed_from_named(place, named, _agree(place, said, block_size), tree_blocks, size_bytes)


def _is_numbers(value: object, count: int | None = None) -> bool:
    return (
        isinstance(value, list)
        and (count is None or len(value) == count)
        and all(isinstance(number, int) and not isinstance(number, bool) for number in value)
    )


def _agree(place: str, said: object, wanted: int | None) -> int:
    size = wanted if wanted is not None else said
    if not isinstance(said, int) or isinstance(said, bool) or said <= 0 or size != said:
        allowed = f"{wanted}, the image's" if wanted else "a number of bytes"
        raise ConfigError(place, f"block_size is {said!r}", allowed)
    return said
