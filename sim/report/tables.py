"""
Tables of a run: rows of numbers, and how a column is written. No terminal here: the cli draws.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any

from sim.config.cell_result import Currency
from sim.errors import ConfigError
from sim.experiment.results import Row, Run
from sim.report.known import Interval, drawn_ns, is_narrow, machine_of, share_intervals
from sim.report.table import Column, Table
from sim.units import KIB, PAGE_BYTES

_FULL = 0.95
"""Share of memory from which on it is shown what fills it."""

CURRENCIES: tuple[Currency, ...] = ("ns", "instructions")
PER_4K: dict[Currency, str] = {"ns": "cpu_ns_per_4k", "instructions": "instructions_per_4k"}
"""The metric of each currency."""

REFERENCE_PATH = "page_io"
"""The path that ratios are taken to."""


def short_axes(axes: Sequence[str]) -> dict[str, str]:
    """Return axis -> its shortest distinct name: the last part of the dotted key if no other has it."""
    last = [axis.rpartition(".")[2] for axis in axes]
    return {axis: name if last.count(name) == 1 else axis for axis, name in zip(axes, last, strict=True)}


def file_bytes(row: Row) -> int:
    """Return the bytes that costs are shared out over: those read, deleted, or written by a stream."""
    return int(row["bytes_read"] or row.get("bytes_deleted") or row.get("bytes_streamed") or 0)


def per_page(row: Row, metric: str) -> float | None:
    """Return a count per page read; None if either is not there."""
    pages = row.get("pages_read")
    return row[metric] / pages if pages and row.get(metric) is not None else None


def summary(run: Run) -> Table:
    """
    Return one row per matrix cell, means over its seeds.

    `ratio` is the cost in the run's currency over that of `page_io` with the same other labels, taken seed by
    seed and then averaged (both ran on the same seeds); None where the matrix has no such cell. Shares of
    memory have columns only where a cell fills its memory.
    """
    axes = list(run.axes)
    if all(row.get("delete_ns") is not None for row in run.metrics):
        return _deletions(run, axes)
    cost = PER_4K[run.currency]
    names = short_axes(axes)
    reference = {
        _coordinates(row, axes): row[cost] for row in run.metrics if row.get("path") == REFERENCE_PATH
    }
    by_cell: dict[int, list[Row]] = {}
    for row in run.metrics:
        by_cell.setdefault(row["cell"], []).append(row)
    memory = {cell["cell"]: cell["config"]["machine"]["memory_bytes"] for cell in run.manifest["cells"]}
    rows: list[dict[str, Any]] = []
    for cell, seeds in by_cell.items():
        ratios = []
        for row in seeds:
            base = reference.get(_coordinates(row, axes))
            if base:
                ratios.append(row[cost] / base)
        rows.append(
            {
                "cell": cell,
                **{axis: seeds[0][axis] for axis in axes},
                "cpu_ns_per_4k": fmean(row["cpu_ns_per_4k"] for row in seeds),
                "instructions_per_4k": _mean(row.get("instructions_per_4k") for row in seeds),
                "ratio": fmean(ratios) if ratios else None,
                "maps_per_page": _mean(per_page(row, "map_calls") for row in seeds),
                "bios_per_page": _mean(per_page(row, "bios") for row in seeds),
                "requests": _mean(row.get("requests") for row in seeds),
                "throughput_mib_s": _mean(row.get("throughput_mib_s") for row in seeds),
                **_memory_shares(seeds, memory[cell]),
            }
        )
    columns = (
        *(Column(names[axis], axis) for axis in axes),
        Column("CPU ns/4K", "cpu_ns_per_4k", ",.0f"),
        Column("instr/4K", "instructions_per_4k", ",.0f"),
        Column(f"x {REFERENCE_PATH}", "ratio", ".2f"),
        Column("maps/page", "maps_per_page", ".3f"),
        Column("bios/page", "bios_per_page", ".3f"),
        Column("requests", "requests", ",.0f"),
        Column("MiB/s", "throughput_mib_s", ",.0f"),
    )
    if any(
        row["cached_share"] is not None and row["cached_share"] + row["heads_share"] > _FULL for row in rows
    ):
        columns += (
            Column("memory: file", "cached_share", ".1%"),
            Column("buffer heads", "heads_share", ".1%"),
        )
    return Table(columns, tuple(rows), tuple(axis for axis in axes if axis != "path"))


_DELETIONS = (
    Column("ms", "delete_ms", ",.3f"),
    Column("CPU us", "cpu_us", ",.1f"),
    Column("KiB written", "written_kib", ",.0f"),
    Column("bios", "write_bios", ",.0f"),
    Column("flushes", "flushes", ",.0f"),
    Column("key words left", "keys_left", ",.0f"),
    Column("blocks left", "blocks_left", ",.0f"),
    Column("bytes recovered", "bytes_recovered", ",.0f"),
)


def _deletions(run: Run, axes: Sequence[str]) -> Table:
    """Return one row per cell of a run that deletes a file, means over seeds; "-": not searched."""
    by_cell: dict[int, list[Row]] = {}
    for row in run.metrics:
        by_cell.setdefault(row["cell"], []).append(row)
    rows = []
    for cell, seeds in by_cell.items():
        means = {
            key: fmean(row[key] for row in seeds) for key in seeds[0] if key not in ("config_hash", *axes)
        }
        left = {key: means[key] if means[key] >= 0 else None for key in _LEFT}
        shown = {
            "delete_ms": means["delete_ns"] / 1e6,
            "cpu_us": means["cpu_ns"] / 1e3,
            "written_kib": means["bytes_written"] / KIB,
        }
        rows.append({**means, **left, **shown, "cell": cell, **{axis: seeds[0][axis] for axis in axes}})
    names = short_axes(axes)
    columns = (*(Column(names[axis], axis) for axis in axes), *_DELETIONS)
    return Table(columns, tuple(rows), tuple(axes[:-1]))


_LEFT = ("keys_left", "blocks_left", "bytes_recovered")


def _memory_shares(seeds: Sequence[Row], memory_bytes: int) -> dict[str, float | None]:
    """Return which shares of memory the cached file and the heads of its pages take at the end."""
    pages = memory_bytes / PAGE_BYTES
    found = {}
    for share, metric in (("cached_share", "pages_cached"), ("heads_share", "buffer_head_pages")):
        mean = _mean(row.get(metric) for row in seeds)
        found[share] = None if mean is None else mean / pages
    return found


def _coordinates(row: Row, axes: Sequence[str]) -> tuple[Any, ...]:
    """Return what a cell shares with the cell it is compared to: seed, and all labels but the path."""
    return (row["seed"], *(row[axis] for axis in axes if axis != "path"))


def _mean(values: Any) -> float | None:
    known = [value for value in values if value is not None]
    return fmean(known) if known else None


def wrong_data(run: Run) -> list[Row]:
    """Return the metrics rows whose bytes were compared with the plaintext and differ."""
    return [row for row in run.metrics if row.get("digest_ok") == 0]


def select(run: Run, where: Mapping[str, str]) -> list[Row]:
    """
    Return the metrics rows whose labels are those of `where` (axis, or its short name -> label).

    Raises ConfigError naming the axes or labels there are.
    """
    axes = run.axes
    full = {short: axis for axis, short in short_axes(list(axes)).items()} | {axis: axis for axis in axes}
    rows = run.metrics
    for name, label in where.items():
        if name not in full:
            raise ConfigError(str(run.path), f"no axis {name!r}", ", ".join(axes))
        if label not in axes[full[name]]:
            raise ConfigError(str(run.path), f"{name} is never {label!r}", ", ".join(axes[full[name]]))
        rows = [row for row in rows if row[full[name]] == label]
    return rows


def symbols(run: Run, where: Mapping[str, str], stacks: bool = False, currency: Currency = "ns") -> Table:
    """
    Return, as perf report does, one row per symbol and context (`stacks`: per stack), costliest first.

    Sums over the cells that `where` selects; `share` is the part of their CPU time, or of their instructions,
    in percent. Raises ConfigError as `select` does.
    """
    rows = select(run, where)
    chosen = {(row["cell"], row["seed"]) for row in rows}
    pages = sum(row["pages_read"] for row in rows)
    of_4k = sum(file_bytes(row) for row in rows) / 4096
    sums: dict[tuple[str, str, str], list[int]] = {}
    for call in run.calls:
        if (call["cell"], call["seed"]) in chosen:
            key = (call["stack"] if stacks else call["symbol"], call["context"], call["group"])
            total = sums.setdefault(key, [0, 0, 0])
            total[0] += call["calls"]
            total[1] += call["ns"]
            total[2] += call.get("instructions", 0)
    cost = CURRENCIES.index(currency) + 1
    whole = sum(total[cost] for total in sums.values())
    table = [
        {
            "share": 100 * total[cost] / whole if whole else 0.0,
            "ns_per_4k": total[1] / of_4k if of_4k else None,
            "instructions_per_4k": total[2] / of_4k if of_4k else None,
            "calls": total[0],
            "calls_per_page": total[0] / pages if pages else None,
            "context": context,
            "group": group,
            "symbol": symbol,
        }
        for (symbol, context, group), total in sorted(
            sums.items(), key=lambda item: (-item[1][cost], -item[1][0], item[0])
        )
    ]
    columns = (
        Column("Overhead" if currency == "ns" else "Instructions", "share", ".2f", "%"),
        Column("ns/4K", "ns_per_4k", ",.1f"),
        Column("instr/4K", "instructions_per_4k", ",.1f"),
        Column("calls", "calls", ",d"),
        Column("calls/page", "calls_per_page", ".3f"),
        Column("context", "context"),
        Column("group", "group"),
        Column("stack" if stacks else "symbol", "symbol"),
    )
    return Table(columns, tuple(table))


def difference(
    run: Run,
    where: Mapping[str, str],
    first: Mapping[str, str],
    second: Mapping[str, str],
    currency: Currency = "ns",
) -> Table:
    """
    Return, per symbol, what the cells of `first` cost more than those of `second`, the largest part first.

    Each side sums over the cells that `where` and it select, in ns or instructions per 4 KiB read; `share` is
    the symbol's part of the whole difference in percent, None where it is not known in ns (see known.py);
    share_instructions: its part of the difference in instructions. interval, group_interval: between which
    per cent the shares of the symbol and of its group lie. Raises ConfigError as `select` does.
    """
    cost = {"ns": "ns_per_4k", "instructions": "instructions_per_4k"}[currency]
    short = {"ns": "ns", "instructions": "instr"}[currency]
    chosen = [{**where, **side} for side in (first, second)]
    sums: dict[tuple[str, str], list[float]] = {}
    for number, labels in enumerate(chosen):
        for row in symbols(run, labels).rows:
            both = sums.setdefault((row["symbol"], row["group"]), [0.0] * 6)
            for place, key in enumerate((cost, "calls_per_page", "instructions_per_4k")):
                both[2 * place + number] += row[key] or 0.0
    whole = sum(sides[0] - sides[1] for sides in sums.values())
    instructions = sum(sides[4] - sides[5] for sides in sums.values())
    intervals, groups = _intervals(run, chosen, {key: sides[0] - sides[1] for key, sides in sums.items()})
    in_ns = currency == "ns"
    table = [
        {
            "more": sides[0] - sides[1],
            "share": _percent(sides[0] - sides[1], whole)
            if not in_ns or is_narrow(intervals.get(key))
            else None,
            "share_instructions": _percent(sides[4] - sides[5], instructions),
            "interval": intervals.get(key) if in_ns else None,
            "group_interval": groups.get(key[1]) if in_ns else None,
            "a": sides[0],
            "b": sides[1],
            "calls_a": sides[2],
            "calls_b": sides[3],
            "group": key[1],
            "symbol": key[0],
        }
        for key, sides in sorted(sums.items(), key=lambda item: (-abs(item[1][0] - item[1][1]), item[0]))
    ]
    columns = (
        Column(f"A - B {short}/4K", "more", "+,.1f"),
        Column("% of it", "share", ",.1f"),
        *([Column("% in instr", "share_instructions", ",.1f")] if in_ns else []),
        Column(f"A {short}/4K", "a", ",.1f"),
        Column(f"B {short}/4K", "b", ",.1f"),
        Column("A calls/page", "calls_a", ",.3f"),
        Column("B calls/page", "calls_b", ",.3f"),
        Column("group", "group"),
        Column("symbol", "symbol"),
    )
    return Table(columns, tuple(table))


def _percent(part: float, whole: float) -> float | None:
    return 100 * part / whole if whole else None


def _intervals(
    run: Run, sides: list[dict[str, str]], more: Mapping[tuple[str, str], float]
) -> tuple[dict[tuple[str, str], Interval], dict[str, Interval]]:
    """Return how far the shares of symbols, and of groups, are known in ns; nothing on several machines."""
    rows = [select(run, labels) for labels in sides]
    machine = machine_of(run, [row for side in rows for row in side])
    first, second = (drawn_ns(run, side, sum(map(file_bytes, side)) / PAGE_BYTES, machine) for side in rows)
    return share_intervals(first, second, more)


def groups_of(table: Table, currency: Currency) -> list[str]:
    """
    Return a difference by group, in words, the largest first: in ns where known, else in instructions.
    """
    groups: dict[str, list[Row]] = {}
    for row in table.rows:
        groups.setdefault(row["group"], []).append(row)
    whole = sum(row["more"] for row in table.rows)
    words = []
    for group, rows in sorted(groups.items(), key=lambda item: -abs(sum(row["more"] for row in item[1]))):
        more = sum(row["more"] for row in rows)
        counted = sum(row["share_instructions"] or 0.0 for row in rows)
        interval = rows[0]["group_interval"]
        if not more or not whole:
            continue
        share = f"{more / whole:.0%}"
        if currency == "instructions":
            words.append(f"{group} {more:+,.1f} ({share})")
        elif interval is None:
            words.append(f"{group} not known in ns, {counted:.0f} % in instructions")
        elif is_narrow(interval):
            words.append(f"{group} {more:+,.1f} ({share}, {interval[0]:.0f} to {interval[1]:.0f} %)")
        else:
            words.append(
                f"{group} {interval[0]:.0f} to {interval[1]:.0f} % ({counted:.0f} % in instructions)"
            )
    return words
