"""
Which files a job reads: the names that fio would open, found among those of the volume.

A job was written for some machine, whose paths are not those of the volume. A path of it, absolute or with
directory=, names the file of the volume that its last parts name, else the only file there is: the note of
the run says so. Other names are names of files of the volume, from its root.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

from sim.engine.streams import stream
from sim.errors import ConfigError
from sim.workload.fio.job import Job

Known = AbstractSet[str] | Mapping[str, object]
_SEPARATOR = re.compile(r"(?<!\\):")


def _listed(text: str) -> list[str]:
    """Return the names of a list: joined by colons, a colon in a name escaped."""
    return [name.strip().replace("\\:", ":") for name in _SEPARATOR.split(text) if name.strip()]


def file_names(job: Job, clone: int) -> tuple[str, ...]:
    """Return the paths that clone number `clone` of `job` would open, as fio puts them together."""
    if job.filename is not None:
        names = _listed(job.filename)
    else:
        words = {"jobname": job.name, "jobnum": str(clone), "filenum": "", "clientuid": ""}
        names = []
        for number in range(job.nrfiles):
            words["filenum"] = str(number)
            names.append(_formatted(job.filename_format, words))
    folders = _listed(job.directory) if job.directory is not None else []
    return tuple(f"{folders[clone % len(folders)]}/{name}" for name in names) if folders else tuple(names)


def file_count(job: Job) -> int:
    """Return how many files each clone of `job` opens."""
    return job.nrfiles if job.filename is None else len(_listed(job.filename))


def _formatted(text: str, words: dict[str, str]) -> str:
    return re.sub(
        r"\$(jobname|jobnum|filenum|clientuid)", lambda found: words[found[1].lower()], text, flags=re.I
    )


@dataclass(frozen=True, slots=True)
class Found:
    """A file of a job: its path in the volume, and what the job calls it if that is something else."""

    path: str
    instead_of: str | None = None


def find_files(job: Job, clone: int, known: Known) -> tuple[Found, ...]:
    """
    Return the files of the volume that clone number `clone` of `job` reads.

    known: the paths of the volume's files, without a leading slash; a set or a mapping, for there are many.

    Raises ConfigError that names the job and the files there are.
    """
    names = file_names(job, clone)
    place = job.place
    if job.filename is None:
        exact = [_matching(name, known, job.directory is not None) for name in names]
        if all(exact):
            return tuple(Found(path) for path in exact if path is not None)
        if len(known) == 1 and job.nrfiles == 1:
            return (Found(next(iter(known))),)
        if job.nrfiles > 1:
            raise ConfigError(place, f"no files {', '.join(_shown(names))}", ", ".join(_shown(known)))
        raise ConfigError(place, "does not say which file", "filename=" + "|".join(_shown(known)))
    found = [_found(job, name, known) for name in names]
    if len({file.path for file in found}) < len(found):
        raise ConfigError(place, "two names of one file", ", ".join(_shown(known)))
    return tuple(found)


def _shown(names: Iterable[str]) -> list[str]:
    return list(names)[:8]


def _found(job: Job, name: str, known: Known) -> Found:
    foreign = name.startswith("/")
    path = _matching(name, known, foreign or job.directory is not None)
    if path is not None:
        return Found(path)
    if len(known) == 1 and (foreign or job.directory is not None):
        return Found(next(iter(known)), name)
    raise ConfigError(job.place, f"no file {name!r}", ", ".join(_shown(known)))


def _matching(name: str, known: Known, foreign: bool) -> str | None:
    """Return the path of the volume that `name` is; of a foreign one any number of its last parts may be."""
    parts = [part for part in name.split("/") if part not in ("", ".")]
    for first in range(len(parts) if foreign else min(len(parts), 1)):
        path = "/".join(parts[first:])
        if path in known:
            return path
    return None


def laid_out(jobs: Sequence[Job]) -> dict[str, int]:
    """
    Return name -> bytes of the files that fio would lay out for these jobs where there are none, in order.

    They lie in the volume's root, under the last part of their path. A file of several jobs or clones is as
    large as the largest of them needs. Raises ConfigError if no job says how large a file is.
    """
    sizes: dict[str, int] = {}
    paths: dict[str, str] = {}
    clones = [(job, clone) for job in jobs for clone in range(job.numjobs)]
    for job, clone in clones:
        for path, size in _laid_out_for(job, clone):
            name = path.rstrip("/").rpartition("/")[2]
            if paths.setdefault(name, path) != path:
                raise ConfigError(job.place, f"{path} and {paths[name]} end alike", "names that differ")
            sizes[name] = max(sizes.get(name, 0), size)
    known = set(paths.values())
    for job, clone in clones:
        unknown = [path for path in file_names(job, clone) if path not in known]
        if unknown:
            problem = f"does not say how large {unknown[0]} is, nor does another job"
            raise ConfigError(job.place, problem, "size=BYTES, or volume.files")
    return sizes


def layouts_of(jobs: Sequence[Job]) -> dict[str, str]:
    """
    Return name -> layout ("unwritten", "hole", "empty", "absent") of those files of `laid_out` that have no
    written blocks.

    The first job that names a file makes it (extend_file() of fio 3.33's filesetup.c): one that only writes,
    and does not overwrite, preallocates it, or only sets its size, or leaves it empty, or has it made by
    open(2); any other writes it first. All are made before any job runs: one that is too short by then is
    made anew by the next job that names it.
    """
    found: dict[str, str] = {}
    for job in jobs:
        kind = "contiguous"
        if job.ddir == "write" and not job.overwrite:
            kind = "unwritten" if job.preallocates else "empty" if job.grows else "hole"
            kind = "absent" if job.create_on_open else kind
        for clone in range(job.numjobs):
            for path in file_names(job, clone):
                name = path.rstrip("/").rpartition("/")[2]
                known = found.get(name, "absent")
                if known == "absent" or (known == "empty" and kind != "absent"):
                    found[name] = kind
    return {name: kind for name, kind in found.items() if kind != "contiguous"}


def _laid_out_for(job: Job, clone: int) -> Iterator[tuple[str, int]]:
    """Yield (path, bytes) of each file of a clone; none if its places are parts of files that are there."""
    names = file_names(job, clone)
    in_percent = job.offset_percent is not None or job.offset_increment_percent is not None
    if in_percent or (job.filesize_bytes is None and job.size_bytes is None):
        return
    low, high = job.filesize_bytes or (0, 0)
    rng = stream(job.randseed, f"filesize/{job.name}/{clone}")
    smallest = job.bs_limits_bytes[0]
    for number, name in enumerate(names):
        size = low
        if high > low:
            drawn = int(rng.integers(low, high, endpoint=True))
            size = max(drawn - drawn % smallest, low)
        elif not low:
            share = shares(job, len(names))[number] or 0
            size = job.offset_bytes + job.offset_increment_bytes * clone + share
        yield name, size


def shares(job: Job, files: int) -> list[int | None]:
    """Return how much of each of `files` files a job reads, in bytes; None: as much as there is."""
    if job.filesize_bytes is not None:
        return [None] * files
    if job.size_bytes is None:
        return [None] * files
    if files == 1:
        return [job.size_bytes]
    each, smallest = job.size_bytes // files, job.bs_limits_bytes[0]
    larger = (job.size_bytes - each * files) // smallest
    return [each + smallest * (number < larger) for number in range(files)]
