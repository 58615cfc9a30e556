"""
The figures of a run, as SVG and PNG, the same to the byte for the same run.

Each is a function from a run to its pages; it gives none if the run's matrix does not vary what it shows.

    cpu_per_4k      CPU time per 4 KiB, stacked by cost group: every run has it
    overhead_map    buffer_head over an extent path, block size x layout: where the extent path loses
    map_calls       calls of ext4_map_blocks per block, path x layout
    folios          cost, map calls, bios and buffer heads over layouts: what large folios win, lose, and why
    device_bound    elapsed time, CPU share and ratio per device
    readahead       CPU time and throughput over the readahead window
    concurrency     the same over the number of readers
    file_size       the same over the size of the file
    memory          bytes of buffer heads per cached page
    secure_delete   time over the size of a deleted file, what is written, CPU, and what is left of it
    journal_modes   bytes to the device per byte written, and the time of a sync, by data= mode
    crash           how many of a disk's states after a power cut break a promise, by cell
    corruption      how many reads a broken device has refused or given wrong data, and what nobody noticed
    fsync_storm     syncs a second, the time of one and commits per sync, over the number of writers
    allocation      delalloc and nodelalloc: CPU time, and how often write-back looks at a page
    copy_on_write   overwriting a clone against a file of its own: CPU, bytes to the device, time of a sync
    clone_or_copy   making a clone against making a copy: time, CPU, bytes to the device
    rewritten       CPU time and throughput of reading a clone over the share of it that was written over
    checksums       time, CPU and device bytes of a reader with checksums over one without, by layout
    overwrites      what a run with one checksum makes who writes part of it read and hash; its list
    encryption      CPU, latency and memory of schemes; of a browser cache: hits; of opens: their time

and of a run made with --trace:

    latency_cdf     latency of read(2): its distribution per path, with percentiles
    stages          the time of an I/O by stage: plug, queue, device, interrupt, decryption, waking
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path

from matplotlib.figure import Figure

from sim.errors import ConfigError
from sim.experiment.results import Run, load_run
from sim.experiment.runner import Progress, Watcher
from sim.experiment.workers import Each, in_this_process
from sim.report.allocation import allocation
from sim.report.checksums import checksums
from sim.report.clones import clone_or_copy, copy_on_write
from sim.report.corruption import corruption
from sim.report.cpu_bars import cpu_per_4k
from sim.report.crash import crash
from sim.report.curves import concurrency, file_size, fsync_storm, readahead, rewritten
from sim.report.device_bound import device_bound
from sim.report.encryption import encryption
from sim.report.folios import folios
from sim.report.integrity import integrity
from sim.report.journal_modes import journal_modes
from sim.report.latency import latency_cdf
from sim.report.map_calls import map_calls
from sim.report.memory import memory
from sim.report.overhead_map import overhead_map
from sim.report.overwrites import overwrites
from sim.report.panels import FORMATS, check_formats, save
from sim.report.secure_delete import secure_delete
from sim.report.stages import stages
from sim.report.style import own_style

FIGURES: dict[str, Callable[[Run], list[Figure]]] = {
    "cpu_per_4k": cpu_per_4k,
    "overhead_map": overhead_map,
    "map_calls": map_calls,
    "folios": folios,
    "device_bound": device_bound,
    "readahead": readahead,
    "concurrency": concurrency,
    "file_size": file_size,
    "memory": memory,
    "encryption": encryption,
    "secure_delete": secure_delete,
    "journal_modes": journal_modes,
    "crash": crash,
    "corruption": corruption,
    "fsync_storm": fsync_storm,
    "allocation": allocation,
    "copy_on_write": copy_on_write,
    "clone_or_copy": clone_or_copy,
    "rewritten": rewritten,
    "checksums": checksums,
    "integrity": integrity,
    "overwrites": overwrites,
    "latency_cdf": latency_cdf,
    "stages": stages,
}


def draw(
    run: Run,
    folder: Path,
    formats: Sequence[str] = FORMATS,
    names: Sequence[str] | None = None,
    watch: Watcher = lambda _progress: None,
    each: Each = in_this_process,
) -> list[Path]:
    """
    Draw the figures that a run has into `folder`, in all `formats`; return the files.

    A run that lacks a cell has none: they compare all. names: only these, none if it is empty.
    watch: called after each of FIGURES, or of `names`. each: shares them out among processes; run.path, where
    the run lies, is read there.

    Raises ConfigError for a format that is not in FORMATS, for a name that is not in FIGURES, and for one
    that was asked for and that this run's matrix does not give.
    """
    check_formats(formats)
    for name in names or ():
        if name not in FIGURES:
            raise ConfigError("--figure", f"{name!r} is not known", ", ".join(FIGURES))
    if run.missing and names:
        raise ConfigError(str(run.path), f"{run.missing} cells have no result", "a figure needs all")
    if run.missing:
        return []
    wanted = [name for name in FIGURES if names is None or name in names]
    files = []
    of: Run | Path = run if each is in_this_process else run.path
    work = [(of, name, folder, formats) for name in wanted]
    for done, (name, drawn) in enumerate(zip(wanted, each(_draw_one, work), strict=True), start=1):
        if names and not drawn:
            with own_style():
                has = ", ".join(name for name, figure in FIGURES.items() if figure(run))
            raise ConfigError("--figure", f"{name!r}: {run.path} does not have what it shows", has)
        files += drawn
        watch(Progress("figures", done, len(wanted), name))
    return files


def _draw_one(of: Run | Path, name: str, folder: Path, formats: Sequence[str]) -> list[Path]:
    """Draw one of FIGURES of a run, or of one that lies in a folder; a worker can import it."""
    run = _read_once(of) if isinstance(of, Path) else of
    with own_style():
        return save(FIGURES[name](run), name, folder, formats)


@lru_cache(maxsize=1)
def _read_once(path: Path) -> Run:
    return load_run(path)
