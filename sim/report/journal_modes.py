"""
Journal modes: what reaches the device for each byte that is written, and how long a sync takes. A row per
combination of the other axes, a marker per mode.
"""

from __future__ import annotations

from matplotlib.figure import Figure

from sim.experiment.results import Run
from sim.report.dots import Panel, Series, dots
from sim.report.panels import others, styles
from sim.units import NS_PER_MS

MODE = "mount.data"
_PANELS = (
    Panel("bytes to the device per byte written", lambda row: row["bytes_written"] / row["bytes_streamed"]),
    Panel("mean time of a sync, ms", lambda row: row["sync_latency_mean_ns"] / NS_PER_MS, logarithmic=True),
)


def journal_modes(run: Run) -> list[Figure]:
    """Return the pages; none if the run does not vary the mode, or a cell syncs nothing."""
    if len(run.axes.get(MODE, [])) < 2 or any(not row.get("syncs") for row in run.metrics):
        return []
    looks = styles(MODE, run.axes[MODE])
    series = [
        Series(f"data={mode}", {MODE: mode}, look | {"linestyle": "none"}) for mode, look in looks.items()
    ]
    return dots(run, others(run, (MODE,)), series, _PANELS)
