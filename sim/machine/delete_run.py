"""
Deleting a file so that it cannot be read again, in a machine and on its image: how long it takes, what is
left.

    unlink            unlink(2) and fsync(2) of the directory: names and maps go, the bytes stay
    clobber           the wrapped keys overwritten in their xattr, that committed and brought in place
                      (EXT4_IOC_CHECKPOINT), then the log read and every copy of the keys in it overwritten,
                      as `image shred` does
    clobber-zeroout   the same, but zeros over the whole log: EXT4_IOC_CHECKPOINT with its ZEROOUT flag
    overwrite         the contents overwritten in 128 KiB writes and fdatasync(2), `passes` times: shred

The volume is mounted for writing, as for jobs; a user who has a key overwrites, so what overwrites is
encrypted, too. What is written is written by the bios that are simulated: the image afterwards has what they
brought. What unlinking has committed is brought in place after the measured part, as a kernel does within
half a minute.

Left out: which blocks ext4_xattr_set() changes is the image editor's to say, in one handle.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import asdict
from typing import Any

from sim.block.bio import Plug
from sim.cache.pages import Mapping
from sim.config.cell_result import CellResult, Number
from sim.crypto.keys.file_keys import KEYS_NAME, clobbered, secret_parts
from sim.engine.cpu import Task
from sim.engine.ledger import TASK
from sim.errors import InvariantError
from sim.ext4.edit.editor import ImageEditor
from sim.ext4.edit.scrub import find_words, wipe_words, words_of
from sim.ext4.format.journal_blocks import Written
from sim.ext4.make.content import random_contents
from sim.fs.jbd2.checkpoint import Erase
from sim.fs.jbd2.commit import Jbd2Journal
from sim.fs.jbd2.erase import LogErase
from sim.machine.callers import whole_stacks
from sim.machine.ledger_rows import call_rows, cpu_metrics, instruction_metrics
from sim.machine.stage import Stage
from sim.machine.write_jobs import MountedForWriting
from sim.units import KIB, MIB, NS_PER_S, SECTOR_BYTES
from sim.volume.keyed_image import replaced, wrapped_keys
from sim.volume.leftovers import Finder
from sim.volume.scheme_image import key_ring, openers

WRITE_BYTES = 128 * KIB
NOT_SEARCHED = -1
XATTR_CREDITS = 6
"""EXT4_XATTR_TRANS_BLOCKS."""


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
        self._file = stage.open_file(self._path)
        self._real = cell.config.data == "real"
        self._mounted = MountedForWriting(machine, volume, cell.config)
        self._writer = self._mounted.writer
        self._inode = self._mounted.inode(self._file)
        ledger = machine.ledger
        self._log = LogErase(ledger, self._writer.out, self._journal.log.places, volume.block_size)
        self._s_xattr = ledger.site(TASK, "", "entry_SYSCALL_64 ext4_xattr_set")
        self._s_ioctl = ledger.site(TASK, "", "entry_SYSCALL_64")
        self._measured: CellResult | None = None

    @property
    def _journal(self) -> Jbd2Journal:
        """The volume's; sim.config.checks has asked for one."""
        assert self._writer.journal is not None
        return self._writer.journal

    def start(self) -> None:
        """Start the task that deletes (WorkloadPlayer)."""
        task = self._machine.cpu.task(0, self._said.method)
        self._machine.clock.process(self._process(task))

    @property
    def mappings(self) -> list[Mapping]:
        """The file's (WorkloadPlayer)."""
        return [self._file.mapping]

    def result(self) -> CellResult:
        """Return what it came to, with what is left of the file on the image (WorkloadPlayer)."""
        result = self._measured
        if result is None:
            raise InvariantError("a deletion did not end")
        left: dict[str, Number] = dict.fromkeys(("keys_left", "blocks_left", "bytes_recovered"), NOT_SEARCHED)
        kept = self._mounted.bytes
        if kept is not None:
            unlinked = self._said.method == "unlink"
            if unlinked:
                self._mounted.write_out(in_place=True)
            said, seed = self._cell.config.encryption, self._cell.config.volume.seed
            finder = Finder(self._volume, self._file.on_disk, key_ring(said, seed), openers(said))
            left = dict(asdict(finder.look(kept.disk)))
            if not unlinked:
                self._mounted.write_out()
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
        self._writer.stop_timers()

    # -- the methods ---------------------------------------------------------------------------------

    def _unlink(self, task: Task) -> Generator[Any, Any, None]:
        """Take the name away and commit that."""
        self._inode.open_files = 0
        yield from self._mounted.unlink(task, self._file, self._inode)
        yield from self._writer.sync.fsync(task, self._mounted.names().root.inode)

    def _clobber(self, task: Task, zero_log: bool) -> Generator[Any, Any, None]:
        """Overwrite the wrapped keys where they lie, and what the journal has of them."""
        raw = wrapped_keys(self._file.on_disk)
        yield from self._read_xattrs(task)
        yield from self._set_xattrs(task, self._clobbered(raw))
        yield from self._writer.sync.fsync(task, self._inode)
        task.ps += self._s_ioctl.charge(1)
        erase: Erase | None = self._log.zero if zero_log else None
        yield from self._journal.flush(task, erase)
        if not zero_log:
            yield from self._log.search(task)
            yield from self._log.write_over(task, self._copies_in_log(raw))

    def _read_xattrs(self, task: Task) -> Generator[Any, Any, None]:
        """Have the blocks with the xattrs in memory."""
        buffers = self._writer.buffers
        for block in [block for batch in self._file.xattr_blocks for block in batch]:
            buffers.make(task, block)
            yield from buffers.read(task, block, Plug(holds=False))

    def _set_xattrs(self, task: Task, blocks: Sequence[Written]) -> Generator[Any, Any, None]:
        """ext4_xattr_set(): change these blocks, and the inode, in one handle."""
        sb = self._writer.sb
        task.ps += self._s_xattr.charge(1)
        yield from sb.start(task, XATTR_CREDITS + len(blocks))
        for block, data in blocks:
            if sb.bytes is not None:
                sb.bytes.given[block] = data
            sb.get_write_access(task, block)
            sb.dirty_metadata(task, block)
        sb.mark_inode_dirty(task, self._inode)
        sb.stop(task)

    def _overwrite(self, task: Task) -> Generator[Any, Any, None]:
        """Write over all blocks of the file, pass by pass."""
        size = self._volume.block_size
        whole = -(-self._inode.size // size) * size
        for number in range(self._said.passes):
            for offset in range(0, whole, WRITE_BYTES):
                length = min(WRITE_BYTES, whole - offset)
                data = self._pattern(number, offset, length)
                yield from self._mounted.write(task, self._inode, offset, length, data)
            yield from self._mounted.fsync(task, self._inode, data_only=True)

    # -- bytes ---------------------------------------------------------------------------------------

    def _clobbered(self, raw: bytes) -> list[Written]:
        """Return the blocks that another value in place of the wrapped keys changes, as they are to be."""
        editor = ImageEditor(self._image)
        on_disk = self._file.on_disk
        editor.set_xattrs(on_disk.number, replaced(on_disk.xattrs, KEYS_NAME, clobbered(raw)))
        size, blocks = self._volume.block_size, []
        for offset, data in editor.changes():
            for at in range(0, len(data), size):
                block, new = (offset + at) // size, data[at : at + size]
                if new != bytes(self._volume.store.read(block * size, size)):
                    blocks.append((block, new))
        return blocks

    def _copies_in_log(self, raw: bytes) -> list[Written]:
        """
        Return the blocks of the log that have something of these wrapped keys, wiped.

        With data off: of the log as it was, but for what has been written over since.
        """
        words, size, found = words_of(secret_parts(raw)), self._volume.block_size, []
        log, kept = self._journal.log, self._mounted.bytes
        store = self._volume.store if kept is None else kept.disk
        for block in log.places if kept is not None else log.places[log.head :]:
            data = store.read(block * size, size)
            if find_words(data, words):
                wiped = bytearray(data)
                wipe_words(wiped, words)
                found.append((block, bytes(wiped)))
        return found

    def _pattern(self, number: int, offset: int, length: int) -> bytes:
        """Return what pass `number` writes: bytes that look random."""
        if not self._real:
            return b""
        return random_contents(self._cell.seed, f"pass {number}", offset, length).tobytes()

    def _result(self) -> CellResult:
        """Return what the measured part gives."""
        stats, rows = self._machine.queue.stats, whole_stacks(self._machine, self._machine.ledger.rows())
        elapsed = self._machine.clock.now
        file_bytes = self._file.on_disk.size_bytes
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
