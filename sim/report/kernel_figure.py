"""
Kernel against simulator: calls per page that was read, a point per recorded case, a panel per counter.

On the diagonal both count the same; the axes are logarithmic, and a case that counts nothing is left out.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import matplotlib as mpl
from matplotlib.figure import Figure

from sim.report.panels import check_formats, footer, path_legend, path_style, plain_logs, save
from sim.report.style import PATH_COLOURS, RC, WIDTH_INCHES

PANELS = {
    "ext4_map_blocks": "mapping calls",
    "submit_bh_wbc": "buffer heads submitted",
    "read bios": "read bios",
    "rq_issue": "requests at the driver",
}
"""Counter -> what its panel is called."""

_HEIGHT_INCHES = 2.5
_TICKS = (0.001, 0.01, 0.1, 1.0, 10.0)


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
    with mpl.rc_context(RC):
        figure = Figure(figsize=(WIDTH_INCHES, _HEIGHT_INCHES))
        paths = [path for path in PATH_COLOURS if any(point.path == path for point in points)]
        for number, (counter, title) in enumerate(PANELS.items(), start=1):
            panel = figure.add_subplot(1, len(PANELS), number)
            shown = [p for p in points if p.counter == counter and p.kernel and p.simulator]
            panel.plot([5e-4, 20], [5e-4, 20], color="#9a9a9a", linewidth=0.6, zorder=1)
            for path in paths:
                own = [point for point in shown if point.path == path]
                panel.plot(
                    [point.kernel / point.pages for point in own],
                    [point.simulator / point.pages for point in own],
                    **path_style(path) | {"linestyle": "none", "markersize": 3, "markeredgewidth": 0.6},
                )
            off = sum(p.kernel != p.simulator for p in points if p.counter == counter)
            panel.set_title(f"{title}\n{len(shown):,} cases, {off} differ")
            panel.set(xscale="log", yscale="log", xlim=(5e-4, 20), ylim=(5e-4, 20), aspect="equal")
            for axis in ("x", "y"):
                plain_logs(panel, axis, _TICKS)
            panel.set_xlabel("kernel, calls per page")
            if number == 1:
                panel.set_ylabel("simulator, calls per page")
            else:
                panel.tick_params(labelleft=False)
        figure.subplots_adjust(left=0.085, right=0.985, bottom=0.22, top=0.77, wspace=0.14)
        path_legend(figure, paths, _HEIGHT_INCHES)
        footer(figure, source)
        (saved,) = save([figure], file.stem, file.parent, [file.suffix.lstrip(".")])
    return saved
