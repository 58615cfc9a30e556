"""
The common window in one step: whole pages that lie in one mapped run which the status cache knows.

Every path that builds page bios does the same with such a window, whatever its loop looks like: one map
call (the counterfactual: one per block), one bio, alone under its plug. This is that outcome without the
loop; any other window takes it. The tests hold the two against each other.
"""

from __future__ import annotations

from sim.block.bio import MAX_VECTORS
from sim.block.protocols import BioQueue
from sim.cache.filemap import OpenFile, PageRange
from sim.engine.cpu import Task
from sim.engine.ledger import Ledger, Site
from sim.fs.ext4_map import Mapper
from sim.fs.fs_inode import FsInode
from sim.fs.status_cache import WRITTEN
from sim.paths.page_bio import INLINE_VECTORS, PageBioFactory
from sim.units import PAGE_BYTES


class OneRun:
    """
    One path's common window.

    call, mapped, page: the path's sites per call, per map call and per page. per_block: map every block.
    """

    def __init__(
        self,
        ledger: Ledger,
        queue: BioQueue,
        mapper: Mapper,
        bios: PageBioFactory,
        block_size: int,
        call: Site,
        mapped: Site,
        page: Site,
        per_block: bool = False,
    ) -> None:
        self._takes_alone = never_alone if mapper.by_block else queue.takes_alone
        self._submit_alone = queue.submit_alone
        self._mapper = mapper
        self._bios = bios
        self._per_page = PAGE_BYTES // block_size
        self._per_block = per_block
        self._s_map = ledger.fuse(mapper.mapped, mapped)
        self._s_call = ledger.fuse(call, bios.allocated, *queue.alone, self._s_map)
        self._s_page = ledger.fuse(page, bios.added)

    def read(self, task: Task, file: OpenFile, ranges: list[PageRange]) -> bool:
        """Read the pages if they are such a window; return whether they were."""
        if len(ranges) != 1:
            return False
        inode: FsInode = file.inode
        start, end = ranges[0]
        pages = end - start
        lblk, blocks = start * self._per_page, pages * self._per_page
        sectors = blocks * self._bios.block_sectors
        if (
            inode.inline
            or pages > MAX_VECTORS
            or lblk + blocks > inode.blocks
            or not self._takes_alone(sectors, pages)
        ):
            return False
        status = inode.map.status
        found = status.lookup(lblk)
        if found is None or found.kind != WRITTEN or found.length < blocks:
            return False
        maps = blocks if self._per_block else 1
        mapped, added = self._mapper.mapped, self._bios.added
        levels = maps * status.levels
        call, page = self._s_call, self._s_page
        call.passes += 1
        page.passes += pages
        mapped.units += levels
        added.units += pages - 1
        task.ps += call.ps + pages * page.ps + levels * mapped.unit_ps + (pages - 1) * added.unit_ps
        if pages > INLINE_VECTORS:
            task.ps += self._bios.charge_array(pages)
        if maps > 1:
            task.ps += self._s_map.charge(maps - 1)
        self._submit_alone(task, self._bios.whole(file, found.physical, lblk, blocks, pages))
        return True


def never_alone(_sectors: int, _segments: int) -> bool:
    """No window is charged in one step."""
    return False
