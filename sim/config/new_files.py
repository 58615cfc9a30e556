"""
Files that jobs make, grow and take away, held against the rest of an experiment.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING

from sim.config.layouts import GROWING
from sim.config.table import custom
from sim.workload.fio.files import find_files
from sim.workload.fio.job import Job

if TYPE_CHECKING:
    from sim.config.cell import CellConfig

_WITHOUT_KEYS = ("none", "dm-crypt")
"""Schemes under which a file has no key of its own."""


def check_new_files(config: CellConfig) -> None:
    """Raise for files that begin without a byte, or are unlinked, where that is not modelled."""
    growing = {file.name: file.layout.kind for file in config.volume.files if file.layout.kind in GROWING}
    writers = [job for job in config.workload.jobs if job.ddir != "read"]
    unlinks = [job for job in writers if job.unlink or job.unlink_each_loop]
    if growing:
        _check_growing(config, growing)
    if unlinks:
        _check_unlinks(config, unlinks)
    if config.crash is not None and (growing or unlinks):
        what = f"layout {next(iter(growing.values()))!r}" if growing else f"unlink in job {unlinks[0].name!r}"
        raise custom(f"crash with {what}: what is left of names is not judged", "files that stay as long")


def _check_growing(config: CellConfig, growing: Mapping[str, str]) -> None:
    name, kind = next(iter(growing.items()))
    if not config.workload.jobs:
        raise custom(f"layout {kind!r} of file {name!r} with workload.{config.workload.kind}", "fio jobs")
    if config.encryption.scheme not in _WITHOUT_KEYS:
        problem = f"layout {kind!r} of file {name!r} with encryption.scheme {config.encryption.scheme!r}"
        raise custom(f"{problem}: keys of new files are not modelled", ", ".join(_WITHOUT_KEYS))
    for job in config.workload.jobs:
        used = [found for found in _paths(config, job) if found in growing]
        if used and (job.ddir != "write" or job.pre_read):
            what = "pre_read of" if job.ddir == "write" else "reads from"
            problem = f"job {job.name!r}: {what} {used[0]!r}, a file of layout {growing[used[0]]!r}"
            raise custom(problem, "jobs that only write, or a file with bytes")


def _check_unlinks(config: CellConfig, unlinks: list[Job]) -> None:
    if config.mount.data == "journal":
        problem = f'mount.data "journal" with unlink in job {unlinks[0].name!r}'
        raise custom(f"{problem}: data that the log has is not taken back", "ordered, writeback")
    if config.encryption.scheme == "ecryptfs":
        problem = f"unlink in job {unlinks[0].name!r} with encryption.scheme 'ecryptfs'"
        raise custom(f"{problem}: names above are not modelled", "none, fscrypt-v2, file-keys, dm-crypt")
    again = [job for job in unlinks if job.unlink_each_loop]
    if again and config.encryption.scheme not in _WITHOUT_KEYS:
        problem = f"unlink_each_loop in job {again[0].name!r} with encryption.scheme"
        problem += f" {config.encryption.scheme!r}: keys of new files are not modelled"
        raise custom(problem, ", ".join(_WITHOUT_KEYS))
    if config.volume.image is not None:
        return
    users = Counter(path for job in config.workload.jobs for path in _paths(config, job))
    for job in unlinks:
        shared = [path for path in _paths(config, job) if users[path] > 1]
        if shared:
            problem = f"job {job.name!r} unlinks {shared[0]!r}, which others use"
            raise custom(problem, "a file of its own for each clone")


def _paths(config: CellConfig, job: Job) -> list[str]:
    """Return the files of a job, those of every clone."""
    known = dict.fromkeys(file.name for file in config.volume.all_files)
    return [found.path for clone in range(job.numjobs) for found in find_files(job, clone, known)]
