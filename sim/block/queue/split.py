"""
One bio in pieces: where the limits of a queue cut it, and in how many pieces a memory device copies it.
"""

from __future__ import annotations

from sim.block.bio import Bio
from sim.block.queue.gaps import gap_between
from sim.units import PAGE_SECTORS


def copies(bio: Bio) -> int:
    """
    Return in how many pieces a memory device copies a bio: vectors, cut where they cross its pages; one of a
    large folio is a vector for each of its pages.
    """
    if bio.vectors is not None and bio.count == 1:
        return _copies_of_pages(bio)
    vectors = bio.segments if bio.count == 1 else bio.count
    crossing = bio.sector % PAGE_SECTORS and bio.unit_sectors >= PAGE_SECTORS
    return vectors * 2 if crossing else vectors


def _copies_of_pages(bio: Bio) -> int:
    """Return the pieces of a bio that has large folios: of each page, and of each page of the device."""
    block_sectors = bio.sectors // sum(blocks for _, blocks in bio.blocks)
    pieces, sector = 0, bio.sector
    for lblk, blocks in bio.blocks:
        at, sectors = lblk * block_sectors, blocks * block_sectors
        pieces += _pages_of(at, sectors)
        if (at - sector) % PAGE_SECTORS:
            pieces += _pages_of(sector, sectors) - 1
        sector += sectors
    return pieces


def _pages_of(sector: int, sectors: int) -> int:
    """Return how many pages so many sectors have a part in."""
    return (sector + sectors - 1) // PAGE_SECTORS - sector // PAGE_SECTORS + 1


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
        return _cuts([(vector, 1) for vector in bio.vectors], max_sectors, max_segments, most)
    per_page = bio.blocks_per_page
    block_sectors = PAGE_SECTORS // per_page
    vectors: list[tuple[int, int]] = []  # (sectors of each, how many)
    last = None
    for lblk, count in bio.blocks:
        if boundary and last is not None and gap_between(last, lblk, per_page):
            vectors.append((0, 1))
        last = lblk + count - 1
        head = min(count, -lblk % per_page)
        pages, tail = divmod(count - head, per_page)
        vectors += [(head * block_sectors, 1)] * (head > 0) + [(PAGE_SECTORS, pages)] * (pages > 0)
        vectors += [(tail * block_sectors, 1)] * (tail > 0)
    return _cuts(vectors, max_sectors, max_segments, 0)


def _cuts(
    vectors: list[tuple[int, int]], max_sectors: int, max_segments: int, most: int
) -> list[tuple[int, int]]:
    """Return the pieces that vectors, (sectors, how many), are cut into; (0, 1): a cut in any case."""
    cuts = []
    sectors = segments = 0
    for each, many in vectors:
        if not each:
            cuts.append((sectors, segments))
            sectors = segments = 0
            continue
        while many:
            whole = min(many, (max_sectors - sectors) // each, max_segments - segments)
            whole = 0 if most and each > most else whole
            sectors, segments, many = sectors + whole * each, segments + whole, many - whole
            left = each if many else 0
            while left:  # a vector that does not fit as a whole
                if sectors == max_sectors or segments == max_segments:
                    cuts.append((sectors, segments))
                    sectors = segments = 0
                take = min(left, max_sectors - sectors)
                take = min(take, most) if most else take
                sectors, segments, left = sectors + take, segments + 1, left - take
            many -= many > 0
    return [*cuts, (sectors, segments)]
