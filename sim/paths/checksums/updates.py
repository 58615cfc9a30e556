"""
Checksums of what is written, in a kernel that had them: computed when pages go to the disk, or to the log.

data=ordered, writeback: at write-back, when all of a round is submitted. Blocks with checksums are metadata
of the running transaction, which fsync(2) then has to commit, also after a mere overwrite. Between data and
that commit a block on the disk does not have its checksum: a power cut there is a false alarm. What a commit
itself writes out gets its checksums by a worker, in the transaction after. data=journal: at write(2), in a
handle behind the write's own.

A run has one checksum, so who writes a part of it reads the rest, unless that is in memory (read, modify,
hash); to cut the run instead would need the same read, for the checksums of its pieces.

Left out: bytes (data is off); waiting for another's update of the same block; extents that are new, with
lists; a page that is read to be written in part is not verified.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Any, Final

from sim.block.bio import Plug
from sim.block.opf import REQ_OP_READ
from sim.cache.page_cache import PageCache
from sim.cache.page_cache_ra import INSERT_SYMBOLS, Reclaim
from sim.cache.pages import ABSENT, Mapping
from sim.engine.clock import Clock
from sim.engine.cpu import Task
from sim.engine.ledger import TASK, Ledger
from sim.fs.ext4_super import Ext4Super
from sim.fs.file_tags import FileTags, Run
from sim.fs.live_inode import BH_DIRTY, LiveInode
from sim.fs.write_out import Pending, WriteOut, sector_of
from sim.fs.writeback_control import WritebackControl
from sim.paths.checksums.symbols import LOOKUP, SET
from sim.paths.file_sync import WriteBack
from sim.units import SECTOR_BYTES

_A_HANDLE: Final = 8
"""Blocks with checksums that are changed under one handle."""
_STACK: Final = "ext4_data_csum_update"


class ChecksumUpdates:
    """
    Keeps up the checksums of files. files: by inode. computed: checksums so far; hashed_bytes: what for.

    read_blocks: blocks with checksums that were read, more_blocks: of data, for the rest of a run; logged:
    how often a block with checksums was given to a transaction.
    """

    def __init__(
        self,
        clock: Clock,
        ledger: Ledger,
        cache: PageCache,
        sb: Ext4Super,
        worker: Task,
        reads: WriteOut,
        symbol: str,
    ) -> None:
        """worker: who follows a commit. reads: on whose way the rest of a run comes. symbol: algorithm's."""
        self.files: dict[int, FileTags] = {}
        self.computed = self.hashed_bytes = self.read_blocks = self.more_blocks = self.logged = 0
        self._clock = clock
        self._sb = sb
        self._worker = worker
        self._cache = cache
        self._s_add = ledger.site(TASK, _STACK, INSERT_SYMBOLS)
        self._reclaim = Reclaim(ledger, cache, _STACK)
        self._reads = reads
        self.queue = reads.queue
        self._owed: list[tuple[LiveInode, list[Run]]] = []
        self._settling = False
        self._s_lookup = ledger.site(TASK, _STACK, LOOKUP)
        self._s_unit = ledger.site(TASK, _STACK, f"{SET} {SET};{symbol}", unit=symbol)

    def update(self, task: Task, inode: LiveInode, written: list[Run]) -> Generator[Any, Any, None]:
        """Compute the checksums of blocks that are written, and have the journal log them."""
        tags = self.files.get(inode.number)
        if tags is None or not written:
            return
        size = self._sb.buffers.block_size
        if tags.by_run:
            tag_blocks, units, hashed = yield from self._of_runs(task, inode, tags, written)
        else:
            tag_blocks, units = self._of_table(inode, tags, written)
            hashed = (units + len(tag_blocks)) * size
            units += len(tag_blocks)
        self.computed += units
        self.hashed_bytes += hashed
        task.ps += self._s_unit.charge_units(units, hashed)
        yield from self._log(task, inode, tag_blocks)

    def update_bytes(
        self, task: Task, inode: LiveInode, offset: int, length: int
    ) -> Generator[Any, Any, None]:
        """The same of the blocks of a write(2)."""
        size = self._sb.buffers.block_size
        first, end = offset // size, -(-(offset + length) // size)
        return self.update(task, inode, [(first, end - first)])

    def _of_table(self, inode: LiveInode, tags: FileTags, written: list[Run]) -> tuple[list[int], int]:
        """Return the rows of a table that change, in order, and how many blocks they are for."""
        rows: dict[int, int] = {}
        units = 0
        for lblk, blocks in written:
            at, stop = lblk, lblk + blocks
            while at < stop:
                end = at + 1
                while end < stop and inode.place[end] == inode.place[at] + end - at:
                    end += 1
                for row in tags.tag_blocks(inode.place[at], end - at):
                    rows[row] = 1
                units += end - at
                at = end
        return list(rows), units

    def _of_runs(
        self, task: Task, inode: LiveInode, tags: FileTags, written: list[Run]
    ) -> Generator[Any, Any, tuple[list[int], int, int]]:
        """Have all of the runs in memory; return the list's blocks, checksums and bytes that are hashed."""
        numbers: dict[int, int] = {}
        for lblk, blocks in written:
            for number in tags.runs(lblk, blocks):
                numbers[number] = 1
        size, hashed = self._sb.buffers.block_size, tags.length_bytes
        pending: list[Pending] = []
        came: list[Run] = []
        plug = Plug()
        for number in numbers:
            start, blocks = tags.run(number)
            hashed += blocks * size
            pending += self._read_rest(task, inode, start, blocks, plug, came)
        if pending:
            self.queue.flush_for_sleep(task, plug)
            yield from self._reads.wait(task, pending)
            for start, blocks in came:
                self._keep(task, inode.mapping, start, blocks)
        return tags.tag_blocks(0, 0), len(numbers) + 1, hashed

    def _read_rest(
        self, task: Task, inode: LiveInode, start: int, blocks: int, plug: Plug, came: list[Run]
    ) -> list[Pending]:
        """Submit reads of what is not in memory of a run, and note it; a run lies in a row on the device."""
        state, per_page, size = inode.mapping.state, self._sb.per_page, self._sb.buffers.block_size
        extent = inode.tree.covering(start)
        assert extent is not None
        first = extent.physical + start - extent.logical
        pending: list[Pending] = []
        at, stop = start, start + blocks
        while at < stop:
            end = at
            while end < stop and state[end // per_page] == ABSENT:
                end += 1
            if end > at:
                self.more_blocks += end - at
                came.append((at, end - at))
                pending.append(
                    self._reads.submit(
                        task,
                        plug,
                        sector_of(first + at - start, size),
                        (end - at) * size // SECTOR_BYTES,
                        -(-(end - at) // per_page),
                        [(first + at - start, end - at)],
                        None,
                        REQ_OP_READ,
                    )
                )
            at = max(end, at + 1)
        return pending

    def _keep(self, task: Task, mapping: Mapping, start: int, blocks: int) -> None:
        """Have whole pages of what was read in the page cache, unless they are there by now."""
        per_page = self._sb.per_page
        for page in range(-(-start // per_page), (start + blocks) // per_page):
            if mapping.state[page] == ABSENT:
                self._reclaim.pay(task, self._cache.insert(mapping, page, page + 1))
                task.ps += self._s_add.charge(1)
                mapping.set_uptodate(page, page + 1)

    def _log(self, task: Task, inode: LiveInode, tag_blocks: list[int]) -> Generator[Any, Any, None]:
        """Have the running transaction take blocks with checksums; a list in its inode goes with that."""
        sb = self._sb
        for at in range(0, max(len(tag_blocks), 1), _A_HANDLE):
            some = tag_blocks[at : at + _A_HANDLE]
            for block in some:
                task.ps += self._s_lookup.charge(1)
                if not sb.buffers.holds(block):
                    self.read_blocks += 1
                    yield from sb.buffers.read(task, block, Plug(holds=False))
            yield from sb.start(task, len(some) + 1)
            for block in some:
                sb.buffers.getblk(task, 1)
                sb.get_write_access(task, block)
                sb.dirty_metadata(task, block)
                self.logged += 1
            if not tag_blocks:
                sb.mark_inode_dirty(task, inode)
            sb.note_sync(task, inode, True)
            sb.stop(task)

    def owe(self, inode: LiveInode, written: list[Run]) -> None:
        """A commit has written blocks: a worker sees to their checksums when it can."""
        self._owed.append((inode, written))
        if not self._settling:
            self._settling = True
            self._clock.process(self._settle())

    def _settle(self) -> Generator[Any, Any, None]:
        while self._owed:
            inode, written = self._owed.pop(0)
            yield from self.update(self._worker, inode, written)
            yield from self._worker.settle()
        self._settling = False


def _dirty(inode: LiveInode) -> bytes:
    """Return a byte a block: BH_DIRTY or 0."""
    return bytes(inode.state).translate(_ONLY_DIRTY)


_ONLY_DIRTY: Final = bytes([value & BH_DIRTY for value in range(256)])


def _cleaned(before: bytes, after: bytes) -> list[Run]:
    """Return the blocks that were dirty and are not any more."""
    runs: list[Run] = []
    at = before.find(BH_DIRTY)
    while at >= 0:
        end = at
        while end < len(before) and before[end] and not after[end]:
            end += 1
        if end > at:
            runs.append((at, end - at))
        at = before.find(BH_DIRTY, max(end, at + 1))
    return runs


class ChecksumWriteBack(WriteBack):
    """
    A way to write pages back, and the checksums of what it writes (WriteBack).

    in_commit: a commit calls it, which cannot change what it commits.
    """

    def __init__(self, write_back: Any, updates: ChecksumUpdates, in_commit: bool = False) -> None:
        self._write_back = write_back
        self._updates = updates
        self._in_commit = in_commit

    def writepages(self, task: Task, inode: LiveInode, wbc: WritebackControl) -> Generator[Any, Any, None]:
        """do_writepages(), then the checksums."""
        if inode.journalled or inode.number not in self._updates.files:
            yield from self._write_back.writepages(task, inode, wbc)
            return
        before = _dirty(inode)
        yield from self._write_back.writepages(task, inode, wbc)
        written = _cleaned(before, _dirty(inode))
        if self._in_commit:
            if written:
                self._updates.owe(inode, written)
            return
        if task.blocked is not None:
            yield from self._updates.queue.wait_for_tag(task)
        yield from self._updates.update(task, inode, written)
