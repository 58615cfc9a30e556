"""
Checksums of what is written, in a kernel that had them: computed when pages go to the disk, or to the log.

data=ordered, writeback: at write-back, when all of a round is submitted. Blocks with checksums are metadata
of the running transaction, which fsync(2) then has to commit, also after a mere overwrite. Between data and
that commit a block on the disk does not have its checksum: a power cut there is a false alarm. What a commit
itself writes out, and zeros over what is left of an unwritten extent, get their checksums by a worker, in the
transaction after. data=journal: at write(2), page by page, under the handle that logs the page.

A run has one checksum: what that means for who writes a part of it stands in run_changes.py.

Many files share a row of a table: who changes it holds its buffer's lock while he puts the checksums there
and makes the row's own, and waits for a commit that is writing it (sim.fs.buffer_locks). So it is with the
blocks of a list.

Left out: extents that are new, with lists; a page that is read to be written in part is not verified;
xattr_sem, under which a file's list would change.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Any, Final

from sim.block.bio import Plug
from sim.cache.page_cache import PageCache
from sim.engine.clock import Clock
from sim.engine.cpu import Task
from sim.engine.ledger import TASK, Ledger
from sim.fs.buffer_locks import BufferLocks
from sim.fs.crypt_sites import BlockCalls
from sim.fs.ext4_super import Ext4Super
from sim.fs.file_tags import DECRYPTED, STORED, FileTags, ListTags, Run
from sim.fs.live_inode import BH_DIRTY, LiveInode
from sim.fs.tag_bytes import Piece, TagBytes
from sim.fs.write_out import WriteOut
from sim.fs.writeback_control import WritebackControl
from sim.paths.checksums.run_changes import STACK, RunChanges, SumPolicy, TagChange
from sim.paths.checksums.symbols import LOOKUP, SET, TAG_BYTES
from sim.paths.file_sync import WriteBack
from sim.paths.write_ciphers import SEAL

_A_HANDLE: Final = 8
"""Blocks of a table that are changed under one handle."""


class ChecksumUpdates:
    """
    Keeps up the checksums of files. files: by inode. computed: checksums so far; hashed_bytes: what for.

    read_blocks: blocks with checksums that were read; logged: how often one was given to a transaction.
    locks: of these blocks. runs: the changes of lists. bytes: None if data is off.
    """

    def __init__(
        self,
        clock: Clock,
        ledger: Ledger,
        cache: PageCache,
        sb: Ext4Super,
        worker: Task,
        reads: WriteOut,
        policy: SumPolicy,
    ) -> None:
        """worker: who follows a commit. reads: on whose way the rest of a run comes."""
        self.files: dict[int, FileTags] = {}
        self.bytes: TagBytes | None = None
        self.computed = self.hashed_bytes = self.read_blocks = self.logged = 0
        self._clock = clock
        self._sb = sb
        self._worker = worker
        self.locks = BufferLocks(clock, ledger, sb.buffers, sb.journal)
        self.queue = reads.queue
        self.runs = RunChanges(ledger, cache, reads, sb.per_page, sb.block_size, policy)
        self._owed: list[tuple[LiveInode, list[Run]]] = []
        self._settling = False
        self._waiting: list[Any] = []
        self._s_lookup = ledger.site(TASK, STACK, LOOKUP)
        self._s_unit = ledger.site(TASK, STACK, f"{SET} {SET};{policy.symbol}", unit=policy.symbol)
        self._of = policy.of
        seal = SEAL if policy.of == DECRYPTED else BlockCalls("", "")
        self._s_seal = ledger.site(TASK, STACK, seal.calls, unit=seal.unit)

    def update(self, task: Task, inode: LiveInode, written: list[Run]) -> Generator[Any, Any, None]:
        """Compute the checksums of blocks that are written, and have the journal log them."""
        if not written or inode.number not in self.files:
            return
        change = yield from self._change_of(task, inode, written)
        if change.units:
            self._compute(task, change)
            yield from self._log(task, inode, change)

    def before(self, task: Task, inode: LiveInode, written: list[Run]) -> Generator[Any, Any, None]:
        """Blocks are to be written over: read what of them is needed."""
        tags = self.files.get(inode.number)
        if isinstance(tags, ListTags):
            read = yield from self.runs.before(task, inode, tags, written)
            if read and self.bytes is not None:
                self.bytes.old_read(inode, read)

    def credits(self, inode: LiveInode) -> int:
        """Return for how many blocks with checksums a handle needs credits that writes a page of a file."""
        tags = self.files.get(inode.number)
        if tags is None:
            return 0
        return len(tags.changed_blocks()) + 1 if isinstance(tags, ListTags) else self._sb.per_page

    def ready(
        self, task: Task, inode: LiveInode, first: int, end: int
    ) -> Generator[Any, Any, TagChange | None]:
        """Have in memory what changes with blocks [first, end) of a file, to be written under a handle."""
        if inode.number not in self.files:
            return None
        yield from self.before(task, inode, [(first, end - first)])
        change = yield from self._change_of(task, inode, [(first, end - first)])
        for block in change.tag_blocks:
            yield from self._in_memory(task, block)
        return change

    def log_now(self, task: Task, inode: LiveInode, change: TagChange | None) -> Generator[Any, Any, None]:
        """Compute checksums and have the journal log them, under the handle that the task has."""
        if change is not None:
            self._compute(task, change)
            yield from self._take(task, inode, change, change.tag_blocks)

    def _change_of(self, task: Task, inode: LiveInode, written: list[Run]) -> Generator[Any, Any, TagChange]:
        """Return what changes with these blocks; have in memory what of the data is needed."""
        tags = self.files[inode.number]
        if isinstance(tags, ListTags):
            change = yield from self.runs.of(task, inode, tags, written)
            return change
        return self._of_table(inode, tags, written)

    def _compute(self, task: Task, change: TagChange) -> None:
        """
        Charge what computing costs, but for the rows' own checksums, made under their locks. Tags that a
        table has of plaintext, or of the cipher's, were paid for when their blocks were encrypted; those of
        runs are not, for a run has many pages.
        """
        self.computed += change.units
        self.hashed_bytes += change.hashed
        rows = len(change.rows)
        if self._of == STORED or not rows:
            units = change.units - rows
            task.ps += self._s_unit.charge_units(units, change.hashed - rows * self._sb.block_size)
            if self._of == DECRYPTED:
                task.ps += self._s_seal.charge_units(units - 1, (units - 1) * TAG_BYTES)

    def _of_table(self, inode: LiveInode, tags: FileTags, written: list[Run]) -> TagChange:
        """Return the rows of a table that change, in order, and what they are for."""
        rows: dict[int, list[Piece]] = {}
        units = 0
        for lblk, blocks in written:
            at, stop = lblk, lblk + blocks
            while at < stop:
                extent = inode.tree.covering(at)
                if extent is None:
                    break  # it was taken away since
                first = extent.physical + at - extent.logical
                count = min(extent.logical + extent.length, stop) - at
                for row, physical, length in tags.cut(first, count):
                    rows.setdefault(row, []).append((at + physical - first, physical, length))
                units += count
                at += count
        size = self._sb.buffers.block_size
        return TagChange(list(rows), units + len(rows), (units + len(rows)) * size, rows, [])

    def _log(self, task: Task, inode: LiveInode, change: TagChange) -> Generator[Any, Any, None]:
        """
        Have the running transaction take blocks with checksums: all of a list in one handle, for in two
        transactions it would be torn by a power cut; what of it is in its inode goes with that.
        """
        sb, tag_blocks = self._sb, change.tag_blocks
        step = _A_HANDLE if change.rows else max(len(tag_blocks), 1)
        for at in range(0, max(len(tag_blocks), 1), step):
            some = tag_blocks[at : at + step]
            for block in some:
                yield from self._in_memory(task, block)
            yield from sb.start(task, len(some) + 1)
            yield from self._take(task, inode, change, some)
            sb.stop(task)

    def _in_memory(self, task: Task, block: int) -> Generator[Any, Any, None]:
        """Look a block with checksums up, and read it if it is not in memory."""
        buffers = self._sb.buffers
        task.ps += self._s_lookup.charge(1)
        if not buffers.holds(block):
            self.read_blocks += 1
            yield from buffers.read(task, block, Plug(holds=False))

    def _take(
        self, task: Task, inode: LiveInode, change: TagChange, some: list[int]
    ) -> Generator[Any, Any, None]:
        """Change blocks with checksums under the task's handle, and what of a list is in its inode."""
        sb, kept = self._sb, self.bytes
        tags = self.files.get(inode.number)
        if isinstance(tags, ListTags) and change.written:
            runs = self.runs.take(tags, change.written)
            change.written = []
            if kept is not None:
                kept.runs_written(inode, runs, change.derived)
        for block in some:
            sb.buffers.getblk(task, 1)
            yield from self.locks.may_change(task, block)
            sb.get_write_access(task, block)
            yield from self.locks.lock(task, block)
            if change.rows:
                task.ps += self._s_unit.charge_units(1, sb.block_size)
            if kept is not None and change.rows:
                kept.pieces_written(inode, change.rows[block])
            yield from self.locks.unlock(task, block)
            sb.dirty_metadata(task, block)
            self.logged += 1
        if isinstance(tags, ListTags) and tags.in_inode:
            sb.mark_inode_dirty(task, inode)
        sb.note_sync(task, inode, True)

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
        waiting, self._waiting = self._waiting, []
        for event in waiting:
            event.succeed()

    def settled(self, task: Task) -> Generator[Any, Any, None]:
        """Wait until no commit has written blocks without checksums."""
        while self._settling:
            event = self._clock.event()
            self._waiting.append(event)
            yield from task.wait(event)


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
        if not self._in_commit:
            yield from self._updates.before(task, inode, _cleaned(before, bytes(len(before))))
        yield from self._write_back.writepages(task, inode, wbc)
        written = _cleaned(before, _dirty(inode))
        if self._in_commit:
            if written:
                self._updates.owe(inode, written)
            return
        if task.blocked is not None:
            yield from self._updates.queue.wait_for_tag(task)
        yield from self._updates.update(task, inode, written)
