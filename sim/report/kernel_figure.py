"""
Kernel against simulator: calls per page that was read, a point per recorded case, a panel per counter.

On the diagonal both count the same; the axes are logarithmic, and a case that counts nothing is left out.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from matplotlib.figure import Figure

from sim.report.measure import log_marks
from sim.report.page import GAP, NAME, TICKS, Frame, Strip, beside, mark
from sim.report.panels import check_formats, line_entries, save, styles
from sim.report.style import PATH_COLOURS, WIDTH_INCHES, own_style

PANELS = {
    "ext4_map_blocks": "mapping calls",
    "submit_bh_wbc": "buffer heads submitted",
    "read bios": "read bios",
    "rq_issue": "requests at the driver",
}
"""Counter -> what its panel is called."""

_HEIGHT_INCHES, _MARGIN = 1.45, 1.6
"""How high, and about how wide, a panel is; what its axes show beyond the least and the most, as a factor."""


class Point(NamedTuple):
    """One counter of one case: `kernel` and `simulator` calls for `pages` pages read through `path`."""

    path: str
    counter: str
    kernel: int
    simulator: int
    pages: int


def draw_kernel_figure(points: Sequence[Point], file: Path, source: str) -> Path:
    """
    Draw the counters of PANELS into `file`, an SVG or PNG by its suffix, and return it.

    source: where the records come from, for the foot. Raises ConfigError for another suffix.
    """
    check_formats([file.suffix.lstrip(".")])
    with own_style():
        (saved,) = save([kernel_figure(points, source)], file.stem, file.parent, [file.suffix.lstrip(".")])
    return saved


def kernel_figure(points: Sequence[Point], source: str) -> Figure:
    """Return the figure."""
    paths = [path for path in PATH_COLOURS if any(point.path == path for point in points)]
    looks, seen = styles("path", paths), [p for p in points if p.kernel and p.simulator]
    rates = [calls / p.pages for p in seen for calls in (p.kernel, p.simulator)] or [1.0]
    low, high = min(rates) / _MARGIN, max(rates) * _MARGIN
    marks = log_marks(low, high, _HEIGHT_INCHES, upright=True)
    titles = tuple(_title(title, [p for p in points if p.counter == name]) for name, title in PANELS.items())
    strip = Strip(_HEIGHT_INCHES, titles=titles, name="simulator, calls per page", under=TICKS + NAME)
    frame = Frame(
        width=WIDTH_INCHES,
        lefts=(beside([strip], [marks]), *[GAP] * (len(PANELS) - 1)),
        legend=line_entries(looks),
        foot=source,
    )
    figure, [panels] = frame.page([strip])
    for panel, counter in zip(panels, PANELS, strict=True):
        panel.plot([low, high], [low, high], color="#9a9a9a", linewidth=0.6, zorder=1)
        for path, look in looks.items():
            own = [p for p in seen if (p.counter, p.path) == (counter, path)]
            panel.plot(
                [p.kernel / p.pages for p in own],
                [p.simulator / p.pages for p in own],
                **look | {"linestyle": "none", "markersize": 3, "markeredgewidth": 0.6},
            )
        panel.set(xscale="log", yscale="log", xlim=(low, high), ylim=(low, high))
        mark(panel, "x", log_marks(low, high, frame.panel_inches))
        mark(panel, "y", marks, shown=panel is panels[0])
        panel.set_xlabel("kernel, calls per page")
    return figure


def _title(title: str, cases: Sequence[Point]) -> str:
    shown = sum(1 for p in cases if p.kernel and p.simulator)
    off = sum(p.kernel != p.simulator for p in cases)
    return f"{title}\n{shown:,} cases, {off:,} differ"
