"""
What of files with checksums has come, and is verified together.
"""

from __future__ import annotations

from sim.block.bio import Bio, EndIo
from sim.fs.file_tags import FileTags
from sim.units import SECTOR_BYTES


class Arrived:
    """
    A bio that has come; left: its runs that are not verified. end_io: what it goes on to. whole: what is bad
    of it fails all of it.
    """

    __slots__ = ("bio", "end_io", "left", "whole")

    def __init__(self, bio: Bio, end_io: EndIo, left: int, whole: bool) -> None:
        self.bio = bio
        self.end_io = end_io
        self.left = left
        self.whole = whole

    def refuse(self, lblk: int, blocks: int) -> None:
        """Note that some blocks, of which this bio has all or a part, are bad."""
        bad = self.bio.bad or []
        for first, count in self.bio.blocks:
            start, stop = max(first, lblk), min(first + count, lblk + blocks)
            if start < stop:
                bad.append((start, stop - start))
        self.bio.bad = bad
        self.bio.failed |= self.whole


class Batch:
    """
    What is verified together, and the bios that hold it. runs: of a list, by number; with a table none: all
    blocks of its one bio. tag_blocks: with their checksums; lost: of these, which cannot be used.

    items: how many work items it is; more for a row of one-block bios.
    """

    __slots__ = ("arrived", "items", "lost", "runs", "tag_blocks", "tags")

    def __init__(
        self,
        tags: FileTags,
        runs: list[int],
        tag_blocks: list[int],
        arrived: list[Arrived],
        items: int = 1,
    ) -> None:
        self.tags = tags
        self.runs = runs
        self.tag_blocks = tag_blocks
        self.arrived = arrived
        self.items = items
        self.lost: list[int] = []

    def pieces(self, block_size: int) -> list[tuple[int, int, int, bool]]:
        """
        Return (first block of the file, where it lies, blocks, whether they can be verified) of a bio's
        blocks, cut where checksums that can be used meet others.
        """
        bio = self.arrived[0].bio
        physical = bio.sector * SECTOR_BYTES // block_size
        found: list[tuple[int, int, int, bool]] = []
        for lblk, count in bio.blocks:
            at = 0
            while self.lost and at < count:
                end = at
                lost = self.tags.tag_blocks(physical + at, 1)[0] in self.lost
                while end < count and (self.tags.tag_blocks(physical + end, 1)[0] in self.lost) == lost:
                    end += 1
                found.append((lblk + at, physical + at, end - at, not lost))
                at = end
            if not self.lost:
                found.append((lblk, physical, count, True))
            physical += count
        return found
