"""
What is seen only of a whole job: options that do not go together, or have no effect beside others.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from sim.errors import ConfigError
from sim.workload.fio.files import file_count
from sim.workload.fio.job import Job

_RANDOM_ONLY = (
    *("randrepeat", "randseed", "allrandrepeat", "norandommap", "random_generator", "random_distribution"),
    *("percentage_random", "ba"),
)
_MOST_CLONES, _MOST_FILES = 4096, 100_000
"""fio's own limit of jobs; and what still fits into memory as open files."""
_LAWS = ("zipf", "pareto", "normal", "zoned", "zoned_abs")


_OF_WRITES = ("fsync", "fdatasync", "end_fsync", "fsync_on_close", "sync", "overwrite", "fallocate")
_OF_NEW_FILES = ("create_on_open", "allow_file_create")


def without_effect(job: Job) -> dict[str, str]:
    """Return option -> why it has no effect in `job`, for those that may have none."""
    found: dict[str, str] = {}
    low, high = job.bs_limits_bytes
    if job.rw == "read" and low == high and job.file_service_type != "random":
        found |= dict.fromkeys(_RANDOM_ONLY, "reads in sequence")
    if job.random_distribution in _LAWS or (job.lfsr and job.rw == "randread"):
        found["norandommap"] = "the distribution or the generator decides"
    if low == high:
        found["bs_unaligned"] = "all reads have one size"
    if not job.exitall:
        found["exit_what"] = "no exitall"
    if job.limit_bytes_s is None:
        found |= dict.fromkeys(("rate_process", "rate_ignore_thinktime"), "no rate")
    if job.runtime_ns is None:
        found["time_based"] = "no runtime"
    if job.ddir == "read":
        found |= dict.fromkeys(_OF_WRITES, "only writes do")
        found["unlink"] = "after all reads"
    if job.ddir != "write":
        found |= dict.fromkeys(_OF_NEW_FILES, "a file that is read is laid out by the volume")
    elif not job.create_on_open and not job.unlink_each_loop:
        found["allow_file_create"] = "files are laid out by the volume"
    if job.ddir == "mixed":
        found |= dict.fromkeys(("overwrite", "fallocate"), "a file that is read is written before")
    if job.ddir != "mixed":
        found |= dict.fromkeys(("rwmixread", "rwmixwrite"), "no mix of reads and writes")
    if not job.thinktime_ns:
        found["thinktime_blocks"] = "no thinktime"
    return found


def _makes_files(job: Job) -> bool:
    return job.ddir == "write" and (job.create_on_open or job.unlink_each_loop)


def _engine_joins(job: Job, engine: str) -> bool:
    depth = next((value for name, value, _ in job.unused if name == "iodepth"), "1")
    return engine == "vsync" and int(depth) > 1


def _drops_caches(job: Job) -> bool:
    return any(name.startswith("exec_") for name, _, _ in job.unused)


def _ramp_is_counted(job: Job, _engine: str) -> bool:
    """fio counts loops and io_size from the end of the ramp on; here they are counted from the start."""
    more = job.loops > 1 or job.io_size_bytes is not None or job.io_size_percent is not None
    return bool(job.ramp_ns) and not job.time_based and (more or bool(job.number_ios))


_CONFLICTS: tuple[tuple[str, Callable[[Job, str], bool], str, str], ...] = (
    # option whose place is named, when, problem, allowed
    (
        "bssplit",
        lambda job, _: job.bs_split is not None and job.bs_range_bytes is not None,
        "bssplit with bsrange is not modelled",
        "one of the two",
    ),
    (
        "rate_iops",
        lambda job, _: bool(job.rate_iops and job.rate_bytes_s),
        "rate with rate_iops, which fio refuses too",
        "one of the two",
    ),
    (
        "iodepth",
        _engine_joins,
        "vsync joins neighbouring reads into one readv(2): not modelled",
        "1, or psync",
    ),
    (
        "random_generator",
        lambda job, _: job.lfsr and job.rw == "randread" and job.bs_limits_bytes[0] != job.bs_limits_bytes[1],
        "lfsr with reads of several sizes, some of which it would read twice, is not modelled",
        "tausworthe, or one bs",
    ),
    (
        "unlink_each_loop",
        lambda job, _: job.unlink_each_loop and job.ddir != "write",
        "what is read is not there in the second loop",
        "0, or rw=write, randwrite",
    ),
    (
        "allow_file_create",
        lambda job, _: not job.allow_file_create and _makes_files(job),
        "with create_on_open or unlink_each_loop there is no file to open",
        "1",
    ),
    (
        "create_on_open",
        lambda job, _: job.create_on_open and job.overwrite and job.ddir == "write",
        "with overwrite=1 is a file that is written before it is there",
        "one of the two",
    ),
    (
        "ramp_time",
        _ramp_is_counted,
        "ramp_time with loops, io_size or number_ios is not modelled",
        "time_based with runtime",
    ),
    (
        "openfiles",
        lambda job, _: 0 < job.openfiles < file_count(job) and job.file_service_type == "random",
        "openfiles below the number of files with file_service_type=random is not modelled",
        "roundrobin, sequential",
    ),
    (
        "pre_read",
        lambda job, _: job.pre_read and (job.wait_for is not None or job.startdelay_ns > 0),
        "pre_read of a job that starts after others is not modelled",
        "a job that starts at once",
    ),
    (
        "exec_prerun",
        lambda job, _: _drops_caches(job) and (not job.invalidate or job.startdelay_ns > 0),
        "a command that drops caches with invalidate=0, pre_read or startdelay is not modelled",
        "a job that starts with its own pages dropped",
    ),
)


def job_errors(job: Job, engine: str, places: Mapping[str, str]) -> list[ConfigError]:
    """
    Return what keeps a job, read as a whole, from being run.

    engine: fio's ioengine. places: option -> where it was said last.
    """
    return [
        ConfigError(places.get(option, job.place), f"{option}: {problem}", allowed)
        for option, holds, problem, allowed in _CONFLICTS
        if holds(job, engine)
    ]


def errors_together(jobs: Sequence[Job]) -> list[ConfigError]:
    """Return what keeps jobs, each of which is right, from being run together."""
    errors: list[ConfigError] = []
    walled = False
    for number, job in enumerate(jobs):
        place = job.place
        walled = walled or (job.stonewall and number > 0)
        if job.pre_read and walled:
            problem = "pre_read of a job that starts after others is not modelled"
            errors.append(ConfigError(place, problem, "a job that starts at once"))
        if job.wait_for is not None:
            above = [other.name for other in jobs[:number]]
            if above.count(job.wait_for) != 1:
                problem = f"wait_for={job.wait_for}: {above.count(job.wait_for)} jobs of that name above it"
                errors.append(ConfigError(place, problem, ", ".join(dict.fromkeys(above)) or "a job above"))
    clones = sum(job.numjobs for job in jobs)
    if clones > _MOST_CLONES:
        errors.append(ConfigError(jobs[0].place, f"{clones} jobs in all", f"{_MOST_CLONES}, as in fio"))
    files = sum(job.numjobs * file_count(job) for job in jobs)
    if files > _MOST_FILES:
        errors.append(ConfigError(jobs[0].place, f"{files} files in all", f"at most {_MOST_FILES}"))
    schedulers = sorted({job.ioscheduler for job in jobs if job.ioscheduler is not None})
    if len(schedulers) > 1:
        problem = f"ioscheduler: {' and '.join(schedulers)} for one device"
        errors.append(ConfigError(jobs[0].place, problem, "one of the two"))
    return errors
