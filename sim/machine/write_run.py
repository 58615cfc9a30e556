"""
A stream of writes in a machine: the volume's one file written front to back, then brought to the device.

Buffered writes of `bs` bytes, then fsync(2): nothing is written out before, for the file is below the
tenth of memory at which write-back in the background begins. It has its blocks already. On eCryptfs it is the
upper file. Left out: data (off); what a kernel other than 6.1 does otherwise.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

from sim.cache.pages import Mapping
from sim.config.cell_result import CellResult, Number
from sim.engine.cpu import Task
from sim.machine.callers import whole_stacks
from sim.machine.cell_metrics import checksum_metrics
from sim.machine.ledger_rows import call_rows, cpu_metrics, instruction_metrics
from sim.machine.stage import Stage
from sim.machine.write_jobs import MountedForWriting
from sim.units import MIB, NS_PER_S, SECTOR_BYTES


class WriteRun:
    """One stream of writes to a file that is open; nothing of it is in memory."""

    def __init__(self, stage: Stage) -> None:
        said = stage.cell.config.workload.stream_write
        assert said is not None
        machine = stage.machine
        written = stage.open_file(f"/{stage.cell.config.volume.all_files[0].name}")
        self._bs = said.bs_bytes
        self._machine = machine
        self._mounted = MountedForWriting(machine, stage.volume, stage.cell.config)
        self._size = written.inode.size_bytes
        self.mappings: list[Mapping] = [written.mapping]
        self._ended_ns = 0
        self._inode = self._mounted.inode(written)

    def start(self) -> None:
        """Start the writer (WorkloadPlayer)."""
        task = self._machine.cpu.task(0, "writer")
        self._machine.clock.process(self._process(task))

    def _process(self, task: Task) -> Generator[Any, Any, None]:
        for offset in range(0, self._size, self._bs):
            yield from self._mounted.write(task, self._inode, offset, min(self._bs, self._size - offset))
        yield from self._mounted.fsync(task, self._inode)
        self._ended_ns = self._machine.clock.now
        self._mounted.writer.stop_timers()

    def result(self) -> CellResult:
        """Return what the stream came to (WorkloadPlayer)."""
        stats, rows = self._machine.queue.stats, whole_stacks(self._machine, self._machine.ledger.rows())
        elapsed, written = self._ended_ns, self._size
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
            **checksum_metrics(self._machine, rows),
        }
        return CellResult(metrics, call_rows(rows), {"bio_sectors": dict(stats.bio_sectors)})
