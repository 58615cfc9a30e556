"""
Flame graphs as SVG: a box a frame, as wide as it costs, callers below what they call; each box says in its
tooltip what it is.

Written by hand, not drawn with matplotlib: boxes that tell of themselves, and text that can be searched.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from xml.sax.saxutils import escape, quoteattr

from sim.report.flame_tree import Frame, Placed, placed

WIDTH = 1200
_MARGIN, _ROW, _LETTER = 10, 17, 6.1
_LEAST = 0.1
"""Boxes narrower than so many pixels are not drawn."""
_FONT = "font-family:'DejaVu Sans Mono',Menlo,Consolas,monospace;font-size:10px"
_WORDS = "font-family:'DejaVu Sans',Verdana,sans-serif"


@dataclass(frozen=True, slots=True)
class Panel:
    """One graph: its heading, the root of its tree, the side that its widths are of."""

    heading: str
    root: Frame
    side: int = 0


@dataclass(frozen=True, slots=True)
class Look:
    """What a frame looks like: its fill, and its tooltip."""

    fill: Callable[[Frame], str]
    tooltip: Callable[[Frame, Frame], str]


def svg(title: str, panels: Sequence[Panel], look: Look, legend: Sequence[tuple[str, str]], foot: str) -> str:
    """Return a document of panels below each other. legend: (fill, what it means)."""
    body: list[str] = []
    y = 30.0
    for panel in panels:
        boxes = list(placed(panel.root, panel.side))
        deepest = max((box.depth for box in boxes), default=0)
        body.append(_text(_MARGIN, y + 12, panel.heading, 12))
        y += 20
        y += (deepest + 1) * _ROW
        scale = (WIDTH - 2 * _MARGIN) / (panel.root.whole(panel.side) or 1)
        hidden = 0
        for box in boxes:
            if box.width * scale < _LEAST:
                hidden += 1
            else:
                body.append(_box(box, panel.root, scale, y, look))
        if hidden:
            body.append(
                _text(_MARGIN, y + 12, f"{hidden} boxes narrower than {_LEAST} pixel are not drawn", 10)
            )
            y += 16
        y += 14
    body += _legend(legend, y)
    y += 20
    body.append(_text(_MARGIN, y + 8, foot, 10))
    height = round(y + 20)
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}"'
        f' viewBox="0 0 {WIDTH} {height}" role="img" aria-label={quoteattr(title)}>\n'
        f"<title>{escape(title)}</title>\n"
        f'<rect width="{WIDTH}" height="{height}" fill="#ffffff"/>\n'
        f'{_text(WIDTH / 2, 20, title, 14, middle=True)}\n<g style="{_FONT}">\n'
    )
    return head + "\n".join(body) + "\n</g>\n</svg>\n"


def _box(box: Placed, root: Frame, scale: float, bottom: float, look: Look) -> str:
    """Return a frame's box with its tooltip and as much of its name as there is room for."""
    x, width = _MARGIN + box.start * scale, box.width * scale
    y = bottom - (box.depth + 1) * _ROW
    fill = look.fill(box.frame)
    letters = int((width - 4) / _LETTER)
    name = box.frame.name
    shown = name if len(name) <= letters else f"{name[: letters - 2]}.." if letters > 3 else ""
    label = ""
    if shown:
        colour = "#ffffff" if is_dark(fill) else "#000000"
        label = f'<text x="{x + 2:.2f}" y="{y + 12:.1f}" fill="{colour}">{escape(shown)}</text>'
    return (
        f"<g><title>{escape(look.tooltip(box.frame, root))}</title>"
        f'<rect x="{x:.2f}" y="{y:.1f}" width="{max(width - 0.3, 0.1):.2f}" height="{_ROW - 1}"'
        f' fill="{fill}" stroke="#888888" stroke-width="0.3"/>{label}</g>'
    )


def _text(x: float, y: float, words: str, size: int, middle: bool = False) -> str:
    anchor = ' text-anchor="middle"' if middle else ""
    return f'<text x="{x:.1f}" y="{y:.1f}" style="{_WORDS};font-size:{size}px"{anchor}>{escape(words)}</text>'


def _legend(entries: Sequence[tuple[str, str]], y: float) -> list[str]:
    found, x = [], float(_MARGIN)
    for fill, words in entries:
        found.append(
            f'<rect x="{x:.1f}" y="{y:.1f}" width="12" height="12" fill="{fill}" stroke="#888888"'
            ' stroke-width="0.5"/>'
        )
        found.append(_text(x + 16, y + 10, words, 11))
        x += 16 + 6.6 * len(words) + 18
    return found


def is_dark(fill: str) -> bool:
    """Tell whether white text can be read on a colour "#rrggbb" better than black."""
    red, green, blue = (int(fill[at : at + 2], 16) for at in (1, 3, 5))
    return 0.299 * red + 0.587 * green + 0.114 * blue < 110


def mixed(colour: str, share: float) -> str:
    """Return so much of a colour "#rrggbb" in white, 0 to 1."""
    parts = (int(colour[at : at + 2], 16) for at in (1, 3, 5))
    return "#" + "".join(f"{round(255 + (part - 255) * share):02x}" for part in parts)
