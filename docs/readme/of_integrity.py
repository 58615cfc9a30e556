"""
The numbers of README.md and docs/checksums.md on checksums and on broken devices, of committed results.
"""

from __future__ import annotations

from functools import cache, partial

from quote import ROOT, Quote

from sim.api import cell, load
from sim.experiment.results import Run
from sim.report.checksums import ratios
from sim.report.integrity import JOBS
from sim.report.integrity import MEASURES as BELOW
from sim.units import PAGE_BYTES

REFERENCE = ROOT / "results" / "reference"


@cache
def _run(name: str) -> Run:
    return load(REFERENCE / name)


def _over_none(metric: str, job: str, *checksums: str, **labels: str) -> list[float]:
    """
    Return how many times as much as without checksums readers with some take: of a contiguous file, nothing
    in memory, unless `labels` say another.
    """
    at = {"layout": "contiguous", "job": job, "status": "all_cold"} | labels

    def of(name: str) -> float:
        row = cell(_run("checksum_layouts"), checksums=name, **at)
        if metric == BYTES:
            return float(row["pages_read"]) * PAGE_BYTES + float(row["checksum_bytes_read"] or 0)
        return float(row[metric])

    return [of(name) / of("none") for name in checksums]


def _row(name: str) -> list[float]:
    """Return a random reader's time and bytes, cold, and a sequential one's time and CPU time, warm."""
    found = [_over_none(metric, "random 4 KiB", name) for metric in ("latency_mean_ns", BYTES)]
    found += [
        _over_none(metric, "sequential", name, status="warm") for metric in ("latency_mean_ns", "cpu_ns")
    ]
    return [ratio for (ratio,) in found]


def _on_fragments(*checksums: str) -> list[float]:
    """Return the least and the most CPU time in sequence with extents of a block, cold and warm."""
    found = [
        ratio
        for status in ("all_cold", "warm")
        for ratio in _over_none("cpu_ns", "sequential", *checksums, layout="4 KiB", status=status)
    ]
    return [min(found), max(found)]


def _wrong(scheme: str) -> float:
    """Return how many reads brought wrong data, over all kinds of fault, paths and seeds."""
    return sum(row["reads_wrong"] for row in _run("corruption").metrics if row["scheme"] == scheme)


def _all_reads(scheme: str) -> float:
    rows = [row for row in _run("corruption").metrics if row["scheme"] == scheme]
    return sum(row[name] for row in rows for name in ("reads_right", "reads_eio", "reads_wrong"))


def _below(way: str) -> list[float]:
    """Return the row of a way of integrity_below over none: what the figure shows of four jobs."""
    run = _run("integrity_below")
    column = [label for label in run.axes["integrity"] if label != "none"].index(way)
    of = {name: ratios(run, JOBS, {}, value, "integrity")[column] for name, value in BELOW.items()}
    shown = [(job, *pair) for pair, jobs in SHOWN.items() for job in jobs]
    return [of[name][run.axes[JOBS].index(job)] for job, *names in shown for name in names]


BYTES = "bytes from the device"
ROWS = {
    "a table": "table",
    "extents cut to 1 block": "extent, 1 block",
    "extents cut to 8 blocks": "extent, 8 blocks",
    "extents cut to 64 blocks": "extent, 64 blocks",
    "whole extents": "extent, whole",
}
"""Rows of docs/checksums.md, and the label of each."""
WAYS = {
    "`table_all`": "table",
    "direct, blocks of 512 bytes": "direct, 512 bytes",
    **{mode: mode for mode in ("direct", "bitmap", "journal")},
}
"""Rows of its table below the file system, and the label of each."""
SHOWN = {
    ("time", "CPU time"): ("read in sequence, nvme", "read at random, nvme"),
    ("time", "bytes at the device"): ("synced overwrite, hdd", "written in sequence, hdd"),
}
"""What the columns of that table show, and of which jobs."""
LONG = ("extent, 8 blocks", "extent, 64 blocks", "extent, whole")

INTEGRITY: tuple[Quote, ...] = (
    *(
        Quote(f"| {said} | {{:.2f}}, {{:.2f}} | {{:.2f}}, {{:.2f}} |", partial(_row, name))
        for said, name in ROWS.items()
    ),
    *(Quote(f"| {said} |" + " {:.2f}, {:.2f} |" * 4, partial(_below, way)) for said, way in WAYS.items()),
    Quote(
        "with extents of a block the table takes {:.2f} to {:.2f} times the CPU in sequence, the others"
        " {:.2f} to {:.2f}.",
        lambda: [*_on_fragments("table"), *_on_fragments(*list(ROWS.values())[1:])],
    ),
    Quote(
        "a cold random 4 KiB read takes {:.2f} times as long as without; with one checksum for 8, for 64 or"
        " for all blocks of an extent {:.2f}, {:.2f} and {:.2f} times, since all of them must be read.",
        lambda: _over_none("latency_mean_ns", "random 4 KiB", "table", *LONG),
    ),
    Quote(
        "In sequence the table takes {:.2f} times the CPU, one checksum for 64 blocks {:.2f} times",
        lambda: _over_none("cpu_ns_per_4k", "sequential", "table", "extent, 64 blocks"),
    ),
    Quote(
        "of {:,.0f} reads through faults of five kinds fs-verity gave {:.0f} wrong data, ext4 alone {:,.0f}",
        lambda: [_all_reads("fs-verity"), _wrong("fs-verity"), _wrong("none")],
    ),
)
"""What checksums cost, and what a broken device does, of results/reference."""
