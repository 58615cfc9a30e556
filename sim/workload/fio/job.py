"""
A job of a workload: what its fio options come to.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Any, Literal

Advice = Literal["normal", "sequential", "random"]
Distribution = Literal["random", "zipf", "pareto", "normal", "zoned", "zoned_abs"]

_ADDED = {"added": True}
"""Marks what came later than the first runs: it is in a configuration's hash where it is set, not before."""


def _added(default: Any) -> Any:
    return field(default=default, metadata=_ADDED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """
    One job of a workload, with fio's defaults.

    name: of its section. title: what results call it, None = its name.

    What is read of a file:
    rw: the order, "read" (sequential) or "randread"; ddir: whether it reads, writes, or both, mixed, of which
    rwmixread percent are reads. fsync_every, fdatasync_every: a sync after so many writes, before whatever
    comes next, 0 = none. end_fsync, fsync_on_close: one at the end, of every file; sync: "sync" (O_SYNC),
    "dsync" (O_DSYNC) or "none". sequence: of a random job's reads one in so many jumps, 0 = none;
    the others go on behind it, or, by rw_sequencer, read the same. stride_bytes: left out between sequential
    reads; below 0 backwards.
    bs_bytes: bytes asked by one read(2); not looked at with one of the next two.
    bs_range_bytes: (smallest, largest), multiples of the smallest in between (any length if bs_unaligned).
    bs_split: (bytes, percent) of reads, in order. blockalign_bytes: random reads start at its multiples.
    size_bytes: length of the region that is read, of all files together, None = to the end of each.
    filesize_bytes: (least, most) of each file. offset_bytes: where the region starts, and for clone n
    offset_increment_* times n further on; in percent rounded up to offset_align_bytes, 0 = the smallest read.
    io_size_bytes: bytes read in all, None = the region once; a longer one starts over, as fio does: see
    `generator.passes`. The *_percent fields stand for them when set: of the file, io_size of the region.
    number_ios: reads in all, 0 = no limit. numjobs: identical concurrent readers.
    randseed, randrepeat: see `generator.job_stream`. norandommap: a block may be read twice. lfsr: never.
    random_distribution: "zipf" has exponent zipf_theta, "pareto" pareto_power, "normal" deviation in percent,
    and their most read block at `center` of the region (0 to 1, None: anywhere); zones: (percent of reads,
    percent of the region, or bytes if "zoned_abs"). All but "random" read blocks twice.
    percentage_random: how many of a random job's reads are; the others go on where the last one ended.

    overwrite, preallocates, grows: of a file that fio lays out for a job which only writes: its blocks are
    written before; they are allocated before (fallocate); it begins empty. create_on_open: it is not there
    before the job opens it; allow_file_create: that may make it. unlink: a job that writes takes its files
    away at its end; unlink_each_loop: between its loops.

    Which files: see `files`. filename: as written, None = see there. directory, filename_format, nrfiles.
    openfiles: so many are read in turn, 0 = all. file_service_type: how they take turns, after
    file_service_reads each.

    When:
    fadvise_hint: as written; `advice` says what posix_fadvise(2) is told.
    loops: how often the whole is repeated. time_based: over and over, until runtime_ns, which also ends
    other jobs when set. ramp_ns: reads before it are not in the job's own results, nor in its runtime.
    startdelay_ns: from when the job could start; drawn up to startdelay_high_ns. stonewall: it starts when
    all jobs above it have ended, and those below it, up to the next stonewall, with it. wait_for: it starts
    when that job has ended. exitall: when one job of a group ends, others do, by exit_what.
    thinktime_ns: pause after each thinktime_blocks reads. rate_bytes_s, rate_iops: most bytes and reads a
    second, None = no limit; rate_process, rate_ignore_thinktime: see `player`.
    invalidate: drop the file's cached pages before each pass over the region, as fio does. pre_read: the
    region is cached before the job starts.
    continue_on_read_error: a read that fails does not end it.
    cpus: the cores its clones run on, in turn; () = any. ioscheduler: of the device, None = as it is.

    new_group, group_reporting: which jobs make up a row of the results.

    No part of a job's identity: unused: (option, value, why) of what was said and changes nothing. said_at:
    file and line of its section.
    """

    name: str
    rw: Literal["read", "randread"] = "read"
    bs_bytes: int = 4096
    bs_range_bytes: tuple[int, int] | None = None
    bs_split: tuple[tuple[int, int], ...] | None = None
    size_bytes: int | None = None
    size_percent: int | None = None
    offset_bytes: int = 0
    offset_percent: int | None = None
    io_size_bytes: int | None = None
    io_size_percent: int | None = None
    numjobs: int = 1
    filename: str | None = None
    randseed: int = 0x89
    randrepeat: bool = True
    norandommap: bool = False
    random_distribution: Distribution = "random"
    zipf_theta: float | None = None
    percentage_random: int = 100
    fadvise_hint: Literal["0", "1", "random", "sequential"] = "1"
    loops: int = 1
    time_based: bool = False
    runtime_ns: int | None = None
    startdelay_ns: int = 0
    stonewall: bool = False
    thinktime_ns: int = 0
    thinktime_blocks: int = 1
    rate_bytes_s: int | None = None
    invalidate: bool = True

    title: str | None = _added(None)
    ddir: Literal["read", "write", "mixed"] = _added("read")
    rwmixread: int = _added(50)
    fsync_every: int = _added(0)
    fdatasync_every: int = _added(0)
    end_fsync: bool = _added(False)
    fsync_on_close: bool = _added(False)
    sync: Literal["none", "sync", "dsync"] = _added("none")
    overwrite: bool = _added(False)
    preallocates: bool = _added(True)
    grows: bool = _added(False)
    create_on_open: bool = _added(False)
    allow_file_create: bool = _added(True)
    unlink: bool = _added(False)
    unlink_each_loop: bool = _added(False)
    sequence: int = _added(1)
    rw_sequencer: Literal["sequential", "identical"] = _added("sequential")
    stride_bytes: int = _added(0)
    bs_unaligned: bool = _added(False)
    blockalign_bytes: int | None = _added(None)
    filesize_bytes: tuple[int, int] | None = _added(None)
    offset_increment_bytes: int = _added(0)
    offset_increment_percent: int | None = _added(None)
    offset_align_bytes: int = _added(0)
    number_ios: int = _added(0)
    lfsr: bool = _added(False)
    pareto_power: float | None = _added(None)
    deviation: float | None = _added(None)
    center: float | None = _added(None)
    zones: tuple[tuple[int, int], ...] | None = _added(None)
    directory: str | None = _added(None)
    filename_format: str = _added("$jobname.$jobnum.$filenum")
    nrfiles: int = _added(1)
    openfiles: int = _added(0)
    file_service_type: Literal["roundrobin", "random", "sequential"] = _added("roundrobin")
    file_service_reads: int = _added(1)
    ramp_ns: int = _added(0)
    startdelay_high_ns: int | None = _added(None)
    wait_for: str | None = _added(None)
    exitall: bool = _added(False)
    exit_what: Literal["group", "stonewall", "all"] = _added("group")
    rate_iops: int | None = _added(None)
    rate_process: Literal["linear", "poisson"] = _added("linear")
    rate_ignore_thinktime: bool = _added(False)
    pre_read: bool = _added(False)
    cpus: tuple[int, ...] = _added(())
    ioscheduler: Literal["none", "mq-deadline"] | None = _added(None)
    continue_on_read_error: bool = _added(False)
    new_group: bool = _added(False)
    group_reporting: bool = _added(False)
    unused: tuple[tuple[str, str, str], ...] = field(default=(), compare=False)
    said_at: str = field(default="", compare=False)

    @property
    def place(self) -> str:
        """What errors call it: its name, behind the place where it was said."""
        return f"{self.said_at}: job {self.name!r}" if self.said_at else f"job {self.name!r}"

    @property
    def advice(self) -> Advice:
        """What the reader tells posix_fadvise(2): fio's default is the job's own pattern."""
        by_hint: dict[str, Advice] = {"0": "normal", "random": "random", "sequential": "sequential"}
        return by_hint.get(self.fadvise_hint, "sequential" if self.rw == "read" else "random")

    @property
    def bs_limits_bytes(self) -> tuple[int, int]:
        """The smallest and the largest read, in bytes."""
        if self.bs_split is not None:
            sizes = [size for size, _ in self.bs_split]
            return min(sizes), max(sizes)
        return self.bs_range_bytes or (self.bs_bytes, self.bs_bytes)

    @property
    def limit_bytes_s(self) -> int | None:
        """The most bytes a second; for fio a limit of reads is one of bytes in smallest reads."""
        if self.rate_iops is not None:
            return self.rate_iops * self.bs_limits_bytes[0]
        return self.rate_bytes_s

    @property
    def once(self) -> bool:
        """Whether a pass of a random job reads no block twice."""
        plain = self.random_distribution == "random" and self.blockalign_bytes is None
        return plain and (self.lfsr or not self.norandommap)

    def canonical(self) -> dict[str, Any]:
        """Return what decides a run, as plain values: what is hashed and kept in the manifest."""
        said = {of.name: (getattr(self, of.name), of) for of in fields(self) if of.compare}
        return {name: value for name, (value, of) in said.items() if not of.metadata or value != of.default}
