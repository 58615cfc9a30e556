"""
The numbers of README.md on checksums and on broken devices, of committed results.
"""

from __future__ import annotations

from functools import cache

from quote import ROOT, Quote

from sim.api import cell, load
from sim.experiment.results import Run

REFERENCE = ROOT / "results" / "reference"


@cache
def _run(name: str) -> Run:
    return load(REFERENCE / name)


def _over_none(metric: str, job: str, *checksums: str, layout: str = "contiguous") -> list[float]:
    """Return how many times as much as without checksums readers with some take, nothing in memory."""
    labels = {"layout": layout, "job": job, "status": "all_cold"}
    of = {name: float(cell(_run("checksum_layouts"), checksums=name, **labels)[metric]) for name in checksums}
    none = float(cell(_run("checksum_layouts"), checksums="none", **labels)[metric])
    return [of[name] / none for name in checksums]


def _wrong(scheme: str) -> float:
    """Return how many reads brought wrong data, over all kinds of fault, paths and seeds."""
    return sum(row["reads_wrong"] for row in _run("corruption").metrics if row["scheme"] == scheme)


def _all_reads(scheme: str) -> float:
    rows = [row for row in _run("corruption").metrics if row["scheme"] == scheme]
    return sum(row[name] for row in rows for name in ("reads_right", "reads_eio", "reads_wrong"))


LONG = ("extent, 8 blocks", "extent, 64 blocks", "extent, whole")

INTEGRITY: tuple[Quote, ...] = (
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
