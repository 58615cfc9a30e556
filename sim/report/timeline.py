"""
One read window on each path, side by side: the picture that explains where the per-block work is.

A block per layout; in it, per path, four lanes over time: what the reader does, the commands at the device,
the interrupts, and how many pages are up to date. CPU work is coloured by cost group and cut into as many
pieces as bios were submitted or ended in it, so that one piece stands for one bio. The length of each colour
is exact; the order within a stretch is the kernel's in outline, as the core charges a window at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from sim.machine.timeline import Span, Timeline
from sim.report.panels import FORMATS, check_formats, footer, save
from sim.report.style import GROUP_COLOURS, GROUP_LABELS, PATH_COLOURS, RC, WIDTH_INCHES

_ONCE = ("page cache", "other")
"""Groups that come before the first bio of a stretch, once."""
_PER_BIO = ("buffer heads", "mapping", "bio", "block layer", "driver", "decrypt")
_AFTER = ("copy",)

_LANES = ("reader", "device", "interrupt", "pages ready")
_DEVICE, _READY = "#c9c9c9", "#303030"
_LANE_INCHES, _PATH_INCHES = 0.145, 0.66
_LEAST_ROUND = 0.006
"""Least length of a bio's stripes, in widths of the panel: shorter ones would run into one colour."""
_LAYOUT_WORDS = {
    "contiguous": "Contiguous file: one extent",
    "1-block extents": "Fragmented file: every block an extent of its own",
}
_COUNTS = ("map\ncalls", "bios", "com-\nmands", "end_io\ncalls", "µs\nin all")


@dataclass(frozen=True, slots=True)
class Piece:
    """A stretch of one colour: [start_us, start_us + length_us)."""

    group: str
    start_us: float
    length_us: float


def pieces(span: Span, most_rounds: int = 1 << 30) -> list[Piece]:
    """
    Return the coloured stretches of a span of CPU work, in the kernel's order in outline.

    most_rounds: with more bios than these, a round stands for several.
    """
    rounds = min(max(span.bios, 1), most_rounds)
    order = [(group, span.groups[group]) for group in _ONCE]
    order += [(group, span.groups[group] / rounds) for _ in range(rounds) for group in _PER_BIO]
    order += [(group, span.groups[group]) for group in _AFTER]
    at, found = span.start_ns / 1000, []
    for group, ns in order:
        if ns:
            found.append(Piece(group, at, ns / 1000))
            at += ns / 1000
    return found


def counts(timeline: Timeline) -> tuple[int, int, int, int]:
    """Return calls of ext4_map_blocks, bios, device commands, bio completions."""
    calls = timeline.calls
    return (
        calls.get("ext4_map_blocks", 0),
        timeline.count("Q"),
        len(timeline.commands),
        calls.get("bio_endio", 0),
    )


def timeline_figure(blocks: Sequence[Sequence[Timeline]], about: str, foot_note: str) -> Figure:
    """
    Return the figure: a block of lanes per element of `blocks`, in it one row per path.

    about: what was read, for the title. foot_note: where the numbers come from.
    """
    head, between, foot = 0.74, 0.78, 0.52
    rows = max(len(block) for block in blocks)
    height = head + foot + len(blocks) * rows * _PATH_INCHES + (len(blocks) - 1) * between
    figure = Figure(figsize=(WIDTH_INCHES, height))
    top = height - head
    for block in blocks:
        bottom = top - rows * _PATH_INCHES
        panel = figure.add_axes((0.165, bottom / height, 0.565, rows * _PATH_INCHES / height))
        _block(panel, block)
        top = bottom - between
    _legend(figure, blocks, about, height)
    footer(figure, foot_note)
    return figure


def _block(panel: Axes, block: Sequence[Timeline]) -> None:
    end_us = max(timeline.end_ns for timeline in block) / 1000
    panel.set_xlim(0, end_us * 1.005)
    panel.set_ylim(len(block) * _PATH_INCHES, 0)
    for row, timeline in enumerate(block):
        _path(panel, row * _PATH_INCHES, timeline, end_us)
    panel.set_title(_LAYOUT_WORDS.get(block[0].layout, block[0].layout), loc="left", pad=5, fontweight="bold")
    panel.spines["left"].set_visible(False)
    panel.set_yticks([])
    panel.xaxis.set_major_locator(MaxNLocator(nbins=8, steps=[1, 2, 5, 10]))
    panel.set_xlabel("time since read(2), µs", labelpad=2)
    panel.grid(axis="x")
    for column, heading in enumerate(_COUNTS):
        _beside(panel, column, -0.03, heading, va="bottom", fontsize=7, linespacing=1.0)


def _beside(panel: Axes, column: int, y: float, text: str, **style: Any) -> None:
    """Write into the table of counts to the right of the panel; `y` in inches from the top."""
    panel.text(1.06 + 0.084 * column, y, text, transform=panel.get_yaxis_transform(), ha="center", **style)


def _path(panel: Axes, top: float, timeline: Timeline, end_us: float) -> None:
    """Draw the lanes of one path below `top` (in inches)."""
    colour = PATH_COLOURS[timeline.path]
    lanes = [top + 0.05 + lane * _LANE_INCHES for lane in range(len(_LANES))]
    for y, name in zip(lanes, _LANES, strict=True):
        panel.text(
            -0.008, y + _LANE_INCHES / 2, name, transform=panel.get_yaxis_transform(),
            ha="right", va="center", fontsize=6, color="#505050",
        )  # fmt: skip
    panel.text(
        -0.28, top + _PATH_INCHES / 2, timeline.path, transform=panel.get_yaxis_transform(),
        ha="left", va="center", fontweight="bold", color=colour,
    )  # fmt: skip
    if top:
        panel.plot(
            [-0.28, 1.46], [top, top], transform=panel.get_yaxis_transform(),
            color="#c8c8c8", linewidth=0.5, clip_on=False,
        )  # fmt: skip
    _work(panel, lanes[0], timeline.task)
    _commands(panel, lanes[1], timeline)
    _work(panel, lanes[2], timeline.irq)
    _ready(panel, lanes[3], timeline)
    _notes(panel, lanes, timeline, end_us)
    end = timeline.end_ns / 1000
    panel.plot([end, end], [lanes[0], lanes[3] + _LANE_INCHES * 0.9], color=colour, linewidth=1.0)
    y, pages = top + _PATH_INCHES / 2, _pages(timeline)
    for column, count in enumerate(counts(timeline)):
        heavy = "bold" if count > pages else "normal"
        _beside(panel, column, y, f"{count}", va="center", fontsize=9, fontweight=heavy)
    _beside(panel, len(_COUNTS) - 1, y, f"{timeline.end_ns / 1000:.1f}", va="center", fontsize=9)


def _pages(timeline: Timeline) -> int:
    return sum(count for _, count in timeline.uptodate)


def _notes(panel: Axes, lanes: Sequence[float], timeline: Timeline, end_us: float) -> None:
    """Say in words what the stripes are."""
    style: Any = {"va": "center", "fontsize": 6.5, "color": "#303030"}
    middle, gap = _LANE_INCHES * 0.45, 0.006 * end_us
    bios = timeline.count("Q")
    after = timeline.task[0].end_ns / 1000 + gap
    many = f"{counts(timeline)[0]} × map, {bios} × submit a bio"
    said = many if bios > 1 else "once for the whole window"
    panel.text(after, lanes[0] + middle, said, ha="left", **style)
    first = timeline.irq[0].start_ns / 1000 - gap
    ended = counts(timeline)[3]
    said = f"{ended} completions" if ended > 1 else "1 completion"
    panel.text(first, lanes[2] + middle, said, ha="right", **style)


def _work(panel: Axes, y: float, spans: Sequence[Span]) -> None:
    """Draw CPU work; a thin cut before each bio's piece."""
    high = _LANE_INCHES * 0.86
    for span in spans:
        widths = (span.end_ns - span.start_ns) / 1000 / panel.get_xlim()[1]
        found = pieces(span, max(int(widths / _LEAST_ROUND), 1))
        for group in dict.fromkeys(piece.group for piece in found):
            panel.broken_barh(
                [(piece.start_us, piece.length_us) for piece in found if piece.group == group],
                (y, high),
                facecolor=GROUP_COLOURS[group],
                linewidth=0,
            )
        first = next((piece.group for piece in found if piece.group in _PER_BIO), None)
        if span.bios > 1:
            cuts = [piece.start_us for piece in found if piece.group == first]
            panel.vlines(cuts, y, y + high, color="white", linewidth=0.35)


def _commands(panel: Axes, y: float, timeline: Timeline) -> None:
    """Draw each command as a bar, those at one time below each other."""
    many = len(timeline.commands)
    each = _LANE_INCHES * 0.86 / many
    thick = each * (0.6 if many > 1 else 1.0)
    panel.barh(
        [y + place * each + thick / 2 for place in range(many)],
        [(completed - issued) / 1000 for issued, completed in timeline.commands],
        left=[issued / 1000 for issued, _ in timeline.commands],
        height=thick,
        color=_DEVICE,
        linewidth=0,
    )


def _ready(panel: Axes, y: float, timeline: Timeline) -> None:
    """Draw the number of pages up to date as steps, until the read(2) returns."""
    pages, end_us = _pages(timeline), timeline.end_ns / 1000
    high, times, heights, ready = _LANE_INCHES * 0.8, [0.0], [0.0], 0
    for ns, count in timeline.uptodate:
        ready += count
        times.append(ns / 1000)
        heights.append(ready / pages)
    times.append(end_us)
    heights.append(1.0)
    base = y + high
    panel.fill_between(
        times, base, [base - high * height for height in heights], step="post", color=_READY, linewidth=0
    )
    panel.plot([0, end_us], [base, base], color="#b0b0b0", linewidth=0.4)


def _legend(figure: Figure, blocks: Sequence[Sequence[Timeline]], about: str, height: float) -> None:
    spans = [span for block in blocks for line in block for span in (*line.task, *line.irq)]
    used = [group for group in GROUP_COLOURS if any(span.groups[group] for span in spans)]
    handles = [Patch(color=GROUP_COLOURS[group], label=GROUP_LABELS[group]) for group in used]
    handles.append(Patch(color=_DEVICE, label="device busy"))
    figure.text(0.012, 1 - 0.12 / height, about, ha="left", va="center")
    figure.text(
        0.988,
        1 - 0.12 / height,
        "bold: more than one a page",
        ha="right",
        va="center",
        fontsize=7,
        fontweight="bold",
    )
    figure.legend(
        handles=handles,
        loc="center left",
        bbox_to_anchor=(0.0, 1 - 0.33 / height),
        ncols=len(handles),
        frameon=False,
        handlelength=1.0,
        handleheight=0.9,
        columnspacing=1.2,
        handletextpad=0.5,
    )


def draw_timeline(
    blocks: Sequence[Sequence[Timeline]],
    about: str,
    foot_note: str,
    folder: Path,
    formats: Sequence[str] = FORMATS,
) -> list[Path]:
    """Draw the figure into `folder`; return the files. Raises ConfigError for an unknown format."""
    check_formats(formats)
    with mpl.rc_context(RC):
        return save([timeline_figure(blocks, about, foot_note)], "timeline", folder, formats)
