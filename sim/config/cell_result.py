"""
What one run gives: metrics, calls per symbol and stack, histograms. Plain data, no units hidden.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from sim.config.traced import Columns

GROUPS = (
    "copy",
    "page cache",
    "mapping",
    "buffer heads",
    "bio",
    "block layer",
    "driver",
    "decrypt",
    "checksum",
    "other",
)
"""The cost groups of the stacked figures, in the order in which they are stacked."""

Context = Literal["task", "irq", "kworker"]

Currency = Literal["ns", "instructions"]
"""What costs are shown in. A run has both."""

METRICS: dict[str, tuple[str, str]] = {
    # metric: (unit, what it is)
    "elapsed_ns": ("ns", "simulated time from the first call to the return of the last"),
    "bytes_read": ("B", "bytes returned by read(2)"),
    "pages_read": ("pages", "pages of 4 KiB that were read into the page cache"),
    "cpu_ns": ("ns", "CPU time of all contexts"),
    "cpu_task_ns": ("ns", "CPU time of the readers themselves"),
    "cpu_irq_ns": ("ns", "CPU time of interrupts and softirqs"),
    "cpu_kworker_ns": ("ns", "CPU time of kernel workers: decryption"),
    "cpu_ns_per_4k": (
        "ns / 4 KiB",
        "cpu_ns per 4 KiB of bytes_read, 0 if all was refused; of the file, where that is written",
    ),
    "instructions": (
        "instructions",
        "instructions of all contexts; a byte that rep moves or sets counts as one",
    ),
    "instructions_per_4k": ("instructions / 4 KiB", "instructions, likewise"),
    "reads": ("calls", "read(2) calls"),
    "latency_mean_ns": ("ns", "mean duration of a read(2)"),
    "latency_p50_ns": ("ns", "median duration of a read(2)"),
    "latency_p99_ns": ("ns", "99th percentile of the duration of a read(2)"),
    "bios": ("bios", "bios submitted, flushes included"),
    "requests": ("requests", "requests issued to the device, without flushes"),
    "back_merges": ("merges", "bios merged to the back of a request"),
    "front_merges": ("merges", "bios merged to the front of a request"),
    "map_calls": ("calls", "ext4_map_blocks, however it was reached (on another mapping: its own)"),
    "get_block_calls": ("calls", "ext4_get_block"),
    "buffer_heads": ("buffer heads", "buffer heads allocated for file data"),
    "pages_cached": ("pages", "pages of 4 KiB in the page cache at the end"),
    "buffer_head_pages": ("pages", "pages of 4 KiB that the buffer heads of cached pages take at the end"),
    "device_busy_ns": ("ns", "time in which the device had work"),
    "throughput_mib_s": (
        "MiB/s",
        "bytes_read per elapsed_ns; the file's bytes, where that is written",
    ),
    "open_ns": ("ns", "mean time that opening a file took before its first read; 0: not charged"),
    "peak_pages": ("pages", "most pages ever in the page cache, those of a lower file included"),
    "hit_rate": ("", "of a browser cache: requests that found their file, of all"),
    "hit_mean_ns": ("ns", "of a browser cache: mean time of a hit, opening included"),
    "space_saved": ("", "of a browser cache: what one copy saves of the space of a copy for each user"),
    "delete_ns": ("ns", "of a deletion: simulated time from the first call until it is on the device"),
    "bytes_deleted": ("B", "of a deletion: size of the file"),
    "bytes_streamed": ("B", "bytes that a stream of write(2) wrote"),
    "writes": ("calls", "write(2) calls"),
    "write_latency_mean_ns": ("ns", "mean duration of a write(2)"),
    "write_latency_p50_ns": ("ns", "median duration of a write(2)"),
    "write_latency_p99_ns": ("ns", "99th percentile of the duration of a write(2)"),
    "syncs": ("calls", "fsync(2) and fdatasync(2) calls"),
    "sync_latency_mean_ns": ("ns", "mean duration of an fsync(2) or fdatasync(2)"),
    "sync_latency_p50_ns": ("ns", "median duration of an fsync(2) or fdatasync(2)"),
    "sync_latency_p99_ns": ("ns", "99th percentile of the duration of an fsync(2) or fdatasync(2)"),
    "bytes_written": ("B", "bytes that write bios brought to the device; those of the measured part"),
    "write_bios": ("bios", "write bios with data submitted"),
    "write_requests": ("requests", "write requests issued to the device"),
    "flushes": ("commands", "flush commands issued to the device"),
    "inode_lock_waits": ("waits", "for i_rwsem and i_data_sem of files that jobs write"),
    "inode_lock_wait_ns": ("ns", "of all these waits together"),
    "crash_states": ("states", "of power cuts: states of the disk that were judged"),
    "crash_unsound": ("states", "that our check finds unsound, or cannot replay, after the journal's replay"),
    "crash_e2fsck_finds": ("states", "that the real e2fsck -fn finds unsound; -1: it is not installed"),
    "crash_replays_differ": ("states", "in which e2fsck replays other bytes than ours; -1: not installed"),
    "crash_losing": ("states", "in which something is lost that an fsync(2) had promised to keep"),
    "crash_stale": ("states", "in which a file shows what was never in it"),
    "crash_lost_bytes": ("B", "most of what was lost in one state"),
    "crash_stale_bytes": ("B", "most of what a file showed that was never in it, in one state"),
    "crash_false_alarms": (
        "states",
        "in which a block that has what it may have does not have its checksum; with [checksums]",
    ),
    "crash_false_alarm_blocks": ("blocks", "most of these in one state; where a run has one, all of it"),
    "crash_alarms_at_rest": (
        "states",
        "in which such a block is one that nobody has written since its last sync",
    ),
    "faults_injected": (
        "faults",
        "of [faults]: blocks that are not as they should be; each flip in transfer",
    ),
    "faults_detected": ("faults", "that the device or a check told of"),
    "faults_undetected": ("faults", "that were read into the cache, and nothing told of"),
    "faults_never_read": ("faults", "in what was never read"),
    "reads_right": ("reads", "of [faults]: reads of a job that brought what the file holds"),
    "reads_eio": ("reads", "that were refused, in the end, without a wrong byte before"),
    "reads_wrong": ("reads", "that brought other bytes than the file holds"),
    "wrong_bytes": ("B", "that they brought"),
    "short_reads": ("calls", "read(2) calls that ended before a page that could not be read"),
    "jobs_ended": ("jobs", "that a read which failed has ended"),
    "checksum_bytes_read": ("B", "of checksums of data: bytes of blocks with checksums that were read"),
    "checksum_more_bytes": ("B", "data that was read besides, because it has one checksum with what was"),
    "checksum_bytes_hashed": ("B", "data and checksums that were hashed to be verified"),
    "checksums_verified": ("checksums", "checksums that were held against what was read"),
    "checksums_computed": (
        "checksums",
        "checksums that were computed of what was written, their own among them",
    ),
    "checksum_blocks_logged": ("blocks", "how often a block with checksums was given to a transaction"),
    "checksum_row_waits": (
        "sleeps",
        "sleeps for a block with checksums that was changed or written just then",
    ),
    "checksum_row_wait_ns": ("ns", "how long these sleeps were, of all tasks together"),
    "checksum_row_copies": ("blocks", "blocks with checksums that were copied for a commit (b_frozen_data)"),
    "checksum_list_bytes": ("B", "lists of checksums of files that jobs wrote, at the end"),
    "checksum_runs_cut": ("runs", "runs with one checksum that were cut round what was written"),
    "checksum_runs_whole": ("runs", "that were not cut, for their list had no room"),
    "checksums_failed": ("checksums", "checksums that did not hold, where reads may be refused"),
    "checksum_blocks_refused": (
        "blocks",
        "blocks that were read and refused for a checksum, with all of its run, each time",
    ),
    "cow_blocks": ("blocks", "of files that share blocks: copied on write, to a place of their own"),
    "shared_blocks": ("blocks", "that several files have, at the end"),
    "blocks_taken": ("blocks", "fewer that are free than when the volume was mounted; those promised count"),
    "file_extents": ("extents", "of the files that jobs wrote, at the end"),
    "clone_ns": ("ns", "mean time of an ioctl(2) with FICLONE; 0: there was none"),
    "checksum_ns": ("ns", "CPU time of the cost group checksum"),
    "keys_left": (
        "",
        "of a deletion: 8-byte words of the file's wrapped keys, anywhere in the image; -1: not searched",
    ),
    "blocks_left": ("blocks", "of a deletion: blocks of the file that are as they were; -1: not searched"),
    "bytes_recovered": (
        "B",
        "of a deletion: plaintext that the image and all users' keys give; -1: not searched",
    ),
    "digest_ok": ("", "1: what was read equals the plaintext; 0: it does not; -1: not compared"),
}
"""The metrics of a run: unit and meaning. A run may give more; these are the ones reports know."""

Number = int | float | str


@dataclass(frozen=True, slots=True)
class CallRow:
    """
    The calls of one symbol below one stack in one context.

    stack: folded callers, outermost first, the symbol last: "read;filemap_read;...".
    ns, instructions: the symbol's own over all calls, children not included. group: one of GROUPS.
    """

    symbol: str
    stack: str
    context: Context
    calls: int
    ns: int
    group: str
    instructions: int = 0


@dataclass(frozen=True, slots=True)
class IoRow:
    """
    One traced bio, or row of one-block bios submitted together: when it was queued, and its stages, in ns.

    merges: bios that joined a request that was there. plug_ns: until its request left the plug; queue_ns: in
    the scheduler, or until the device had room; device_ns: from issue to the device's answer; interrupt_ns;
    post_read_ns: waiting for a kernel worker, and decryption; wake_ns: until the reader that slept for it ran
    on, 0 if none did. The stages add up to the time from queued to woken.
    """

    sector: int
    sectors: int
    bios: int
    merges: int
    queued_ns: int
    plug_ns: int
    queue_ns: int
    device_ns: int
    interrupt_ns: int
    post_read_ns: int
    wake_ns: int


@dataclass(frozen=True, slots=True)
class ReadRow:
    """
    One traced read(2): the reader's number, the read's number, and how long it took in ns.

    job: what results call the reader. file: path. offset, length: bytes; length: what came before the file's
    end. start: ns of the clock. None: a read of a whole file by a browser cache.
    """

    reader: int
    number: int
    latency_ns: int
    job: str = ""
    file: str | None = None
    offset: int | None = None
    length: int | None = None
    start: int | None = None


PERCENTILES = (1, 5, 10, 20, 30, 40, 50, 60, 70, 80, 90, 95, 99, 99.5, 99.9, 99.95, 99.99)
"""Percentiles of a job's latencies: fio's list."""


def percentile_name(percentile: float) -> str:
    """Return what a percentile is called in names of columns: p50, p99_9."""
    return f"p{percentile:g}".replace(".", "_")


LATENCIES = ("mean", "stddev", "min", "max", *map(percentile_name, PERCENTILES))
"""What a job's row says of its latencies."""


@dataclass(frozen=True, slots=True)
class JobRow:
    """
    What one clone of a fio job came to, or a group of them with group_reporting.

    scope: "job" or "group". job: what results call it; of a group, of all in it. clone: its number; of a
    group, how many. group: its number. reads, bytes_read: of a job that writes, its writes among them.
    runtime_ns: from the first start to the last end. latencies_ns: by LATENCIES; percentiles by nearest rank;
    None without reads. What was read in the ramp_time is left out.
    """

    scope: str
    job: str
    clone: int
    group: int
    reads: int
    bytes_read: int
    runtime_ns: int
    iops: float
    throughput_mib_s: float
    latencies_ns: dict[str, Number | None]


@dataclass(frozen=True, slots=True)
class CellResult:
    """
    The outcome of one cell with one seed.

    metrics: by name, see METRICS; one type per name in all cells. calls: one row per (stack, context).
    histograms: name -> {bin: count}, such as "bio_sectors" -> {256: 12}. io, reads: only of a traced run.
    jobs: only of fio jobs. image_sha256: of the image that was made for it and read; "" of a given one, whose
    digest the configuration has. columns: the long tables of a traced run, by name.
    """

    metrics: dict[str, Number]
    calls: list[CallRow]
    histograms: dict[str, dict[int, int]] = field(default_factory=dict)
    io: list[IoRow] = field(default_factory=list)
    reads: list[ReadRow] = field(default_factory=list)
    jobs: list[JobRow] = field(default_factory=list)
    image_sha256: str = ""
    columns: dict[str, Columns] = field(default_factory=dict)
