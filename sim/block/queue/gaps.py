"""
The virt boundary of a queue: memory runs of one request that need not begin or end on it only at its ends.

NVMe's PRPs are pages: but for the first and the last, each is whole (blk_queue_virt_boundary() of
drivers/nvme/host/core.c, 4095). So bios merge only where no gap comes between (bio_will_gap() of
block/blk-merge.c), and never behind one that begins inside a page, and a bio is split where it has a gap.
Places are in blocks of the owner's; pages are taken as scattered, and blocks that follow one another on the
disk and in number as one file's.
"""

from __future__ import annotations

from sim.block.bio import Bio, Request
from sim.errors import InvariantError
from sim.units import PAGE_SECTORS


def gap_between(last: int, first: int, per_page: int) -> bool:
    """
    Tell whether a gap comes between a run that ends with block `last` and one that begins with `first`.

    Neighbours in one page are one run.
    """
    return first != last + 1 and bool((last + 1) % per_page or first % per_page)


def gap_behind(request: Request, bio: Bio, first: int) -> bool:
    """Tell whether the bio's block `first` cannot follow a request (req_gap_back_merge())."""
    per_page = bio.blocks_per_page
    if request.bios[0].blocks[0][0] % per_page:
        return True
    lblk, count = request.bios[-1].blocks[-1]
    return gap_between(lblk + count - 1, first, per_page)


def gap_before(request: Request, bio: Bio, first: int, last: int) -> bool:
    """Tell whether a request cannot follow the bio's blocks `first` to `last` (req_gap_front_merge())."""
    per_page = bio.blocks_per_page
    return first % per_page > 0 or gap_between(last, request.bios[0].blocks[0][0], per_page)


def blocks_between(bio: Bio, sector: int, sectors: int) -> tuple[int, int]:
    """Return the first and the last block of a part of a bio, or of a row."""
    if sectors == bio.sectors:
        lblk, count = bio.blocks[-1]
        return bio.blocks[0][0], lblk + count - 1
    per_page = bio.blocks_per_page
    left = (sector - bio.sector) * per_page // PAGE_SECTORS
    blocks = sectors * per_page // PAGE_SECTORS
    for lblk, count in bio.blocks:
        if left < count:
            return lblk + left, lblk + left + max(blocks, 1) - 1
        left -= count
    raise InvariantError(f"a bio has no sector {sector}")


def has_gap(bio: Bio) -> bool:
    """Tell whether one bio has a gap between its runs."""
    per_page = bio.blocks_per_page
    for (lblk, count), (first, _) in zip(bio.blocks, bio.blocks[1:], strict=False):
        if gap_between(lblk + count - 1, first, per_page):
            return True
    return False
