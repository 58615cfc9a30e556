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
from itertools import product
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from sim.machine.timeline import Span, Timeline
from sim.report.measure import height_of, tick_marks, width_of
from sim.report.page import EDGE, NAME, TICKS, Frame, Strip, mark
from sim.report.panels import FORMATS, check_formats, group_patches, save
from sim.report.style import (
    GROUP_COLOURS,
    PATH_COLOURS,
    SMALL_POINTS,
    TEXT_POINTS,
    TICK_POINTS,
    WIDTH_INCHES,
    own_style,
)

_ONCE = ("page cache", "other")
"""Groups that come before the first bio of a stretch, once."""
_PER_BIO = ("buffer heads", "mapping", "bio", "block layer", "driver", "decrypt")
_AFTER = ("copy",)

_LANES = ("reader", "device", "interrupt", "pages ready")
_DEVICE, _READY = "#7f7f7f", "#303030"
"""Colours of a busy device (darker than the copies' grey) and of pages that are up to date."""
_LANE_INCHES, _PATH_INCHES = 0.145, 0.66
_LEAST_ROUND = 0.006
"""Least length of a bio's stripes, in widths of the panel: shorter ones would run into one colour."""
_LAYOUT_WORDS = {
    "contiguous": "Contiguous file: one extent",
    "1-block extents": "Fragmented file: every block an extent of its own",
}
_COUNTS = ("map\ncalls", "bios", "com-\nmands", "end_io\ncalls", "µs\nin all")
"""Headings of the table beside the panels."""
_COUNT_POINTS, _BESIDE = 9.0, 0.08
"""The font of that table, and the room between its columns."""


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


def timeline_pages(blocks: Sequence[Sequence[Timeline]], about: str, foot_note: str) -> list[Figure]:
    """
    Return the pages of the figure: a block of lanes per element of `blocks`, in it one row per path.

    about: what was read, for the title. foot_note: where the numbers come from.
    """
    lines = [line for block in blocks for line in block]
    used = {
        group
        for line in lines
        for span in (*line.task, *line.irq)
        for group in GROUP_COLOURS
        if span.groups[group]
    }
    lanes = max(width_of(lane, SMALL_POINTS) for lane in _LANES)
    paths = max(width_of(line.path, TEXT_POINTS, "bold") for line in lines)
    table = _Table.of(lines)
    frame = Frame(
        width=WIDTH_INCHES,
        lefts=(EDGE + paths + _BESIDE + lanes + _BESIDE,),
        right=table.inches + EDGE,
        heading=about,
        legend=(*group_patches(used), Patch(color=_DEVICE, label="device busy")),
        foot=f"{foot_note}   bold: more than one a page",
    )
    strips = [
        Strip(
            len(block) * _PATH_INCHES,
            heading=_LAYOUT_WORDS.get(block[0].layout, block[0].layout),
            above=height_of("\n", TICK_POINTS) - height_of("x"),
            under=TICKS + NAME,
        )
        for block in blocks
    ]
    pages = []
    for numbers in frame.split(strips):
        figure, panels = frame.page([strips[at] for at in numbers])
        for at, (panel,) in zip(numbers, panels, strict=True):
            _block(panel, blocks[at], frame, table)
        pages.append(figure)
    return pages


@dataclass(frozen=True, slots=True)
class _Table:
    """The table of counts beside the panels: where the middle of each column is, in inches, and its width."""

    middles: tuple[float, ...]
    inches: float

    @classmethod
    def of(cls, lines: Sequence[Timeline]) -> _Table:
        """Return the columns that hold the counts of all lines."""
        at, middles = 0.0, []
        for column, heading in enumerate(_COUNTS):
            texts = [_counted(line)[column] for line in lines]
            widest = max(width_of(text, _COUNT_POINTS, "bold") for text in texts)
            width = max(width_of(heading, TICK_POINTS), widest) + _BESIDE
            middles.append(at + _BESIDE + (width - _BESIDE) / 2)
            at += width
        return cls(tuple(middles), at)


def _counted(line: Timeline) -> list[str]:
    return [*(f"{count:,}" for count in counts(line)), f"{line.end_ns / 1000:,.1f}"]


def _block(panel: Axes, block: Sequence[Timeline], frame: Frame, table: _Table) -> None:
    end_us = max(timeline.end_ns for timeline in block) / 1000 * 1.005
    panel.set_xlim(0, end_us)
    panel.set_ylim(len(block) * _PATH_INCHES, 0)
    for row, timeline in enumerate(block):
        _path(panel, row * _PATH_INCHES, timeline, frame)
        heavy = [count > _pages(timeline) for count in counts(timeline)]
        for text, middle, bold in zip(_counted(timeline), table.middles, [*heavy, False], strict=True):
            weight = "bold" if bold else "normal"
            y = (row + 0.5) * _PATH_INCHES
            _beside(panel, frame, middle, y, text, va="center", fontsize=_COUNT_POINTS, fontweight=weight)
    panel.spines["left"].set_visible(False)
    panel.set_yticks([])
    mark(panel, "x", tick_marks(end_us, frame.panel_inches))
    panel.set_xlabel("time since read(2), µs", labelpad=2)
    panel.grid(axis="x")
    for heading, middle in zip(_COUNTS, table.middles, strict=True):
        _beside(panel, frame, middle, -0.05, heading, va="baseline", fontsize=TICK_POINTS)


def _beside(panel: Axes, frame: Frame, x: float, y: float, text: str, **style: Any) -> None:
    """Write into the table of counts, `x` inches to the right of the panel and `y` inches from its top."""
    at = 1 + x / frame.panel_inches
    panel.text(at, y, text, transform=panel.get_yaxis_transform(), ha="center", **style)


def _path(panel: Axes, top: float, timeline: Timeline, frame: Frame) -> None:
    """Draw the lanes of one path below `top` (in inches)."""
    colour, aside = PATH_COLOURS[timeline.path], panel.get_yaxis_transform()
    lanes = [top + 0.05 + lane * _LANE_INCHES for lane in range(len(_LANES))]
    left = (EDGE - frame.lefts[0]) / frame.panel_inches
    for y, name in zip(lanes, _LANES, strict=True):
        panel.text(
            -_BESIDE / 2 / frame.panel_inches, y + _LANE_INCHES / 2, name, transform=aside,
            ha="right", va="center", fontsize=SMALL_POINTS, color="#505050",
        )  # fmt: skip
    panel.text(
        left, top + _PATH_INCHES / 2, timeline.path, transform=aside,
        ha="left", va="center", fontweight="bold", color=colour,
    )  # fmt: skip
    if top:
        right = 1 + (frame.right - EDGE) / frame.panel_inches
        panel.plot([left, right], [top, top], transform=aside, color="#c8c8c8", linewidth=0.5, clip_on=False)
    _work(panel, lanes[0], timeline.task)
    _commands(panel, lanes[1], timeline)
    _work(panel, lanes[2], timeline.irq)
    _ready(panel, lanes[3], timeline)
    _notes(panel, lanes, timeline, frame.panel_inches)
    end = timeline.end_ns / 1000
    panel.plot([end, end], [lanes[0], lanes[3] + _LANE_INCHES * 0.9], color=colour, linewidth=1.0)


def _pages(timeline: Timeline) -> int:
    return sum(count for _, count in timeline.uptodate)


@dataclass(frozen=True, slots=True)
class _Room:
    """A stretch of a lane where nothing is drawn, in µs; a note begins at its left, or ends at its right."""

    lane: float
    start_us: float
    end_us: float
    from_left: bool


def _notes(panel: Axes, lanes: Sequence[float], timeline: Timeline, inches: float) -> None:
    """Say in words what the stripes are, where there is room; the table beside says the same in numbers."""
    reader, device, interrupt, _ = lanes
    submitted, again = timeline.task[0].end_ns / 1000, timeline.task[1].start_ns / 1000
    first = min(issued for issued, _ in timeline.commands) / 1000
    maps, bios, _, ended = counts(timeline)
    whole = f"{maps:,} × map, {bios:,} × submit a bio" if bios > 1 else "once for the whole window"
    works = [whole, f"{bios:,} bios" if bios > 1 else "1 bio"]
    ends = [f"{ended:,} completions" if ended > 1 else "1 completion"]
    _note(panel, works, [_Room(reader, submitted, again, True), _Room(device, 0, first, False)], inches)
    _note(panel, ends, [_Room(interrupt, 0, timeline.irq[0].start_ns / 1000, False)], inches)


def _note(panel: Axes, texts: Sequence[str], rooms: Sequence[_Room], inches: float) -> None:
    """Write the first of some texts that fits into one of some rooms; nothing if none does."""
    us_per_inch = panel.get_xlim()[1] / inches
    gap = _BESIDE / 2 * us_per_inch
    for text, room in product(texts, rooms):
        if width_of(text, SMALL_POINTS) * us_per_inch + 2 * gap <= room.end_us - room.start_us:
            at = room.start_us + gap if room.from_left else room.end_us - gap
            panel.text(
                at, room.lane + _LANE_INCHES * 0.45, text, ha="left" if room.from_left else "right",
                va="center", fontsize=SMALL_POINTS, color="#303030",
            )  # fmt: skip
            return


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


def draw_timeline(
    blocks: Sequence[Sequence[Timeline]],
    about: str,
    foot_note: str,
    folder: Path,
    formats: Sequence[str] = FORMATS,
) -> list[Path]:
    """Draw the figure into `folder`; return the files. Raises ConfigError for an unknown format."""
    check_formats(formats)
    with own_style():
        return save(timeline_pages(blocks, about, foot_note), "timeline", folder, formats)
