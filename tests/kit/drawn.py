"""
What is wrong with a drawn figure: texts that the page cuts, that lie over each other or over a bar, or that
are too small to read.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import combinations, pairwise
from typing import Any

import numpy as np
from matplotlib.backend_bases import GraphicsContextBase, RendererBase
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.path import Path
from matplotlib.transforms import Bbox, Transform
from numpy.typing import NDArray

Corners = NDArray[np.float64]
"""The corners of a convex shape, in order: n x 2, in points from the lower left of the page."""

SLACK_POINTS = 0.7
"""How far shapes may reach into each other, or out of the page: the edges of a letter's box are blank."""

LEAST_POINTS = 6.0
"""The smallest font that is legible in print, at the width at which figures are drawn."""


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a text as it was drawn."""

    said: str
    corners: Corners
    points: float


class _Recorder(RendererBase):
    """Draws nothing and notes where texts and filled shapes would be, at 72 dots per inch."""

    def __init__(self, figure: Figure) -> None:
        super().__init__()
        self.page = figure.bbox
        self.lines: list[Line] = []
        self.bars: list[Corners] = []

    def flipy(self) -> bool:
        """Have y upwards, as everywhere in matplotlib but in its files."""
        return False

    def get_canvas_width_height(self) -> tuple[float, float]:
        """Return the page's size in points."""
        return self.page.width, self.page.height

    def draw_path(
        self,
        gc: GraphicsContextBase,
        path: Path,
        transform: Transform,
        rgbFace: Any = None,  # noqa: N803
    ) -> None:
        """Note a filled shape that is not white."""
        if rgbFace is not None and to_rgb(rgbFace) != (1.0, 1.0, 1.0):
            box = path.get_extents(transform)
            clip = gc.get_clip_rectangle()
            seen = box if clip is None else Bbox.intersection(box, clip)
            if seen is not None:
                self.bars.append(seen.corners()[[0, 1, 3, 2]])

    def draw_image(self, *_what: Any) -> None:
        """Note nothing: what is written into the cells of a map belongs there."""

    def draw_text(
        self, _gc: Any, x: float, y: float, s: str, prop: FontProperties, angle: float, *_more: Any, **_: Any
    ) -> None:
        """Note a line of text; x, y: the left end of its base line."""
        if s.strip():
            width, height, descent = self.get_text_width_height_descent(s, prop, False)
            low, high, turn = -descent, height - descent, np.radians(angle)
            box = np.array([(0, low), (width, low), (width, high), (0, high)])
            turned = box @ [[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]]
            self.lines.append(Line(s, turned + np.array((x, y)), prop.get_size_in_points()))


def faults(figure: Figure, *, on_bars: Callable[[str], bool] = lambda _said: False) -> list[str]:
    """
    Return one line for each fault: of a line of text, or of a pair of them.

    on_bars: which texts are meant to lie on a bar.
    """
    figure.set_dpi(72)
    recorder = _Recorder(figure)
    figure.draw(recorder)
    page = np.array([(0, 0), recorder.page.size])
    found = []
    for line in recorder.lines:
        out = max((page[0] - line.corners).max(), (line.corners - page[1]).max())
        if out > SLACK_POINTS:
            found.append(f"cut: {line.said!r}")
        if line.points < LEAST_POINTS:
            found.append(f"small: {line.said!r}")
        if not on_bars(line.said) and any(_meet(line.corners, bar) for bar in recorder.bars):
            found.append(f"over a bar: {line.said!r}")
    for one, other in combinations(recorder.lines, 2):
        if _meet(one.corners, other.corners):
            found.append(f"over each other: {one.said!r}, {other.said!r}")
    return found


def _meet(one: Corners, other: Corners) -> bool:
    """Tell whether two convex shapes share more than the slack, in every direction of their edges."""
    if not _share(one, other, np.eye(2)):
        return False
    edges = [b - a for shape in (one, other) for a, b in pairwise(shape)]
    normals = [np.array((-y, x)) / np.hypot(x, y) for x, y in edges if x or y]
    return _share(one, other, normals)


def _share(one: Corners, other: Corners, directions: Sequence[Corners] | Corners) -> bool:
    for direction in directions:
        a, b = one @ direction, other @ direction
        if min(a.max(), b.max()) - max(a.min(), b.min()) <= SLACK_POINTS:
            return False
    return True
