"""
What is wrong with a drawn figure: texts that the page cuts, that run into each other or lie over a bar, or
that are too small to read.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal

import numpy as np
from matplotlib.backend_bases import GraphicsContextBase, RendererBase
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.path import Path
from matplotlib.text import Text
from matplotlib.transforms import Bbox, Transform
from numpy.typing import NDArray

from sim.report.style import TALLEST_INCHES, WIDTH_INCHES

Corners = NDArray[np.float64]
"""The corners of a convex shape, in order: n x 2, in points from the lower left of the page."""

SPACE_POINTS = 3.0
"""Between the ends of two texts, for them not to read as one."""

SLACK_POINTS = 0.7
"""How far shapes may reach into each other, or out of the page: the edges of a letter's box are blank."""

WORDS_ON_BARS = ("found", "gone", "?")
"""What is left after a deletion is written into coloured fields."""

LEAST_POINTS = 6.0
"""The smallest font that is legible in print, at the width at which figures are drawn."""


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a text as it was drawn: its box, and that with half a space at either end."""

    said: str
    corners: Corners
    spaced: Corners
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
        self,
        gc: GraphicsContextBase,  # noqa: ARG002
        x: float,
        y: float,
        s: str,
        prop: FontProperties,
        angle: float,
        ismath: bool | Literal["TeX"] = False,
        mtext: Text | None = None,  # noqa: ARG002
    ) -> None:
        """Note a line of text; x, y: the left end of its base line."""
        if s.strip():
            width, height, descent = self.get_text_width_height_descent(s, prop, ismath)
            low, high, turn = -descent, height - descent, np.radians(angle)
            box = np.array([(0, low), (width, low), (width, high), (0, high)])
            ends = np.array([(-1, 0), (1, 0), (1, 0), (-1, 0)]) * SPACE_POINTS / 2
            rotation = [[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]]
            corners, spaced = ((some @ rotation) + np.array((x, y)) for some in (box, box + ends))
            self.lines.append(Line(s, corners, spaced, prop.get_size_in_points()))


def legible(pages: Sequence[Figure]) -> list[str]:
    """Return the faults of a figure's pages, which are no wider and no higher than paper."""
    assert all(page.get_figwidth() <= WIDTH_INCHES for page in pages)
    assert all(page.get_figheight() <= TALLEST_INCHES + 1e-6 for page in pages)
    return [fault for page in pages for fault in faults(page, on_bars=WORDS_ON_BARS.__contains__)]


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
    texts = [line.corners for line in recorder.lines]
    over = sorted({at for at, _ in _meeting(texts, recorder.bars)})
    said = [recorder.lines[at].said for at in over]
    found += [f"over a bar: {text!r}" for text in said if not on_bars(text)]
    spaced = [line.spaced for line in recorder.lines]
    for one, other in _meeting(spaced, spaced):
        if one < other:
            found.append(f"over each other: {recorder.lines[one].said!r}, {recorder.lines[other].said!r}")
    return found


def _meeting(some: Sequence[Corners], others: Sequence[Corners]) -> list[tuple[int, int]]:
    """Return which of some convex shapes share more than the slack with which of others."""
    if not some or not others:
        return []
    boxes = [np.array([(*shape.min(0), *shape.max(0)) for shape in shapes]) for shapes in (some, others)]
    one, other = boxes[0][:, None], boxes[1][None]
    shared = np.minimum(one[..., 2:], other[..., 2:]) - np.maximum(one[..., :2], other[..., :2])
    near = np.argwhere((shared > SLACK_POINTS).all(-1))
    return [(int(a), int(b)) for a, b in near if _share(some[a], others[b])]


def _share(one: Corners, other: Corners) -> bool:
    """Tell whether two convex shapes share more than the slack in every direction of their edges."""
    edges = [b - a for shape in (one, other) for a, b in pairwise(shape)]
    for x, y in edges:
        if x or y:
            normal = np.array((-y, x)) / np.hypot(x, y)
            a, b = one @ normal, other @ normal
            if min(a.max(), b.max()) - max(a.min(), b.min()) <= SLACK_POINTS:
                return False
    return True
