"""
One bio in pieces: where the limits of a queue cut it, and in how many pieces a memory device copies it.
"""

from __future__ import annotations

from sim.block.bio import Bio
from sim.block.queue.gaps import gap_between
from sim.units import PAGE_SECTORS


def copies(bio: Bio) -> int:
    """Return in how many pieces a memory device copies a bio: vectors, cut where they cross its pages."""
    vectors = bio.segments if bio.count == 1 else bio.count
    crossing = bio.sector % PAGE_SECTORS and bio.unit_sectors >= PAGE_SECTORS
    return vectors * 2 if crossing else vectors


def segments_of(vectors: list[int], most: int) -> int:
    """Return how many segments these vectors (in sectors) are; `most`: sectors of one, 0: no limit."""
    if not most:
        return len(vectors)
    segments = 0
    for sectors in vectors:
        segments += -(-sectors // most)
    return segments


def cuts_of(
    bio: Bio, max_sectors: int, max_segments: int, boundary: bool, most: int = 0
) -> list[tuple[int, int]]:
    """
    Return (sectors, segments) of the pieces of a bio: as much each time as the limits take (bio_split_rw).

    The bio's vectors are its pages, the first and last of each of its runs of blocks maybe in part; with
    large folios those it has noted. boundary: it is cut where it has a gap. most: sectors of a segment.
    """
    if bio.vectors is not None:
        return _cuts(bio.vectors, max_sectors, max_segments, most)
    per_page = bio.blocks_per_page
    block_sectors = PAGE_SECTORS // per_page
    vectors: list[int] = []
    last = None
    for lblk, count in bio.blocks:
        if boundary and last is not None and gap_between(last, lblk, per_page):
            vectors.append(0)
        last = lblk + count - 1
        while count:
            blocks = min(count, per_page - lblk % per_page)
            vectors.append(blocks * block_sectors)
            lblk, count = lblk + blocks, count - blocks
    return _cuts(vectors, max_sectors, max_segments, 0)


def _cuts(vectors: list[int], max_sectors: int, max_segments: int, most: int) -> list[tuple[int, int]]:
    """Return the pieces that vectors of so many sectors are cut into; 0: a cut in any case."""
    cuts = []
    sectors = segments = 0
    for left in vectors:
        if not left:
            cuts.append((sectors, segments))
            sectors = segments = 0
        while left:
            if sectors == max_sectors or segments == max_segments:
                cuts.append((sectors, segments))
                sectors = segments = 0
            take = min(left, max_sectors - sectors)
            if most:
                take = min(take, most)
            sectors, segments, left = sectors + take, segments + 1, left - take
    return [*cuts, (sectors, segments)]
