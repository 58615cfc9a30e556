"""
Deleting a file so that it cannot be read again, in a machine and on its image: how long it takes, what is
left.

    unlink            unlink(2) and fsync(2) of the directory: names and maps go, the bytes stay
    clobber           the wrapped keys overwritten in their xattr, the journal committed and checkpointed,
                      then the log read and every copy of the keys in it overwritten, as `image shred` does
    clobber-zeroout   the same, but zeros over the whole log: EXT4_IOC_CHECKPOINT with its ZEROOUT flag
    overwrite         the contents overwritten in 128 KiB writes and fdatasync(2), `passes` times: shred

What is written is written by the bios that are simulated: the image afterwards has what they brought. The
unlinked file's metadata is brought in place after the measured part, as a kernel does within half a minute.

Left out: encryption of what overwrites (whoever has no key writes past the cipher: a lower bound for
overwriting), reading of bitmaps and directories (in memory), the orphan list's own transactions.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import asdict
from typing import Any

from sim.block.bio import Plug
from sim.cache.buffered_write import BufferedWriter, DirtyPages
from sim.cache.pages import Mapping
from sim.config.cell_result import CellResult, Number
from sim.crypto.keys.file_keys import KEYS_NAME, clobbered, secret_parts
from sim.engine.cpu import Task
from sim.engine.ledger import TASK
from sim.errors import InvariantError
from sim.ext4.check.run import check_image
from sim.ext4.edit.editor import ImageEditor
from sim.ext4.edit.overlay import OverlayStore
from sim.ext4.edit.scrub import find_words, wipe_words, words_of
from sim.ext4.format.journal import Journal, Written
from sim.ext4.make.content import random_contents
from sim.ext4.read.reader import Image
from sim.fs.buffer_cache import BufferCache
from sim.fs.fs_inode import FsInode
from sim.fs.jbd2.flush import Jbd2
from sim.machine.callers import whole_stacks
from sim.machine.ledger_rows import call_rows, cpu_metrics, instruction_metrics
from sim.machine.schemes import xattr_blocks
from sim.machine.stage import Stage
from sim.paths.writeback import Ext4Writeback
from sim.units import KIB, MIB, NS_PER_S, SECTOR_BYTES
from sim.volume.keyed_image import replaced, wrapped_keys
from sim.volume.leftovers import Finder
from sim.volume.scheme_image import key_ring, openers

WRITE_BYTES = 128 * KIB
NOT_SEARCHED = -1


class DeleteRun:
    """One deletion of the volume's one file."""

    def __init__(self, stage: Stage) -> None:
        cell, machine, volume = stage.cell, stage.machine, stage.volume
        said = cell.config.workload.secure_delete
        assert said is not None
        self._said = said
        self._cell = cell
        self._machine = machine
        self._volume = volume
        self._image = stage.image
        self._path = "/" + cell.config.volume.all_files[0].name
        self._on_disk = volume.lookup(self._path)
        self._real = cell.config.data == "real"
        self._disk = OverlayStore(volume.store)
        disk = self._disk if self._real else None
        clock, ledger, queue, size = machine.clock, machine.ledger, machine.disk, volume.block_size
        self._jbd2 = Jbd2(clock, ledger, queue, Journal.of(volume), disk)
        self._writeback = Ext4Writeback(clock, ledger, queue, size, disk)
        self._writer = BufferedWriter(ledger, machine.cache, size)
        self._xattrs = BufferCache(clock, ledger, queue, size, None, "ext4_xattr_set")
        self._s_xattr = ledger.site(TASK, "", "entry_SYSCALL_64 ext4_xattr_set")
        self._s_unlink = ledger.site(TASK, "", "entry_SYSCALL_64*2 ext4_unlink ext4_sync_file")
        self._s_free = ledger.site(TASK, "ext4_unlink", "ext4_free_blocks")
        self._inode = FsInode(self._on_disk.tree, self._on_disk.size_bytes, size)
        self._inode.map.status.fill()
        self._mapping = machine.mapping(self._inode)
        self._later: list[Written] = []
        self._measured: CellResult | None = None

    def start(self) -> None:
        """Start the task that deletes (WorkloadPlayer)."""
        task = self._machine.cpu.task(0, self._said.method)
        self._machine.clock.process(self._process(task))

    @property
    def mappings(self) -> list[Mapping]:
        """The file's (WorkloadPlayer)."""
        return [self._mapping]

    def result(self) -> CellResult:
        """Return what it came to, with what is left of the file on the image (WorkloadPlayer)."""
        result = self._measured
        if result is None:
            raise InvariantError("a deletion did not end")
        left: dict[str, Number] = dict.fromkeys(("keys_left", "blocks_left", "bytes_recovered"), NOT_SEARCHED)
        if self._real:
            problems = check_image(Image(self._disk, str(self._image)))
            if problems:
                raise InvariantError(f"the image after {self._said.method} is not sound: {problems[0]}")
            said, seed = self._cell.config.encryption, self._cell.config.volume.seed
            finder = Finder(self._volume, self._on_disk, key_ring(said, seed), openers(said))
            left = dict(asdict(finder.look(self._disk)))
        return CellResult({**result.metrics, **left}, result.calls, result.histograms)

    def _process(self, task: Task) -> Generator[Any, Any, None]:
        match self._said.method:
            case "unlink":
                yield from self._unlink(task)
            case "overwrite":
                yield from self._overwrite(task)
            case method:
                yield from self._clobber(task, zero_log=method == "clobber-zeroout")
        yield from task.settle()
        self._measured = self._result()
        if self._later:
            yield from self._jbd2.checkpoint(task, self._later)
            yield from task.settle()

    # -- the methods ---------------------------------------------------------------------------------

    def _unlink(self, task: Task) -> Generator[Any, Any, None]:
        """Take the name away and commit that."""
        editor = ImageEditor(self._image)
        editor.remove(self._path, as_kernel=True)
        blocks = self._changed(editor)
        task.ps += self._s_unlink.charge(1)
        task.ps += self._s_free.charge(len(self._on_disk.tree.extents) + bool(self._on_disk.raw.xattr_block))
        self._jbd2.modify(task, len(blocks))
        yield from self._jbd2.commit(task, blocks)
        self._later = blocks

    def _clobber(self, task: Task, zero_log: bool) -> Generator[Any, Any, None]:
        """Overwrite the wrapped keys where they lie, and what the journal has of them."""
        raw = wrapped_keys(self._on_disk)
        for batch in xattr_blocks(self._volume, self._on_disk):
            for block in batch:
                yield from self._xattrs.get(task, block, Plug())
        editor = ImageEditor(self._image)
        xattrs = replaced(self._on_disk.xattrs, KEYS_NAME, clobbered(raw))
        editor.set_xattrs(self._on_disk.number, xattrs)
        blocks = self._changed(editor)
        task.ps += self._s_xattr.charge(1)
        self._jbd2.modify(task, len(blocks))
        yield from self._jbd2.commit(task, blocks)
        yield from self._jbd2.checkpoint(task, blocks)
        if zero_log:
            yield from self._jbd2.zero_log(task)
            return
        yield from self._jbd2.search_log(task)
        yield from self._jbd2.out.wait(task, self._jbd2.write(task, self._copies_in_log(raw)))
        yield from self._jbd2.out.flush(task)

    def _overwrite(self, task: Task) -> Generator[Any, Any, None]:
        """Write over all blocks of the file, pass by pass."""
        whole = self._inode.blocks * self._volume.block_size
        file = self._machine.open(self._mapping, self._inode)
        dirty, levels = DirtyPages(), self._inode.map.status.levels
        for number in range(self._said.passes):
            for offset in range(0, whole, WRITE_BYTES):
                self._writer.write(task, file, dirty, offset, min(WRITE_BYTES, whole - offset), levels)
            yield from task.settle()
            runs = dirty.take(self._mapping)
            yield from self._writeback.fdatasync(task, self._inode, runs, self._pattern(number))

    # -- bytes ---------------------------------------------------------------------------------------

    def _changed(self, editor: ImageEditor) -> list[Written]:
        """Return the blocks of the file system that an editor has changed, as they are to be."""
        size, blocks = self._volume.block_size, []
        for offset, data in editor.changes():
            for at in range(0, len(data), size):
                block, new = (offset + at) // size, data[at : at + size]
                if new != bytes(self._volume.store.read(block * size, size)):
                    blocks.append((block, new))
        return blocks

    def _copies_in_log(self, raw: bytes) -> list[Written]:
        """Return the blocks of the log that have something of these wrapped keys, wiped."""
        words, size, found = words_of(secret_parts(raw)), self._volume.block_size, []
        store = self._disk if self._real else self._volume.store
        for block in self._jbd2.journal.blocks:
            data = store.read(block * size, size)
            if find_words(data, words):
                wiped = bytearray(data)
                wipe_words(wiped, words)
                found.append((block, bytes(wiped)))
        return found

    def _pattern(self, number: int) -> Any:
        """Return what pass `number` writes: bytes that look random."""
        size, seed = self._volume.block_size, self._cell.seed
        if not self._real:
            return None
        return lambda lblk, count: random_contents(
            seed, f"pass {number}", lblk * size, count * size
        ).tobytes()

    def _result(self) -> CellResult:
        """Return what the measured part gives."""
        stats, rows = self._machine.queue.stats, whole_stacks(self._machine, self._machine.ledger.rows())
        elapsed = self._machine.clock.now
        file_bytes = self._on_disk.size_bytes
        metrics: dict[str, Number] = {
            "elapsed_ns": elapsed,
            "delete_ns": elapsed,
            "bytes_read": 0,
            "bytes_deleted": file_bytes,
            "pages_read": 0,
            **cpu_metrics([(row.context, row.ps) for row in rows], file_bytes),
            **instruction_metrics(rows, file_bytes),
            "bios": stats.queued,
            "requests": stats.issued,
            "back_merges": stats.back_merges,
            "bytes_written": stats.write_sectors * SECTOR_BYTES,
            "write_bios": stats.write_bios,
            "write_requests": stats.write_requests,
            "flushes": stats.flushes,
            "device_busy_ns": stats.busy_ns,
            "throughput_mib_s": file_bytes / MIB * NS_PER_S / elapsed,
            "digest_ok": NOT_SEARCHED,
        }
        histograms = {
            "bio_sectors": dict(stats.bio_sectors),
            "request_sectors": dict(stats.request_sectors),
        }
        return CellResult(metrics, call_rows(rows), histograms)
