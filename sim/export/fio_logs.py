"""
fio's logs of bandwidth, latency and IOPS: a line an I/O, as fio writes them without log_avg_msec.

A line is: time in ms, value, direction (0 read, 1 write), bytes of the I/O, priority (0). Values are KB/s,
ns, and 1; an I/O is logged at its end. The logs are named PREFIX_bw.N.log for clone N, counted from 1. Of the
synchronous engines the latency is all completion latency: _lat and _clat are alike, and _slat is empty.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from sim.experiment.results import Run
from sim.export.fio_ios import READ, WRITE, Clone, clones_of
from sim.units import NS_PER_MS

KINDS = ("bw", "lat", "clat", "slat", "iops")


def write_fio_logs(run: Run, cell: int, seed: int, folder: Path, prefix: str) -> list[Path]:
    """Write the logs of every clone of a cell into `folder`; return the files."""
    files = []
    for number, clone in enumerate(clones_of(run, cell, seed), start=1):
        for kind in KINDS:
            path = folder / f"{prefix}_{kind}.{number}.log"
            with path.open("w", encoding="ascii") as file:
                file.writelines(_lines(clone, kind) if kind != "slat" else ())
            files.append(path)
    return files


def _lines(clone: Clone, kind: str) -> Iterator[str]:
    """Yield the lines of one log of a clone, in the order in which the I/Os ended."""
    ends = []
    for ddir in (READ, WRITE):
        ios = clone.ios[ddir]
        columns = ios.start.tolist(), ios.latency.tolist(), ios.length.tolist()
        ends += [
            (start + latency, latency, length, ddir) for start, latency, length in zip(*columns, strict=True)
        ]
    for end, latency, length, ddir in sorted(ends):
        value = {"bw": length * NS_PER_MS // latency if latency else 0, "iops": 1}.get(kind, latency)
        yield f"{(end - clone.began_ns) // NS_PER_MS}, {value}, {ddir}, {length}, 0\n"
