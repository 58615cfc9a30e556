"""
What a run of readers on a machine comes to: metrics, calls, histograms, and traced reads and bios.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from sim.block.io_record import STAGES
from sim.config.cell_result import CellResult, IoRow, JobRow, Number, ReadRow
from sim.engine.costs import PS_PER_NS
from sim.engine.ledger import CallRow
from sim.errors import ConfigError, InvariantError
from sim.machine.callers import whole_stacks
from sim.machine.integrity import integrity_metrics
from sim.machine.job_writes import write_metrics
from sim.machine.ledger_rows import call_rows, cpu_metrics, instruction_metrics
from sim.machine.machine import Machine
from sim.machine.verify import Verifier
from sim.paths.checksums.read_path import ChecksumPath
from sim.paths.checksums.verification import Verification
from sim.units import MIB, NS_PER_S, PAGE_BYTES, SECTOR_BYTES
from sim.workload.player import Played

NOT_COMPARED = -1


def check_delivery(machine: Machine, players: Sequence[Played]) -> None:
    """Raise InvariantError unless the device delivered what was asked of it, and time went on."""
    sectors = sum(size * count for size, count in machine.queue.stats.request_sectors.items())
    bios = sum(size * count for size, count in machine.queue.stats.bio_sectors.items())
    if not machine.spec.limits.bio_based and sectors != bios:
        raise InvariantError(f"{bios} sectors asked of the device, {sectors} delivered")
    if any(played.ended_ns < played.started_ns for played in players):
        raise InvariantError("a job did not end")


def result_of(
    machine: Machine,
    players: Sequence[Played],
    verifiers: Sequence[Verifier],
    openings: Sequence[int],
    jobs: list[JobRow],
    reads: list[ReadRow],
    may_refuse: bool = False,
) -> CellResult:
    """
    Return the result of a run that is over.

    openings: ns of each first opening of a file. jobs, reads: rows of their own, see CellResult.
    may_refuse: reads may fail. Else raises ConfigError if nothing was read, for then there is nothing to
    share the CPU time out over.
    """
    stats = machine.queue.stats
    rows = whole_stacks(machine, machine.ledger.rows())
    calls = machine.ledger.calls()
    elapsed = max(played.ended_ns for played in players) - min(played.started_ns for played in players)
    bytes_read = sum(played.bytes_read for played in players)
    written = write_metrics(players) if any(played.writes_ns for played in players) else {}
    if not bytes_read and not written and not may_refuse:
        raise ConfigError("workload", "nothing was read", "reads of one byte or more")
    latencies = np.concatenate([np.asarray(played.latencies_ns, np.int64) for played in players])
    if not len(latencies):
        latencies = np.zeros(1, np.int64)
    moved = bytes_read + int(written.get("bytes_streamed", 0))
    good = int(all(verifier.good() for verifier in verifiers)) if verifiers else NOT_COMPARED
    metrics: dict[str, Number] = {
        "elapsed_ns": elapsed,
        "bytes_read": bytes_read,
        "pages_read": machine.cache.inserted + machine.cache.updated,
        **cpu_metrics([(row.context, row.ps) for row in rows], moved),
        **instruction_metrics(rows, moved),
        "reads": sum(len(played.latencies_ns) for played in players),
        "latency_mean_ns": float(latencies.mean()),
        "latency_p50_ns": float(np.percentile(latencies, 50)),
        "latency_p99_ns": float(np.percentile(latencies, 99)),
        "bios": stats.queued,
        "requests": stats.issued,
        "back_merges": stats.back_merges,
        "front_merges": stats.front_merges,
        "map_calls": calls.get(machine.mapper.symbol, 0),
        "get_block_calls": calls.get("ext4_get_block", 0),
        "pages_cached": machine.cache.cached,
        "buffer_head_pages": machine.cache.head_pages,
        "buffer_heads": _buffer_heads(machine, rows),
        "device_busy_ns": machine.queue.stats.busy_ns,
        "throughput_mib_s": moved / MIB * NS_PER_S / elapsed,
        "open_ns": sum(openings) / len(openings) if openings else 0.0,
        "peak_pages": machine.cache.peak,
        "digest_ok": good,
    }
    metrics |= checksum_metrics(machine, rows)
    if written:
        metrics |= written | _device_writes(machine)
    histograms = {"bio_sectors": dict(stats.bio_sectors), "request_sectors": dict(stats.request_sectors)}
    return CellResult(metrics, call_rows(rows), histograms, _io_rows(machine), reads, jobs)


def checksum_metrics(machine: Machine, rows: Sequence[CallRow]) -> dict[str, Number]:
    """Return what checksums came to, of the file system or below it; nothing without any."""
    found: dict[str, Number] = {}
    if machine.sums is not None:
        found = _of_files(machine, machine.sums)
    elif machine.integrity is not None:
        found = integrity_metrics(machine.integrity)
    if found:
        found["checksum_ns"] = sum(row.ps for row in rows if row.group == "checksum") // PS_PER_NS
    return found


def _of_files(machine: Machine, sums: Verification) -> dict[str, Number]:
    """Return what checksums of the file system came to."""
    path, kept, size = machine.path, machine.kept_sums, machine.spec.block_size
    assert isinstance(path, ChecksumPath)
    read, more = sums.cache.read_blocks * size, path.more_pages * PAGE_BYTES
    written: dict[str, Number] = {}
    if kept is not None:
        read, more = read + kept.read_blocks * size, more + kept.runs.more_blocks * size
        written = {"checksums_computed": kept.computed, "checksum_blocks_logged": kept.logged}
        written["checksum_row_waits"] = kept.locks.waits
        written["checksum_row_wait_ns"] = kept.locks.waited_ns
        written["checksum_row_copies"] = kept.locks.copies
        lists = [tags.length_bytes for tags in kept.files.values() if tags.by_run]
        if lists:
            written["checksum_list_bytes"] = sum(lists)
            written["checksum_runs_cut"] = kept.runs.cut
            written["checksum_runs_whole"] = kept.runs.whole
    return {
        "checksum_bytes_read": read,
        "checksum_more_bytes": more,
        "checksum_bytes_hashed": sums.bytes + (kept.hashed_bytes if kept is not None else 0),
        "checksums_verified": sums.units,
        **written,
    }


def refusal_metrics(sums: Verification | None) -> dict[str, Number]:
    """Return what checksums that failed came to; nothing of a machine without any."""
    if sums is None:
        return {}
    return {"checksums_failed": sums.failed, "checksum_blocks_refused": sums.refused}


def _buffer_heads(machine: Machine, rows: Sequence[CallRow]) -> int:
    """Return how many buffer heads pages of files were given: a page has as many as blocks, a folio more."""
    if machine.large_folios:
        made = [row for row in rows if row.symbol == "alloc_buffer_head" and "read_full_folio" in row.stack]
        return sum(row.calls for row in made)
    pages = sum(row.calls for row in rows if row.symbol == "create_empty_buffers")
    return pages * (PAGE_BYTES // machine.spec.block_size)


def _device_writes(machine: Machine) -> dict[str, Number]:
    """Return what the device was given to write."""
    stats = machine.queue.stats
    return {
        "bytes_written": stats.write_sectors * SECTOR_BYTES,
        "write_bios": stats.write_bios,
        "write_requests": stats.write_requests,
        "flushes": stats.flushes,
    }


def _io_rows(machine: Machine) -> list[IoRow]:
    """Return the traced bios with the length of their stages."""
    return [
        IoRow(
            record.sector,
            record.sectors,
            record.bios,
            record.merges,
            record.queued_ns,
            *(getattr(record, end) - getattr(record, start) for start, end in STAGES.values()),
        )
        for record in machine.records or ()
    ]
