"""
Blocks that have one checksum are written over in part: what is read besides, what is hashed, how the list
grows, for who reads the rest of a run and who cuts it. A row per combination of the other axes, a marker per
policy.
"""

from __future__ import annotations

from matplotlib.figure import Figure

from sim.experiment.results import Run
from sim.report.dots import Panel, Series, dots
from sim.report.panels import others, styles
from sim.units import KIB

POLICY = "checksums.overwrite"
_PANELS = (
    Panel("bytes read per byte written", lambda row: row["checksum_more_bytes"] / row["bytes_streamed"]),
    Panel("bytes hashed per byte written", lambda row: row["checksum_bytes_hashed"] / row["bytes_streamed"]),
    Panel("list of checksums at the end, KiB", lambda row: row["checksum_list_bytes"] / KIB),
)
_CALLED = {"read": "reads the rest", "split": "cuts the run"}


def overwrites(run: Run) -> list[Figure]:
    """Return the pages; none if the run does not vary the policy, or a cell has no list."""
    if len(run.axes.get(POLICY, [])) < 2 or any(not row.get("checksum_list_bytes") for row in run.metrics):
        return []
    looks = styles(POLICY, run.axes[POLICY])
    series = [
        Series(_CALLED.get(policy, policy), {POLICY: policy}, look | {"linestyle": "none"})
        for policy, look in looks.items()
    ]
    return dots(run, others(run, (POLICY,)), series, _PANELS)
