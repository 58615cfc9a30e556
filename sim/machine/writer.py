"""
The write side of a machine put together: a mounted ext4 over the machine's queue, and the system calls on it.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Any, Final

from sim.block.bio import Plug
from sim.block.protocols import BioQueue
from sim.cache.page_cache import PageCache
from sim.engine.clock import Clock
from sim.engine.cpu import Cpu, Task
from sim.engine.ledger import Ledger, under
from sim.ext4.format.extents import MAX_UNWRITTEN_BLOCKS
from sim.fs.allocation import Allocator
from sim.fs.bdev_buffers import BdevBuffers
from sim.fs.ext4_super import Ext4Super, MountOptions
from sim.fs.jbd2.commit import Jbd2Journal
from sim.fs.jbd2.log import Log, tags_per_descriptor
from sim.fs.live_inode import LiveInode
from sim.fs.map_flags import CREATE, NO_NORMALIZE, UNWRITTEN
from sim.fs.map_write import WriteMapper
from sim.fs.mballoc.allocator import NoSpaceError
from sim.fs.tree_edit import TreeEditor
from sim.fs.write_out import Disk, WriteOut
from sim.fs.writeback_control import WritebackControl
from sim.fs.zeroout import PageZeroout
from sim.machine.committed_data import CommittedData
from sim.machine.conversions import Conversions
from sim.machine.volume_shape import JournalShape, VolumeShape
from sim.paths.buffered_write import BufferedWrite
from sim.paths.checksums.run_changes import SumPolicy
from sim.paths.checksums.updates import ChecksumUpdates, ChecksumWriteBack
from sim.paths.file_sync import FileSync, WriteBack
from sim.paths.flusher import Flusher, total_dirty
from sim.paths.iomap_write import IomapWrite
from sim.paths.page_bio import INLINE_SYMBOLS
from sim.paths.write_calls import DELALLOC, JOURNALLED, NODELALLOC, PLAIN, WRITE, chain
from sim.paths.write_ciphers import FSCRYPT_WRITES, WriteCiphers
from sim.paths.writepages.designs import WriteDesign, write_design_of
from sim.paths.writepages.ends import WriteBackEnds
from sim.paths.writepages.generic import (
    MPAGE_CALLER,
    BlockWriteFullPage,
    JournalledWritepages,
    MpageWritepages,
)
from sim.paths.writepages.iomap import IomapWritepages
from sim.paths.writepages.page_io import WRITEPAGES, PageIo
from sim.paths.writepages.rounds import Ext4Writepages
from sim.paths.writepages.wait import WriteBackWait, total_under_way
from sim.units import NS_PER_S, PAGE_BYTES

DIRTY_BACKGROUND_PERCENT: Final = 10
DIRTY_PERCENT: Final = 20
"""vm.dirty_background_ratio and vm.dirty_ratio, of all memory (a kernel: of what is available)."""
WRITEBACK_INTERVAL_NS: Final = 5 * NS_PER_S
"""
vm.dirty_writeback_centisecs; every dirty inode is written then, whatever its age (a kernel: after 30 s).
"""
_END_BIO: Final = "end_bio_bh_io_sync"
_PAGE_ENDS: Final = "folio_end_writeback folio_end_writeback;__folio_end_writeback"


class _Chosen(WriteBack):
    """The design that writes an inode's pages: of the mount, or journalled data's own."""

    def __init__(self, writer: Ext4Writer) -> None:
        self._writer = writer

    def writepages(self, task: Task, inode: LiveInode, wbc: WritebackControl) -> Generator[Any, Any, None]:
        """do_writepages()."""
        writer = self._writer
        if writer.loop == "buffer_head":
            return writer.full_page.writepages(task, inode, wbc)
        if writer.loop == "mpage":
            return writer.mpage.writepages(task, inode, wbc)
        if inode.journalled:
            return writer.journalled.writepages(task, inode, wbc)
        if writer.iomap is not None:
            return writer.iomap.writepages(task, inode, wbc)
        return writer.rounds.writepages(task, inode, wbc)


class Ext4Writer:
    """
    A mounted ext4 that is written. path: of write-back, see WRITE_PATHS. plain: writes go without handles,
    as ext2's do.
    """

    def __init__(
        self,
        clock: Clock,
        cpu: Cpu,
        ledger: Ledger,
        queue: BioQueue,
        cache: PageCache,
        shape: VolumeShape,
        options: MountOptions,
        allocator: Allocator,
        path: str = "page_io",
        plain: bool = False,
        disk: Disk | None = None,
        memory_pages: int = 0,
        ciphers: WriteCiphers = FSCRYPT_WRITES,
        caller: str = WRITE,
        checksums: SumPolicy | None = None,
    ) -> None:
        """
        memory_pages: of the machine, which decides how many may be dirty; 0: any number. ciphers: what
        encrypts files that are encrypted. caller: the folded stack that writes files, see BufferedWrite.
        checksums: of data, None without.
        """
        design = write_design_of(path)
        self.clock = clock
        self.loop = design.loop
        self.plain = plain
        self.inodes: dict[int, LiveInode] = {}
        size = shape.block_size
        self.buffers = BdevBuffers(clock, ledger, queue, size, disk)
        self.journal: Jbd2Journal | None = None
        if shape.journal is not None:
            self.journal = self._mount_journal(shape.journal, cpu, ledger, queue, options, disk)
        self.sb = Ext4Super(
            ledger,
            self.buffers,
            self.journal,
            options,
            shape.groups,
            shape.descriptor_blocks,
            PAGE_BYTES // size,
            shape.descriptors_at,
        )
        self.allocator = allocator
        allocator.mount(self.sb)
        trees = TreeEditor(ledger, self.sb, allocator)
        self.zeroout = PageZeroout(clock, ledger, queue, size, disk, ciphers.zeros, INLINE_SYMBOLS)
        self.mapper = WriteMapper(ledger, self.sb, trees, self.zeroout)
        reads = WriteOut(clock, ledger, queue, None, _END_BIO, "", "__wait_on_buffer")
        self.out = WriteOut(
            clock, ledger, queue, disk, f"{_END_BIO} {_END_BIO};end_buffer_write_sync", "", "__wait_on_buffer"
        )
        self.buffered = BufferedWrite(
            clock, ledger, cache, self.sb, self.mapper, reads, ciphers.decrypt, caller
        )
        self._make_page_io(ledger, queue, cpu, design, ciphers)
        self._make_generic(ledger, queue)
        self._make_iomap(ledger, queue, cpu, cache, reads)
        self._make_write_back(clock, ledger, cache, cpu, reads, checksums)
        self._make_sync(ledger, queue, cpu, memory_pages)

    def _make_sync(self, ledger: Ledger, queue: BioQueue, cpu: Cpu, memory_pages: int) -> None:
        """Make what has files written out: system calls, the flusher, commits of their data."""
        self._background = memory_pages * DIRTY_BACKGROUND_PERCENT // 100
        self._most_dirty = memory_pages * DIRTY_PERCENT // 100
        self._timer = self._over = False
        clock, flusher = self.clock, cpu.task(0, "flusher")
        self.wait = WriteBackWait(clock, ledger, queue)
        self.sync = FileSync(clock, ledger, self.sb, self.write_back, self.wait, self.out)
        self.flusher = Flusher(
            clock, ledger, flusher, self.sb, self.inodes, self.write_back, self.wait, self.out
        )
        self.buffered.write_back = self.flusher.finish

    def _make_write_back(
        self,
        clock: Clock,
        ledger: Ledger,
        cache: PageCache,
        cpu: Cpu,
        reads: WriteOut,
        checksums: SumPolicy | None,
    ) -> None:
        """Choose the design of write-back; with checksums, it keeps them up."""
        self.sums: ChecksumUpdates | None = None
        self.write_back: WriteBack = _Chosen(self)
        if checksums is not None:
            parts = clock, ledger, cache, self.sb, cpu.task(0, "kworker"), reads
            self.sums = self.buffered.sums = ChecksumUpdates(*parts, checksums)
            self.zeroout.zeroed = self.sums.owe
            self.write_back = ChecksumWriteBack(self.write_back, self.sums)
            self.for_commit: Any = ChecksumWriteBack(self.for_commit, self.sums, in_commit=True)

    def _mount_journal(
        self,
        shape: JournalShape,
        cpu: Cpu,
        ledger: Ledger,
        queue: BioQueue,
        options: MountOptions,
        disk: Disk | None,
    ) -> Jbd2Journal:
        """Return the journal, with its thread."""
        size = self.buffers.block_size
        tags = tags_per_descriptor(size, shape.tag_bytes, shape.checksums)
        log = Log(shape.places, tags, size, shape.tag_bytes, shape.checksums, shape.head, shape.wide)
        self.buffers.warm([shape.places[0], shape.places[shape.head - 1]])
        journal = Jbd2Journal(
            self.clock,
            ledger,
            queue,
            log,
            self.buffers,
            cpu.task(0, "jbd2"),
            disk,
            options.barrier,
            options.journal_async_commit,
            options.commit_ns,
            shape.is_empty,
        )
        self.files = CommittedData(self, ledger)
        journal.data = self.files
        return journal

    def _make_page_io(
        self, ledger: Ledger, queue: BioQueue, cpu: Cpu, design: WriteDesign, ciphers: WriteCiphers
    ) -> None:
        """Make ext4's own write-back, of allocated pages and of journalled data."""
        size = self.buffers.block_size
        self.ends = WriteBackEnds(
            self.clock,
            ledger,
            "ext4_end_bio ext4_end_bio;ext4_put_io_end_defer",
            "ext4_end_bio;ext4_finish_bio",
            f"fscrypt_free_bounce_page end_page_writeback {_PAGE_ENDS}",
        )
        self.ends.converter = Conversions(
            self.clock, ledger, cpu.task(0, "kworker"), self.sb, self.mapper, self.ends
        )
        page_io = PageIo(ledger, queue, self.ends, size, WRITEPAGES, design.clears_vectors, ciphers)
        self.rounds = Ext4Writepages(ledger, queue, self.sb, self.mapper, page_io, design.scans_once)
        self.journalled = JournalledWritepages(ledger, queue, page_io, size)
        commit = "jbd2_journal_commit_transaction;jbd2_journal_submit_inode_data_buffers;generic_writepages"
        self.for_commit = JournalledWritepages(
            ledger, queue, page_io, size, f"{commit} {commit};write_cache_pages"
        )

    def _make_generic(self, ledger: Ledger, queue: BioQueue) -> None:
        """Make the write-back of fs/buffer.c and fs/mpage.c."""
        size = self.buffers.block_size
        ends = WriteBackEnds(
            self.clock,
            ledger,
            f"{_END_BIO} {_END_BIO};end_buffer_async_write",
            "",
            f"end_page_writeback {_PAGE_ENDS}",
        )
        self.full_page = BlockWriteFullPage(ledger, queue, ends, size)
        confused = BlockWriteFullPage(
            ledger,
            queue,
            ends,
            size,
            page=under(
                f"{MPAGE_CALLER};__mpage_writepage",
                chain("block_write_full_page;__block_write_full_page"),
            ),
        )
        mpage_ends = WriteBackEnds(self.clock, ledger, "mpage_end_io", "", _PAGE_ENDS)
        self.mpage = MpageWritepages(ledger, queue, mpage_ends, size, confused)

    def _make_iomap(
        self, ledger: Ledger, queue: BioQueue, cpu: Cpu, cache: PageCache, reads: WriteOut
    ) -> None:
        """Make writing and write-back of fs/iomap, if that is the design."""
        self.iomap: IomapWritepages | None = None
        self._iomap_write: IomapWrite | None = None
        if self.loop != "iomap":
            return
        end = "iomap_writepage_end_bio"
        page = f"iomap_finish_folio_write {under('iomap_finish_folio_write', _PAGE_ENDS)}"
        ends = WriteBackEnds(self.clock, ledger, f"{end} {end};iomap_finish_ioend", "", page)
        worker = cpu.task(0, "kworker")
        ends.converter = Conversions(self.clock, ledger, worker, self.sb, self.mapper, ends)
        self.iomap = IomapWritepages(ledger, queue, self.sb, self.mapper, ends)
        self._iomap_write = IomapWrite(self.clock, ledger, cache, self.sb, self.mapper, reads)

    def add(self, inode: LiveInode) -> None:
        """Know an inode: it is open."""
        inode.journalled = self.sb.options.data == "journal" and not inode.encrypted
        self.inodes[inode.number] = inode

    def mode(self, inode: LiveInode) -> int:
        """Return which pair of write_begin and write_end an inode has."""
        if self.plain:
            return PLAIN
        if inode.journalled:
            return JOURNALLED
        return DELALLOC if self.sb.delalloc else NODELALLOC

    def write(
        self, task: Task, inode: LiveInode, offset: int, length: int, data: bytes = b""
    ) -> Generator[Any, Any, None]:
        """write(2). data: what is written, where bytes are kept."""
        yield from self.sb.locks.lock(task, inode)
        if self._iomap_write is not None and not inode.journalled:
            yield from self._iomap_write.write(task, inode, offset, length, data)
        else:
            yield from self.buffered.write(task, inode, offset, length, self.mode(inode), data)
        yield from task.settle()
        if self._most_dirty:
            yield from self._balance_dirty_pages(task)
        inode.rwsem.up_write()

    def _balance_dirty_pages(self, task: Task) -> Generator[Any, Any, None]:
        """
        balance_dirty_pages(): beyond the background threshold the flusher is woken; beyond the other, for
        which pages under write-back count, too, the writer waits.

        It waits until the flusher's pass is over and enough has been written, where a kernel lets it go on at
        the device's pace.
        """
        if not self._timer and not self._over:
            self._timer = True
            self.clock.call(WRITEBACK_INTERVAL_NS, self._tick, None)
        dirty = total_dirty(self.inodes.values())
        if dirty + total_under_way(self.inodes.values()) > self._most_dirty:
            yield from self.flusher.finish(task)
            yield from self.wait.until(task, self.inodes.values(), self._most_dirty)
        elif dirty > self._background:
            self.flusher.start()

    def _tick(self, _: Any) -> None:
        """dirty_writeback_centisecs: the flusher looks for pages that have been dirty for long."""
        self._timer = False
        if self._over:
            return
        if total_dirty(self.inodes.values()):
            self.flusher.start()
            self._timer = True
            self.clock.call(WRITEBACK_INTERVAL_NS, self._tick, None)

    def stop_timers(self) -> None:
        """Nothing is written any more: what is dirty stays so."""
        self._over = True
        if self.journal is not None:
            self.journal.close()

    def fallocate(
        self, task: Task, inode: LiveInode, offset: int, length: int, keep_size: bool
    ) -> Generator[Any, Any, None]:
        """fallocate(2): unwritten extents over a range (ext4_alloc_file_blocks())."""
        size, sb = self.sb.block_size, self.sb
        lblk, end = offset // size, -(-(offset + length) // size)
        flags = CREATE | UNWRITTEN
        if end - lblk <= MAX_UNWRITTEN_BLOCKS:
            flags |= NO_NORMALIZE
        yield from sb.locks.lock(task, inode)
        while lblk < end:
            yield from sb.start(task, sb.extent_credits())
            try:
                plug = Plug(holds=False)
                found = yield from self.mapper.map_blocks(task, inode, lblk, end - lblk, flags, plug)
            except NoSpaceError:
                inode.rwsem.up_write()
                raise
            lblk += found.length
            if not keep_size and min(lblk * size, offset + length) > inode.size:
                inode.size = inode.disksize = min(lblk * size, offset + length)
                inode.reach(-(-inode.size // PAGE_BYTES), sb.per_page)
            sb.mark_inode_dirty(task, inode)
            sb.stop(task)
        yield from task.settle()
        inode.rwsem.up_write()
