"""
Holding the counts of shared blocks (feature shared_blocks, a file of the root) against the extents of files.

Blocks in a row of which the same is wrong are one line. Left out: images that share blocks and count nothing
(Android's), in which nothing can be wrong.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from itertools import pairwise

from sim.errors import ImageError
from sim.ext4.check.disk import Disk
from sim.ext4.check.findings import Findings
from sim.ext4.check.seen import Tables
from sim.ext4.format.dirs import read_block
from sim.ext4.format.extents import Extent
from sim.ext4.format.features import RoCompat
from sim.ext4.format.inode import ROOT_INODE
from sim.ext4.format.refcounts import Record, decode_leaves
from sim.ext4.read.counts import COUNTS_NAME, COUNTS_PATH


def check_counts(disk: Disk, findings: Findings, tables: Tables) -> None:
    """Judge the file of counts, if there is one: each damaged block, else each run of wrong counts."""
    number = _counts_file(disk, tables) if disk.sb.has(RoCompat.SHARED_BLOCKS) else None
    if number is None:
        return
    seen, place = tables.used.get(number), f"inode {number} ({COUNTS_PATH})"
    if seen is None or not seen.is_regular:
        findings.say(place, "counts who shares blocks, and is no file in use")
        return
    places = (range(extent.physical, extent.physical + extent.length) for extent in seen.mapped.extents)
    blocks = [bytes(disk.block(block)) for run in places for block in run]
    try:
        leaves = decode_leaves(blocks, place)
    except ImageError as error:
        findings.say(error.place, error.problem)
        return
    extents = (extent for each in tables.used.values() for extent in each.mapped.extents)
    for line in wrong_runs([record for leaf in leaves for record in leaf], extents):
        findings.say(place, line)


def wrong_runs(records: Iterable[Record], extents: Iterable[Extent]) -> list[str]:
    """Return a line for each run of blocks of which the records do not say how many extents have it."""
    said, real = Counter[int](), Counter[int]()
    for first, length, files in records:
        said.update({first: files})
        said.update({first + length: -files})
    for extent in extents:
        real.update({extent.physical: 1})
        real.update({extent.physical + extent.length: -1})
    found: list[tuple[int, int, int, int]] = []
    counted = there = 0
    places = sorted(said.keys() | real.keys())
    for start, stop in pairwise(places):
        counted, there = counted + said[start], there + real[start]
        if counted == (there if there > 1 else 0):
            continue
        if found and found[-1][1:] == (start, counted, there):
            found[-1] = (found[-1][0], stop, counted, there)
        else:
            found.append((start, stop, counted, there))
    return [_line(*run) for run in found]


def _line(start: int, stop: int, counted: int, there: int) -> str:
    blocks = f"block {start}" if stop == start + 1 else f"blocks {start} to {stop - 1}"
    have = "no file has" if not there else "one file has" if there == 1 else f"{there} files have"
    count = f"{counted} files are counted" if counted else "no record"
    return f"{blocks}: {count}, {have} {'it' if stop == start + 1 else 'them'}"


def _counts_file(disk: Disk, tables: Tables) -> int | None:
    """Return the number of the root's file of counts, None without."""
    root = tables.used.get(ROOT_INODE)
    for extent in root.mapped.extents if root is not None else ():
        for block in range(extent.physical, extent.physical + extent.length):
            for entry in read_block(disk.block(block))[0]:
                if entry.name == COUNTS_NAME:
                    return entry.inode
    return None
