"""
Tornado figures: how far each constant, at the ends of its interval, moves a claim's value.

One figure per claim, of the width of one column. The bars go out from the value with all constants as given;
the lower end of a constant is blue, the upper orange and hatched; the claim's margin is a dashed line, and a
cross marks an end that changes the verdict. The last bar has every constant at its worse end.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from sim.claims.sensitivity import Outcome, Sensitivity
from sim.report.measure import tick_marks
from sim.report.page import Frame, Names, Strip, mark
from sim.report.panels import FORMATS, check_formats, save
from sim.report.style import COLUMN_INCHES, HIGH, LOW, own_style

_HATCH, _ROW_INCHES, _MARGIN = "////", 0.19, 0.04


def draw_tornados(
    found: Sequence[Sensitivity], folder: Path, foot: str, top: int = 10, formats: Sequence[str] = FORMATS
) -> list[Path]:
    """
    Draw a figure per claim that hangs on constants, its `top` largest; return the files.

    foot: what the line at the foot says, for where the numbers come from.
    """
    check_formats(formats)
    with own_style():
        pages = {f"tornado_{one.claim.name}": tornado(one, top, foot) for one in found if one.effects}
        return [path for name, page in pages.items() for path in save([page], name, folder, formats)]


def tornado(one: Sensitivity, top: int, foot: str) -> Figure:
    """Return the figure of one claim."""
    effects = one.effects[:top]
    shares = [f"{effect.constant.title} ±{100 * effect.constant.spread:.0f}\u00a0%" for effect in effects]
    names = Names.of([*shares, "all, each at its worse end"])
    frame = Frame(
        width=COLUMN_INCHES,
        lefts=(names.inches,),
        heading=one.claim.said,
        legend=(
            Patch(color=LOW, label="lower end"),
            Patch(facecolor=HIGH, edgecolor="#ffffff", hatch=_HATCH, label="upper end", linewidth=0),
            Line2D([], [], color="#000000", linestyle=(0, (3, 2)), linewidth=0.8, label=one.claim.rule()),
            Line2D([], [], color="#000000", marker="x", markersize=4, linewidth=0, label="verdict changes"),
        ),
        name=_axis(one),
        foot=foot,
    )
    rows = len(names.texts)
    figure, [(panel,)] = frame.page([Strip(max(_ROW_INCHES, names.each + 0.03) * rows)])
    base = one.base.value or 0.0
    for row, effect in enumerate(effects):
        for outcome, upper in ((effect.low, False), (effect.high, True)):
            _bar(panel, row, base, outcome, upper, one)
    for outcome in (one.lowest, one.highest):
        value = base if outcome.value is None else outcome.value
        panel.barh(rows - 1, value - base, left=base, height=0.66, color="#c8c8c8", linewidth=0)
        _cross(panel, rows - 1, value, outcome, one)
    panel.axvline(base, color="#000000", linewidth=0.8)
    margins = _margins(one)
    for margin in margins:
        panel.axvline(margin, color="#000000", linewidth=0.8, linestyle=(0, (3, 2)))
    ends = [end.value for effect in effects for end in (effect.low, effect.high)]
    _limits(panel, [base, *margins, *ends, one.lowest.value, one.highest.value], frame.panel_inches)
    names.beside(panel, range(rows))
    panel.set_ylim(rows - 0.45, -0.55)
    panel.grid(axis="x")
    return figure


def _margins(one: Sensitivity) -> list[float]:
    """Return where the claim's verdict turns."""
    if one.claim.kind == "equal":
        return []
    wide = one.claim.kind == "equivalent"
    return [1 - one.claim.margin, 1 + one.claim.margin] if wide else [one.claim.margin]


def _limits(panel: Axes, values: Sequence[float | None], inches: float) -> None:
    """Have a horizontal axis that shows all values."""
    known = [value for value in values if value is not None]
    low, high = min(known), max(known)
    around = _MARGIN * (high - low) or _MARGIN * abs(high) or 1.0
    panel.set_xlim(low - around, high + around)
    mark(panel, "x", tick_marks(high + around, inches, low - around))


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
    return f"{'ratio of ' if ratio else ''}{claim.measure}, at {', '.join(one.at)}"
