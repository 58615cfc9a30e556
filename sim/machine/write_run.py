"""
A stream of writes in a machine: the volume's one file written front to back, then brought to the device.

Buffered writes of `bs` bytes, then sync: nothing is written out before, for the file is below the tenth of
memory at which writeback in the background begins. It has its blocks already. Left out: their allocation, the
journal, the flusher's timer, data (off).
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

from sim.cache.address_space import OpenFile
from sim.cache.buffered_write import BufferedWriter, DirtyPages
from sim.config.cell_result import CellResult, Number
from sim.engine.cpu import Task
from sim.machine.ledger_rows import call_rows, cpu_metrics, instruction_metrics
from sim.machine.stage import Stage
from sim.paths.writeback import Ext4Writeback
from sim.stack.ecryptfs import EcryptfsInode
from sim.stack.ecryptfs_write import LOWER_CALLER, EcryptfsWriter
from sim.units import MIB, NS_PER_S, SECTOR_BYTES


class WriteRun:
    """One stream of writes to a file that is open; nothing of it is in memory."""

    def __init__(self, stage: Stage) -> None:
        said = stage.cell.config.workload.stream_write
        assert said is not None
        machine = stage.machine
        written = stage.open_file(f"/{stage.cell.config.volume.all_files[0].name}")
        inode, mapping = written.inode, written.mapping
        self._bs = said.bs_bytes
        self._machine = machine
        self._file = machine.open(mapping, inode)
        self.mappings = [mapping]
        self._dirty = DirtyPages()
        block_size = machine.spec.block_size
        ledger, cache = machine.ledger, machine.cache
        if isinstance(inode, EcryptfsInode):
            lower = BufferedWriter(ledger, cache, block_size, LOWER_CALLER)
            assert machine.spec.ecryptfs is not None
            self._upper = EcryptfsWriter(ledger, cache, lower, machine.spec.ecryptfs.cipher)
            self._lower: OpenFile = inode.lower
            self._plain: BufferedWriter | None = None
        else:
            self._plain = BufferedWriter(ledger, cache, block_size)
            self._lower = self._file
        # eCryptfs' files have no dirty pages: the sync goes to the file below, under no caller's plug.
        self._writeback = Ext4Writeback(machine.clock, ledger, machine.disk, block_size, None)

    def start(self) -> None:
        """Start the writer (WorkloadPlayer)."""
        task = self._machine.cpu.task(0, "writer")
        self._machine.clock.process(self._process(task))

    def _process(self, task: Task) -> Generator[Any, Any, None]:
        file, size = self._file, self._file.size_bytes
        levels = self._lower.inode.map.status.levels
        for offset in range(0, size, self._bs):
            length = min(self._bs, size - offset)
            if self._plain is not None:
                self._plain.write(task, file, self._dirty, offset, length, levels)
            else:
                self._upper.write(task, file, self._dirty, offset, length)
        yield from task.settle()
        runs = self._dirty.take(self._lower.mapping)
        yield from self._writeback.fdatasync(task, self._lower.inode, runs, None)
        yield from task.settle()

    def result(self) -> CellResult:
        """Return what the stream came to (WorkloadPlayer)."""
        stats, rows = self._machine.queue.stats, self._machine.ledger.rows()
        elapsed, written = self._machine.clock.now, self._file.size_bytes
        metrics: dict[str, Number] = {
            "elapsed_ns": elapsed,
            "bytes_read": 0,
            "pages_read": 0,
            "bytes_streamed": written,
            **cpu_metrics([(row.context, row.ps) for row in rows], written),
            **instruction_metrics(rows, written),
            "bios": stats.queued,
            "requests": stats.issued,
            "bytes_written": stats.write_sectors * SECTOR_BYTES,
            "write_bios": stats.write_bios,
            "write_requests": stats.write_requests,
            "flushes": stats.flushes,
            "pages_cached": self._machine.cache.cached,
            "buffer_head_pages": self._machine.cache.head_pages,
            "peak_pages": self._machine.cache.peak,
            "device_busy_ns": stats.busy_ns,
            "throughput_mib_s": written / MIB * NS_PER_S / elapsed,
            "digest_ok": -1,
        }
        return CellResult(metrics, call_rows(rows), {"bio_sectors": dict(stats.bio_sectors)})
