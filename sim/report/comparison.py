"""
Two runs compared, cell by cell: a metric, how it changed, and which symbols moved.

Cells are matched by the labels of the axes that both runs have. Where both ran on the same seeds the ratio is
taken seed by seed, and its interval is that of claims (sim.claims.intervals); else it is that of the means,
and has none. A run is computed, not measured: where nothing is left to chance (one seed, or all alike) the
ratio is what it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Literal

from sim.claims.intervals import interval
from sim.errors import ConfigError
from sim.experiment.results import Row, Run
from sim.report.table import Column, Table
from sim.report.tables import file_bytes, short_axes
from sim.units import PAGE_BYTES

Verdict = Literal["better", "worse", "same", "cannot tell"]

MORE_IS_BETTER = ("throughput_mib_s", "hit_rate", "space_saved", "back_merges", "front_merges")
"""Metrics of which more is better; of all others less is."""
NO_COST = ("cell", "seed", "config_hash", "digest_ok", "reads", "writes", "syncs", "bytes_read")
_MOST_SYMBOLS = 3
_LEAST_MOVED = 0.01
"""A symbol has moved if its cost changed by this part of the cell's."""


@dataclass(frozen=True, slots=True)
class Pair:
    """
    One cell in both runs. labels: of the axes that both have. a, b: means over seeds, None if the metric is
    not there. ratio: b over a; low, high: its 95 % interval, None without one. moved: (symbol, ns or
    instructions per 4 KiB more in b), the largest first. why: of "cannot tell".
    """

    labels: dict[str, str]
    a: float | None
    b: float | None
    ratio: float | None
    low: float | None
    high: float | None
    verdict: Verdict
    why: str
    moved: tuple[tuple[str, float], ...]


@dataclass(frozen=True, slots=True)
class Comparison:
    """The pairs, in the order of the first run; only_a, only_b: labels of cells that the other lacks."""

    metric: str
    axes: tuple[str, ...]
    pairs: tuple[Pair, ...]
    only_a: tuple[str, ...]
    only_b: tuple[str, ...]

    @property
    def worse(self) -> int:
        """How many cells are worse."""
        return sum(pair.verdict == "worse" for pair in self.pairs)


def compare(first: Run, second: Run, metric: str, threshold: float) -> Comparison:
    """
    Return how `metric` of the second run compares with that of the first.

    threshold: a ratio from 1 / threshold to threshold is "same". Raises ConfigError for a metric or a
    threshold that cannot be used, if the runs have no cell in common, or if labels do not tell which cell is
    which.
    """
    if not 1 <= threshold < float("inf"):
        raise ConfigError("--threshold", f"{threshold:g}", "1 or more, such as 1.05")
    if metric in NO_COST or not any(
        _is_number(row.get(metric)) for run in (first, second) for row in run.metrics
    ):
        raise ConfigError(
            "--metric", f"{metric!r} is not measured in these runs", ", ".join(metrics_of(first))
        )
    axes = tuple(axis for axis in first.axes if axis in second.axes)
    ours, theirs = _cells(first, axes), _cells(second, axes)
    both = [labels for labels in ours if labels in theirs]
    if not both:
        raise ConfigError(
            str(second.path), f"no cell is like one of {first.path}", "runs with labels in common"
        )
    pairs = [
        _pair(
            dict(zip(axes, labels, strict=True)),
            (first, ours[labels]),
            (second, theirs[labels]),
            metric,
            threshold,
        )
        for labels in both
    ]
    only = [
        tuple(_words(axes, labels) for labels in cells if labels not in others)
        for cells, others in ((ours, theirs), (theirs, ours))
    ]
    return Comparison(metric, axes, tuple(pairs), *only)


def metrics_of(run: Run) -> list[str]:
    """Return the metrics of a run that can be compared."""
    names = {name for row in run.metrics for name, value in row.items() if _is_number(value)}
    return sorted(names - set(NO_COST) - set(run.axes))


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _cells(run: Run, axes: Sequence[str]) -> dict[tuple[str, ...], list[Row]]:
    """Return labels -> rows over seeds; a cell without rows has none."""
    found: dict[tuple[str, ...], list[Row]] = {}
    numbers: dict[tuple[str, ...], int] = {}
    for cell in run.manifest["cells"]:
        labels = tuple(str(cell["labels"][axis]) for axis in axes)
        if labels in numbers:
            more = ", ".join(axis for axis in run.axes if axis not in axes)
            raise ConfigError(
                str(run.path), f"has several cells of {_words(axes, labels)}", f"--set {more}=one"
            )
        numbers[labels] = cell["cell"]
        found[labels] = [row for row in run.metrics if row["cell"] == cell["cell"]]
    return found


def _words(axes: Sequence[str], labels: Sequence[str]) -> str:
    names = short_axes(axes)
    said = ", ".join(f"{names[axis]}={label}" for axis, label in zip(axes, labels, strict=True))
    return said or "the only cell"


def _pair(
    labels: dict[str, str],
    ours: tuple[Run, list[Row]],
    theirs: tuple[Run, list[Row]],
    metric: str,
    threshold: float,
) -> Pair:
    """Return one cell's comparison."""
    values = [
        {row["seed"]: float(row[metric]) for row in rows if _is_number(row.get(metric))}
        for _, rows in (ours, theirs)
    ]
    a, b = (fmean(side.values()) if side else None for side in values)
    moved = symbols_moved(ours, theirs, "instructions" if metric.startswith("instructions") else "ns")
    if a is None or b is None:
        side = "the first" if a is None else "the second"
        return Pair(labels, a, b, None, None, None, "cannot tell", f"{side} run has no result", moved)
    if not a:
        verdict: Verdict = "same" if not b else "cannot tell"
        return Pair(labels, a, b, None, None, None, verdict, "" if not b else "it was 0", moved)
    seeds = sorted(values[0].keys() & values[1].keys())
    if set(seeds) != values[0].keys() | values[1].keys() or not all(values[0][seed] for seed in seeds):
        verdict, why = _judged(b / a, b / a, metric, threshold), "other seeds: no interval"
        return Pair(labels, a, b, b / a, None, None, verdict, why, moved)
    over = interval([values[1][seed] / values[0][seed] for seed in seeds])
    verdict = _judged(over.low, over.high, metric, threshold)
    low, high = (over.low, over.high) if len(seeds) > 1 else (None, None)
    why = "the interval goes beyond the threshold" if verdict == "cannot tell" else ""
    return Pair(labels, a, b, over.mean, low, high, verdict, why, moved)


def _judged(low: float, high: float, metric: str, threshold: float) -> Verdict:
    """Return what an interval of the ratio says."""
    if 1 / threshold <= low and high <= threshold:
        return "same"
    more: Verdict = "better" if metric in MORE_IS_BETTER else "worse"
    less: Verdict = "worse" if metric in MORE_IS_BETTER else "better"
    if low > threshold:
        return more
    return less if high < 1 / threshold else "cannot tell"


def symbols_moved(
    ours: tuple[Run, list[Row]], theirs: tuple[Run, list[Row]], cost: str
) -> tuple[tuple[str, float], ...]:
    """Return the symbols whose cost per 4 KiB changed most, and by how much; at most three."""
    sums: dict[str, list[float]] = {}
    for side, (run, rows) in enumerate((ours, theirs)):
        of_4k = sum(map(file_bytes, rows)) / PAGE_BYTES
        chosen = {(row["cell"], row["seed"]) for row in rows}
        for call in run.calls if of_4k else ():
            if (call["cell"], call["seed"]) in chosen:
                sums.setdefault(call["symbol"], [0.0, 0.0])[side] += call[cost] / of_4k
    whole = max((sum(both[side] for both in sums.values()) for side in (0, 1)), default=0.0)
    changes = [(name, both[1] - both[0]) for name, both in sums.items()]
    large = [change for change in changes if abs(change[1]) >= _LEAST_MOVED * whole and change[1]]
    return tuple(sorted(large, key=lambda change: (-abs(change[1]), change[0]))[:_MOST_SYMBOLS])


def comparison_table(found: Comparison) -> Table:
    """Return the comparison as a table."""
    names = short_axes(found.axes)
    rows = tuple(
        {
            **pair.labels,
            "a": pair.a,
            "b": pair.b,
            "ratio": pair.ratio,
            "interval": interval_words(pair),
            "verdict": pair.verdict + (f" ({pair.why})" if pair.why else ""),
            "moved": moved_words(pair),
        }
        for pair in found.pairs
    )
    columns = (
        *(Column(names[axis], axis) for axis in found.axes),
        Column("A", "a", ",.5g"),
        Column("B", "b", ",.5g"),
        Column("B / A", "ratio", ".3f"),
        Column("95 %", "interval"),
        Column("verdict", "verdict"),
        Column("moved, per 4 KiB", "moved"),
    )
    return Table(columns, rows, labels=found.axes)


def interval_words(pair: Pair) -> str:
    """Return the interval of a ratio in words; nothing if it has none."""
    return "" if pair.low is None or pair.high is None else f"{pair.low:.3f} to {pair.high:.3f}"


def moved_words(pair: Pair) -> str:
    """Return which symbols moved, in words."""
    return ", ".join(f"{symbol} {more:+,.1f}" for symbol, more in pair.moved)


def markdown(found: Comparison, heading: str) -> str:
    """Return the comparison as Markdown, as a comment on a pull request takes it."""
    table = comparison_table(found)
    lines = [
        f"### {heading}",
        "",
        "| " + " | ".join(column.heading for column in table.columns) + " |",
        "|" + "|".join("---:" if column.form else "---" for column in table.columns) + "|",
    ]
    for row in table.rows:
        cells = []
        for column in table.columns:
            value = row[column.key]
            shown = "" if value is None else format(value, column.form) if column.form else str(value)
            cells.append(shown.replace("|", "\\|"))
        lines.append("| " + " | ".join(cells) + " |")
    lines += ["", verdict_line(found)]
    return "\n".join(lines)


def verdict_line(found: Comparison) -> str:
    """Return how many cells are what, and which are in one run only."""
    counts = [
        f"{sum(pair.verdict == verdict for pair in found.pairs)} {verdict}"
        for verdict in ("worse", "better", "same", "cannot tell")
    ]
    line = f"{found.metric} of {len(found.pairs)} cells: {', '.join(counts)}"
    for name, only in (("A", found.only_a), ("B", found.only_b)):
        if only:
            line += f"; only in {name}: {'; '.join(only)}"
    return line
