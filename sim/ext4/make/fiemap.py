"""
The layout of a real file: from a FIEMAP list as JSON, or from the text that `filefrag -v` prints.

A FIEMAP list is {"block_size": bytes, "extents": [[logical, physical, length, flags], ...]} in bytes, with
an optional "tree_blocks": [physical block, ...] (see Placed). A bare list of extents is taken too.
Source of the flags: Documentation/filesystems/fiemap.rst, Linux 6.1.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable

from sim.errors import ConfigError
from sim.ext4.format.extents import MAX_LOGICAL_BLOCKS, MAX_PHYSICAL_BLOCK, Extent, normalise
from sim.ext4.make.layout import Placed

FIEMAP_UNWRITTEN = 0x800
_NO_PLACE = {0x2: "unknown", 0x4: "delalloc", 0x100: "not_aligned", 0x200: "inline", 0x400: "tail"}

_HEADER = re.compile(r"\(\d+ blocks? of (\d+) bytes\)")
_ROW = re.compile(
    r"\s*\d+:\s*(\d+)\.\.\s*\d+:\s*(\d+)\.\.\s*\d+:\s*(\d+):(?:\s*\d+:)?\s*([a-z_,]*)\s*", re.ASCII
)


def placed_from_bytes(
    place: str, rows: Iterable[tuple[int, int, int, int]], block_size: int, tree_blocks: Iterable[int] = ()
) -> Placed:
    """
    Return the layout of FIEMAP rows (logical, physical, length, flags), in bytes.

    Extents longer than an entry holds are cut; none are merged. ConfigError, naming `place`, on a row that
    is no multiple of `block_size` bytes or says that its blocks have no place yet.
    """
    extents = []
    for number, (logical, physical, length, flags) in enumerate(rows):
        where = f"{place}: extent {number}"
        for bit, word in _NO_PLACE.items():
            if flags & bit:
                raise ConfigError(where, f"is {word} (flag {bit:#x})", "extents with blocks of their own")
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
        extents.append(extent)
    return Placed(tuple(normalise(extents, merge=False)), tuple(tree_blocks))


def parse_fiemap(place: str, text: str, block_size: int | None = None) -> Placed:
    """
    Return the layout in a FIEMAP list as JSON.

    block_size: of the image to be made; ConfigError if the list says another, or none is known.
    """
    try:
        data = json.loads(text)
    except ValueError as error:
        raise ConfigError(place, f"is not JSON ({error})", "a FIEMAP list") from error
    table = data if isinstance(data, dict) else {"extents": data}
    rows, said = table.get("extents"), table.get("block_size", block_size)
    tree_blocks = table.get("tree_blocks", [])
    if not isinstance(rows, list) or not all(_is_numbers(row, 4) for row in rows):
        raise ConfigError(
            place, "has no list of extents", '"extents": [[logical, physical, length, flags], ...]'
        )
    if not _is_numbers(tree_blocks):
        raise ConfigError(f"{place}: tree_blocks", f"{tree_blocks!r}"[:80], "a list of block numbers")
    return placed_from_bytes(place, rows, _agree(place, said, block_size), tree_blocks)


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


def parse_filefrag(place: str, text: str, block_size: int) -> Placed:
    """
    Return the layout in the text that `filefrag -v FILE` prints (its units are in its header line).

    block_size: of the image to be made, bytes.
    """
    header = _HEADER.search(text)
    if header is None:
        raise ConfigError(place, "has no line with '(N blocks of N bytes)'", "the text of filefrag -v")
    unit = int(header[1])
    rows = []
    for line in text[header.end() :].splitlines():
        match = _ROW.fullmatch(line)
        if match:
            logical, physical, length = (int(match[group]) * unit for group in (1, 2, 3))
            words = {word for word in match[4].split(",") if word}
            flags = FIEMAP_UNWRITTEN if "unwritten" in words else 0
            flags |= sum(bit for bit, word in _NO_PLACE.items() if word in words or f"{word}_loc" in words)
            rows.append((logical, physical, length, flags))
        elif re.match(r"\s*\d+:", line):
            raise ConfigError(place, f"{line.strip()!r} is not understood", "a row of filefrag -v")
    return placed_from_bytes(place, rows, block_size)
