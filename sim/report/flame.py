"""
The figures flame and flame_diff: where the cost of some cells goes, stack by stack; and what two sides of a
difference cost each.

They are drawn when they are asked for, of cells that are alike. Costs are per 4 KiB read or written.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

from sim.config.cell_result import GROUPS, Currency
from sim.errors import ConfigError
from sim.experiment.results import Row, Run
from sim.experiment.stacks import stack_costs
from sim.report.flame_svg import Look, Panel, mixed, svg
from sim.report.flame_tree import Frame, tree_of
from sim.report.panels import run_footer
from sim.report.pooling import refuse_unlike
from sim.report.style import GROUP_COLOURS, GROUP_LABELS, LOSES, WINS
from sim.report.tables import file_bytes, select
from sim.units import PAGE_BYTES

FLAMES = ("flame", "flame_diff")
_CALLER = "#f2f2f2"
"""Of frames that cost nothing themselves."""
_UNITS: dict[Currency, str] = {"ns": "ns", "instructions": "instructions"}


def flame(run: Run, where: Mapping[str, str], currency: Currency) -> str:
    """Return the flame graph of the cells that `where` selects, as SVG; ConfigError if they are not alike."""
    refuse_unlike(run, where)
    root = tree_of(_stacks(run, where, currency, 0))
    _refuse_empty(run, root, 1)
    unit = _UNITS[currency]

    def tooltip(frame: Frame, top: Frame) -> str:
        whole, own, all_of_it = frame.whole(0), frame.own[0], top.whole(0)
        group = f", {GROUP_LABELS[frame.group]}" if frame.group else ""
        share = f"{100 * whole / all_of_it:.2f} %"
        return f"{frame.name}: {whole:,.1f} {unit} per 4 KiB ({share}), of its own {own:,.1f}{group}"

    used = [group for group in GROUPS if group in _groups(root)]
    legend = [(GROUP_COLOURS[group], GROUP_LABELS[group]) for group in used] + [(_CALLER, "calls only")]
    heading = f"{root.whole(0):,.1f} {unit} per 4 KiB"
    look = Look(lambda frame: GROUP_COLOURS[frame.group] if frame.own[0] else _CALLER, tooltip)
    return svg(_title(run, where), [Panel(heading, root)], look, legend, run_footer(run))


def flame_diff(
    run: Run,
    where: Mapping[str, str],
    first: Mapping[str, str],
    second: Mapping[str, str],
    currency: Currency,
) -> str:
    """
    Return two flame graphs, as wide as side A (`first`) and as side B, in the colours of what B changes.

    Vermillion: B costs more there than A; blue: less. Raises ConfigError if a side is not of alike cells.
    """
    sides = [{**where, **side} for side in (first, second)]
    for side in sides:
        refuse_unlike(run, side)
    stacks = [stack for at, side in enumerate(sides) for stack in _stacks(run, side, currency, at)]
    root = tree_of(stacks, 2)
    _refuse_empty(run, root, 2)
    unit = _UNITS[currency]
    names = [_words(side) for side in (first, second)]
    panels = [
        Panel(f"{letter}: {name}   {root.whole(at):,.1f} {unit} per 4 KiB", root, at)
        for at, (letter, name) in enumerate(zip("AB", names, strict=True))
    ]
    legend = [
        (mixed(LOSES, 1.0), "only in B"),
        (mixed(LOSES, 0.5), "B costs twice A"),
        (mixed(LOSES, 0.0), "the same"),
        (mixed(WINS, 0.5), "B costs half of A"),
        (mixed(WINS, 1.0), "only in A"),
    ]
    look = Look(lambda frame: change_colour(frame.whole(0), frame.whole(1)), _difference_tooltip(unit))
    return svg(f"{_title(run, where)}: B against A", panels, look, legend, run_footer(run))


def change_colour(before: float, after: float) -> str:
    """Return the colour of a cost that was `before` and is `after`: by their difference over the larger."""
    most = max(before, after)
    share = (after - before) / most if most else 0.0
    return mixed(LOSES if share > 0 else WINS, abs(share))


def _difference_tooltip(unit: str) -> Callable[[Frame, Frame], str]:
    def tooltip(frame: Frame, _top: Frame) -> str:
        before, after = frame.whole(0), frame.whole(1)
        change = f", {100 * (after - before) / before:+.1f} %" if before else ""
        return (
            f"{frame.name}: A {before:,.1f}, B {after:,.1f} {unit} per 4 KiB ({after - before:+,.1f}{change})"
        )

    return tooltip


def _stacks(
    run: Run, where: Mapping[str, str], currency: Currency, side: int
) -> Iterator[tuple[Sequence[str], str, int, float]]:
    """Yield what the chosen cells cost per 4 KiB, stack by stack."""
    rows = select(run, where)
    chosen = {(row["cell"], row["seed"]) for row in rows}
    calls: list[Row] = [row for row in run.calls if (row["cell"], row["seed"]) in chosen]
    groups = {(row["context"], *row["stack"].split(";")): row["group"] for row in calls}
    of_4k = sum(map(file_bytes, rows)) / PAGE_BYTES
    for stack, cost in stack_costs(calls, currency).items():
        yield stack, groups[stack], side, cost / of_4k


def _refuse_empty(run: Run, root: Frame, sides: int) -> None:
    if not all(root.whole(side) for side in range(sides)):
        raise ConfigError(str(run.path), "has cells that cost nothing", "cells with CPU time")


def _groups(frame: Frame) -> set[str]:
    found = {frame.group} if frame.own[0] else set()
    return found.union(*(_groups(child) for child in frame.children.values()))


def _words(labels: Mapping[str, str]) -> str:
    return ", ".join(f"{axis}={label}" for axis, label in labels.items())


def _title(run: Run, where: Mapping[str, str]) -> str:
    said = _words(where)
    return f"{run.manifest['title']}" + (f" ({said})" if said else "")
