"""
fio jobs held against the rest of an experiment: the files, cores, scheduler and cache they are to run on.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from sim.config.table import custom
from sim.errors import ConfigError
from sim.workload.fio.files import Found, find_files
from sim.workload.fio.job import Job

if TYPE_CHECKING:
    from sim.config.cell import CellConfig


def files_of_jobs(jobs: Sequence[Job], names: Sequence[str]) -> list[tuple[Job, Found]]:
    """Return the files that the jobs read, each once a job; PydanticCustomError if one is not there."""
    found: dict[tuple[str, Found], tuple[Job, Found]] = {}
    for job in jobs:
        for clone in range(job.numjobs):
            try:
                files = find_files(job, clone, names)
            except ConfigError as error:
                raise custom(f"{error.place}: {error.problem}", error.allowed) from None
            found |= {(job.name, file): (job, file) for file in files}
    return list(found.values())


def check_jobs(config: CellConfig) -> None:
    """Raise PydanticCustomError for what the machine, the device or the cache does not have for the jobs."""
    for job in config.workload.jobs:
        beyond = [cpu for cpu in job.cpus if cpu >= config.machine.cpus]
        if beyond:
            problem = f"job {job.name!r}: core {beyond[0]} of a machine with {config.machine.cpus}"
            raise custom(problem, f"0 to {config.machine.cpus - 1}, or machine.cpus = {beyond[-1] + 1}")
        said = config.device.scheduler
        if job.ioscheduler is not None and said not in (None, job.ioscheduler):
            problem = f"job {job.name!r}: ioscheduler {job.ioscheduler} with device.scheduler {said!r}"
            raise custom(problem, "one of the two")
        if job.pre_read and config.encryption.scheme == "ecryptfs":
            raise custom(
                f"job {job.name!r}: pre_read with encryption.scheme 'ecryptfs'",
                "pre_read=0: two caches hold a page",
            )
    _check_cache_is_kept(config)


def _check_cache_is_kept(config: CellConfig) -> None:
    """
    fio drops a file's cached pages when a job begins (invalidate=1, its default): what is asked to be
    cached would be gone before the first read. Jobs behind a stonewall may drop what others have used.
    """
    if config.cache.pages == "empty":
        return
    for number, job in enumerate(config.workload.jobs):
        if job.stonewall and number:
            break
        if job.invalidate:
            problem = f"job {job.name!r} drops the cached pages that cache.pages asks for (invalidate=1)"
            raise custom(problem, 'invalidate=0 in the job, or cache.pages = "empty"')
