"""
One look for all figures: sizes, fonts, and one colour per cost group and per path, safe for the colour-blind.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import cycle
from pathlib import Path
from typing import Any

import matplotlib as mpl

from sim.config.cell_result import GROUPS
from sim.paths.registry import DESIGNS, PATHS

WIDTH_INCHES = 7.1
"""The width of a page of two columns; fonts are legible at it without scaling."""

COLUMN_INCHES = 3.5
"""The width of one of its columns: of figures that have one column of panels. Fonts are the same."""

TALLEST_INCHES = 9.2
"""The height of a page: what is taller goes on the next one."""

FONT = "DejaVu Sans"  # comes with matplotlib: the same on every machine
TEXT_POINTS, TICK_POINTS, SMALL_POINTS = 7.5, 7.0, 6.0
"""Fonts of titles and legends, of tick labels and numbers, and of notes."""

_BLACK, _GREY, _BROWN, _INDIGO = "#000000", "#c8c8c8", "#4d2600", "#332288"
OKABE_ITO = {
    "black": _BLACK,
    "orange": "#E69F00",
    "sky": "#56B4E9",
    "green": "#009E73",
    "yellow": "#F0E442",
    "blue": "#0072B2",
    "vermillion": "#D55E00",
    "purple": "#CC79A7",
}
"""Okabe and Ito's palette, the one that stays distinct in all common forms of colour blindness."""

GROUP_COLOURS = dict(
    zip(
        GROUPS,
        (
            _GREY,  # copy: the same on every path, so it recedes
            OKABE_ITO["sky"],
            OKABE_ITO["vermillion"],  # mapping: what the question is about
            OKABE_ITO["green"],
            OKABE_ITO["orange"],
            OKABE_ITO["blue"],
            _BROWN,  # driver
            OKABE_ITO["purple"],
            _BLACK,  # checksum
            OKABE_ITO["yellow"],
        ),
        strict=True,
    )
)
"""Cost group -> colour, in every figure. Grey and brown are lighter and darker than all of the palette."""

GROUP_LABELS = {group: group for group in GROUPS} | {"other": "system call, waking"}
"""Cost group -> what legends call it."""

PATH_COLOURS = {name: OKABE_ITO[DESIGNS[name].colour] for name in PATHS}
"""Read path -> colour, in every figure."""

PATH_MARKERS = {name: DESIGNS[name].marker for name in PATHS}
"""Read path -> marker: paths often cost the same, and then a cross in a square shows both."""

SPARE_COLOURS = (_INDIGO, OKABE_ITO["yellow"], _BROWN, "#909090")
SPARE_MARKERS = "v<>*PX"
"""Of paths that are not ours, in turn; together they give 12 looks before one comes twice."""


def path_looks(labels: Sequence[str]) -> list[tuple[str, str]]:
    """Return colour and marker of each label of a `path` axis: ours have theirs, others what is left."""
    spare = zip(cycle(SPARE_COLOURS), cycle(SPARE_MARKERS), strict=False)
    return [
        (PATH_COLOURS[label], PATH_MARKERS[label]) if label in PATH_COLOURS else next(spare)
        for label in labels
    ]


def path_word(label: str) -> str:
    """Return what figures call a label: of a path that is a prediction they say so."""
    return f"{label} (predicted)" if label in DESIGNS and DESIGNS[label].predicted else label


LINE_COLOURS = (
    _BLACK,
    *(OKABE_ITO[name] for name in ("blue", "sky", "vermillion", "orange", "green", "purple")),
)
LINE_MARKERS = "os^Dx+v<"
"""Colours and markers of lines that are not paths, in turn; there is one marker more, so none comes twice."""

STAGE_COLOURS = {
    "plug_ns": OKABE_ITO["yellow"],
    "queue_ns": OKABE_ITO["orange"],
    "device_ns": "#c9c9c9",  # the same on every path, so it recedes; as in the timeline
    "interrupt_ns": OKABE_ITO["green"],
    "post_read_ns": OKABE_ITO["purple"],  # the colour of decryption in the bars of CPU time
    "wake_ns": _BLACK,
}
"""Stage of an I/O -> colour."""

LOSES, EVEN, WINS = OKABE_ITO["vermillion"], "#ffffff", OKABE_ITO["blue"]
"""Ends and middle of a scale of ratios: below, at and above 1."""

LOW, HIGH = OKABE_ITO["blue"], OKABE_ITO["orange"]
"""The lower and the upper end of an interval."""

RC: Any = {  # Any: matplotlib types the keys one by one
    "font.family": FONT,
    "font.size": TEXT_POINTS,
    "text.parse_math": False,  # a $ in a label is a $
    "axes.titlesize": TEXT_POINTS,
    "axes.labelsize": TEXT_POINTS,
    "xtick.labelsize": TICK_POINTS,
    "ytick.labelsize": TICK_POINTS,
    "legend.fontsize": TEXT_POINTS,
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "grid.linewidth": 0.4,
    "grid.color": "#d8d8d8",
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "hatch.linewidth": 0.5,
    "figure.dpi": 100,
    "savefig.dpi": 220,
    "svg.hashsalt": "readpath",  # ids in the SVG do not change from run to run
}


def font_file() -> str | None:
    """Return the file of FONT, None if matplotlib has it not."""
    from matplotlib.font_manager import findfont  # takes a second where its cache is to be made

    try:
        return str(Path(findfont(FONT, fallback_to_default=False)))
    except ValueError:
        return None


@contextmanager
def own_style() -> Iterator[None]:
    """Draw in the block with this look and matplotlib's defaults, whatever a matplotlibrc says."""
    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams.update(RC)
        yield
