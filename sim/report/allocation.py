"""
Delayed against immediate allocation: CPU time of what is written, and how often write-back looks at a page.
A row per combination of the other axes, a marker per way to allocate and path.
"""

from __future__ import annotations

from itertools import product

from matplotlib.figure import Figure

from sim.experiment.results import Run
from sim.paths.writepages.designs import WRITE_DESIGNS
from sim.report.calls import calls_of
from sim.report.dots import Panel, Series, dots
from sim.report.panels import others, paths_of, styles
from sim.units import NS_PER_US, PAGE_BYTES

DELALLOC = "mount.delalloc"
_LOOKS = ("mpage_process_page_bufs",)


def allocation(run: Run) -> list[Figure]:
    """Return the pages; none if the run does not vary the mount option and the path, or writes nothing."""
    written = all(row.get("bytes_streamed") for row in run.metrics)
    if len(run.axes.get(DELALLOC, [])) < 2 or not paths_of(run) or not written:
        return []
    once = [path for path, design in WRITE_DESIGNS.items() if design.scans_once]
    ways = [
        (way, path)
        for way, path in product(run.axes[DELALLOC], paths_of(run))
        if way == "true" or path not in once  # without delalloc nothing is scanned twice
    ]
    names = [f"{'delalloc' if way == 'true' else 'nodelalloc'}, {path}" for way, path in ways]
    looks = styles("", names)
    series = [
        Series(name, {DELALLOC: way, "path": path}, looks[name] | {"linestyle": "none"})
        for name, (way, path) in zip(names, ways, strict=True)
    ]
    looked = calls_of(run, _LOOKS)
    panels = (
        Panel("CPU time, µs per 4 KiB", lambda row: row["cpu_ns_per_4k"] / NS_PER_US, logarithmic=True),
        Panel(
            "looks of write-back at each page",
            lambda row: looked[row["cell"], row["seed"]] * PAGE_BYTES / row["bytes_streamed"],
            logarithmic=True,
        ),
    )
    if not all(looked.values()):
        return []
    return dots(run, others(run, (DELALLOC, "path")), series, panels)
