"""
Tornado figures: how far each constant, at the ends of its interval, moves a claim's value.

One figure per claim, of the width of one column. The bars go out from the value with all constants as given;
the lower end of a constant is blue, the upper orange and hatched; the claim's margin is a dashed line, and a
cross marks an end that changes the verdict. The last bar has every constant at its worse end.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from textwrap import wrap
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from sim.claims.sensitivity import Outcome, Sensitivity
from sim.report.panels import FORMATS, check_formats, footer, save
from sim.report.style import HIGH, LOW, RC, WIDTH_INCHES

COLUMN_INCHES = WIDTH_INCHES / 2 - 0.1
_HATCH = "////"


def draw_tornados(
    found: Sequence[Sensitivity], folder: Path, foot: str, top: int = 10, formats: Sequence[str] = FORMATS
) -> list[Path]:
    """
    Draw a figure per claim that hangs on constants, its `top` largest; return the files.

    foot: what the line at the foot says, for where the numbers come from.
    """
    check_formats(formats)
    with mpl.rc_context(RC):
        pages = {f"tornado_{one.claim.name}": _page(one, top, foot) for one in found if one.effects}
        return [path for name, page in pages.items() for path in save([page], name, folder, formats)]


def _page(one: Sensitivity, top: int, foot: str) -> Figure:
    effects = one.effects[:top]
    title = wrap(one.claim.said, 62)
    rows = len(effects) + 1
    head, bottom = 0.16 + 0.125 * (len(title) + 2), 0.66
    height = head + bottom + 0.19 * rows
    figure = Figure(figsize=(COLUMN_INCHES, height))
    panel = figure.subplots()
    figure.subplots_adjust(left=0.42, right=0.965, top=1 - head / height, bottom=bottom / height)
    base = one.base.value or 0.0
    for row, effect in enumerate(effects):
        for outcome, upper in ((effect.low, False), (effect.high, True)):
            _bar(panel, row, base, outcome, upper, one)
    for outcome in (one.lowest, one.highest):
        value = base if outcome.value is None else outcome.value
        panel.barh(rows - 1, value - base, left=base, height=0.66, color="#c8c8c8", linewidth=0)
        _cross(panel, rows - 1, value, outcome, one)
    panel.axvline(base, color="#000000", linewidth=0.8)
    if one.claim.kind != "equal":
        wide = one.claim.kind == "equivalent"
        margins = [1 - one.claim.margin, 1 + one.claim.margin] if wide else [one.claim.margin]
        for margin in margins:
            panel.axvline(margin, color="#000000", linewidth=0.8, linestyle=(0, (3, 2)))
    shares = [f"{effect.constant.title} ±{100 * effect.constant.spread:.0f} %" for effect in effects]
    panel.set_yticks(range(rows), [*shares, "all, each at its worse end"], fontsize=5.6)
    panel.set_ylim(rows - 0.45, -0.55)
    panel.tick_params(axis="y", length=0)
    panel.grid(axis="x")
    figure.text(0.965, 0.2 / height, _axis(one), ha="right", va="bottom", fontsize=6.2)
    figure.text(0.02, 1 - 0.06 / height, "\n".join(title), ha="left", va="top", fontsize=6.2)
    figure.legend(
        handles=[
            Patch(color=LOW, label="lower end"),
            Patch(facecolor=HIGH, edgecolor="#ffffff", hatch=_HATCH, label="upper end", linewidth=0),
            Line2D([], [], color="#000000", linestyle=(0, (3, 2)), linewidth=0.8, label=one.claim.rule()),
            Line2D([], [], color="#000000", marker="x", markersize=4, linewidth=0, label="verdict changes"),
        ],
        loc="upper center",
        bbox_to_anchor=(0.5, 1 - (0.1 + 0.125 * len(title)) / height),
        ncols=4,
        frameon=False,
        fontsize=5.6,
        columnspacing=1.0,
        handlelength=1.4,
        handletextpad=0.4,
    )
    footer(figure, foot)
    return figure


def _bar(panel: Axes, row: int, base: float, outcome: Outcome, upper: bool, one: Sensitivity) -> None:
    """Draw one end of one constant, from the base value on."""
    value = base if outcome.value is None else outcome.value
    look: dict[str, Any] = (
        {"facecolor": HIGH, "hatch": _HATCH, "edgecolor": "#ffffff"} if upper else {"facecolor": LOW}
    )
    panel.barh(row, value - base, left=base, height=0.66, linewidth=0, **look)
    _cross(panel, row, value, outcome, one)


def _cross(panel: Axes, row: int, value: float, outcome: Outcome, one: Sensitivity) -> None:
    if outcome.verdict != one.base.verdict:
        panel.plot([value], [row], color="#000000", marker="x", markersize=4, linewidth=0)


def _axis(one: Sensitivity) -> str:
    """Return what the value is, with its unit, and at which cell."""
    claim = one.claim
    ratio = bool(claim.over or claim.by or claim.less)
    unit = "ratio" if ratio else str(claim.measure)
    what = str(claim.measure) if ratio else ""
    return "\n".join(
        wrap(
            f"{unit}{' of ' + what if what else ''}, at {', '.join(one.at)}",
            58,
            max_lines=2,
            placeholder=" ...",
        )
    )
