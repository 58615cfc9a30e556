"""
fio jobs held against the rest of an experiment: the files, cores, scheduler and cache they are to run on.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from sim.config.table import custom
from sim.errors import ConfigError
from sim.paths.writepages.designs import WRITE_DESIGNS
from sim.stack.dm_crypt_write import WRITE_CIPHERS
from sim.stack.ecryptfs_upper import ENCRYPTS
from sim.workload.fio.files import Found, find_files
from sim.workload.fio.job import Job

if TYPE_CHECKING:
    from sim.config.cell import CellConfig


def files_of_jobs(jobs: Sequence[Job], names: Sequence[str]) -> list[tuple[Job, Found]]:
    """Return the files that the jobs read, each once a job; raise if one is not there."""
    found: dict[tuple[str, Found], tuple[Job, Found]] = {}
    known = dict.fromkeys(names)
    for job in jobs:
        for clone in range(job.numjobs):
            try:
                files = find_files(job, clone, known)
            except ConfigError as error:
                raise _refusal(job, f": {error.problem}", error.allowed) from None
            found |= {(job.name, file): (job, file) for file in files}
    return list(found.values())


def _refusal(job: Job, problem: str, allowed: str) -> Exception:
    """Return the error of a job: at its line, or else one that the experiment's file is named in."""
    if job.said_at:
        return ConfigError(job.place, problem.lstrip(": "), allowed)
    return custom(f"{job.place}{problem}", allowed)


def check_jobs(config: CellConfig) -> None:
    """Raise for what the machine, the device or the cache does not have for the jobs."""
    for job in config.workload.jobs:
        beyond = [cpu for cpu in job.cpus if cpu >= config.machine.cpus]
        if beyond:
            problem = f": core {beyond[0]} of a machine with {config.machine.cpus}"
            raise _refusal(
                job, problem, f"0 to {config.machine.cpus - 1}, or machine.cpus = {beyond[-1] + 1}"
            )
        said = config.device.scheduler
        if job.ioscheduler is not None and said not in (None, job.ioscheduler):
            problem = f": ioscheduler {job.ioscheduler} with device.scheduler {said!r}"
            raise _refusal(job, problem, "one of the two")
        if job.pre_read and config.encryption.scheme == "ecryptfs":
            problem = ": pre_read with encryption.scheme 'ecryptfs'"
            raise _refusal(job, problem, "pre_read=0: two caches hold a page")
    if any(job.ddir != "read" for job in config.workload.jobs):
        _check_writes(config)
    _check_cache_is_kept(config)


def _check_writes(config: CellConfig) -> None:
    """Raise for what cannot be written: ciphers without a cost, and paths that encrypt nothing."""
    scheme, cipher = config.encryption.scheme, config.encryption.cipher
    ciphers = {"dm-crypt": WRITE_CIPHERS, "ecryptfs": tuple(ENCRYPTS)}.get(scheme)
    if ciphers is not None and cipher not in ciphers:
        raise custom(f"encryption.cipher {cipher!r} with jobs that write", ", ".join(ciphers))
    writes = str(config.writes_through)
    if config.encryption.encrypts_files and WRITE_DESIGNS[writes].loop != "page_io":
        encrypts = ", ".join(name for name, design in WRITE_DESIGNS.items() if design.loop == "page_io")
        what = (
            "encrypts nothing that is written" if scheme != "inline" else "gives what it writes no contexts"
        )
        raise custom(f"path {writes!r} {what}", encrypts)
    if scheme == "ecryptfs" and WRITE_DESIGNS[writes].loop == "iomap":
        others = ", ".join(name for name, design in WRITE_DESIGNS.items() if design.loop != "iomap")
        raise custom(f"path {writes!r} below eCryptfs is not modelled", others)
    if config.volume.image is None and config.volume.journal_bytes is None and config.mount.data != "ordered":
        raise custom(
            f"mount.data {config.mount.data!r} on a volume without journal", 'volume.journal = "16MiB"'
        )
    if config.machine.kernel != "6.1":
        raise custom(f"machine.kernel {config.machine.kernel!r} with jobs that write", "6.1")


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
            problem = " drops the cached pages that cache.pages asks for (invalidate=1)"
            raise _refusal(job, problem, 'invalidate=0 in the job, or cache.pages = "empty"')
