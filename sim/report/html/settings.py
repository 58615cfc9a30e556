"""
What a run was of, how to do it again, and where its cells failed.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping
from typing import Any

from sim.experiment.results import Run
from sim.experiment.trace import has_trace
from sim.report.html.elements import Html, commands, joined, pairs, table, tag
from sim.report.table import Column, Table
from sim.report.tables import short_axes
from sim.shipped import EXPERIMENTS, shipped_root

_HASH = 8


def folder_name(run: Run) -> str:
    """Return what `readpath run` calls the directory of a run, wherever this one lies."""
    return f"{run.manifest['experiment']}-{run.manifest['config_hash'][:_HASH]}"


def settings(run: Run) -> Html:
    """Return the configuration of a run: what all cells have, what varies, versions and hashes."""
    said = run.manifest
    names = short_axes(list(run.axes))
    head = [
        ("experiment", said["experiment"]),
        ("cells", f"{len(said['cells'])}, seeds {', '.join(map(str, said['seeds']))}"),
        *((names[axis], ", ".join(labels)) for axis, labels in run.axes.items()),
        ("configuration", said["config_hash"]),
        ("made by", ", ".join(f"{name} {version}" for name, version in said["versions"].items())),
        ("on", " ".join(said.get("platform", {}).values())),
    ]
    cells = [dict(_flat(cell["config"], "")) for cell in said["cells"]]
    rows = []
    for key in dict.fromkeys(key for cell in cells for key in cell):
        values = list(dict.fromkeys(_word(cell.get(key)) for cell in cells))
        rows.append(
            {"key": key, "value": " | ".join(values), "varies": "varies" if len(values) > 1 else "all cells"}
        )
    columns = (Column("key", "key"), Column("value", "value"), Column("of", "varies"))
    whole = table(Table(columns, tuple(rows), labels=("key",)), "Configuration as resolved", ["varies"])
    return joined(pairs(head), tag("details", tag("summary", f"All {len(rows)} settings"), whole))


def again(run: Run) -> Html:
    """Return the commands that make this run again and look into it."""
    experiment, folder = run.manifest["experiment"], f"results/runs/{folder_name(run)}"
    shipped = (shipped_root() / EXPERIMENTS / f"{experiment}.toml").is_file()
    file = f"experiments/{experiment}.toml" if shipped else f"{experiment}.toml"
    trace = " --trace" if has_trace(run.path) else ""
    whose = "an experiment that comes with readpath" if shipped else "an experiment file of your own"
    note = (
        f"{experiment} is {whose}. A run directory does not keep what --set and --fio changed: the"
        " configuration above has all values, and the new run's name ends with its hash,"
        f" {run.manifest['config_hash'][:_HASH]}, if it is the same. Equal versions give equal bytes."
    )
    lines = [
        f"readpath run {shlex.quote(file)}{trace}",
        f"readpath check {shlex.quote(folder)}",
        f"readpath show {shlex.quote(folder)}",
        f"readpath plot {shlex.quote(folder)}",
        f"readpath report {shlex.quote(folder)}",
    ]
    return joined(commands(*lines), tag("p", note))


def failures(run: Run) -> Html:
    """Return the cells that have no result, with their errors."""
    columns = (Column("labels", "labels"), Column("seed", "seed", "d"), Column("error", "error"))
    rows = tuple({key: row[key] for key in ("labels", "seed", "error")} for row in run.failed)
    return table(Table(columns, rows, labels=("labels",)), "Cells that could not be run")


def _flat(value: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, Any]]:
    """Yield dotted keys with plain values; of lists of tables, with the place in them."""
    for key, inner in value.items():
        if isinstance(inner, Mapping):
            yield from _flat(inner, f"{prefix}{key}.")
        elif isinstance(inner, list) and inner and all(isinstance(one, Mapping) for one in inner):
            for at, one in enumerate(inner):
                yield from _flat(one, f"{prefix}{key}[{at}].")
        else:
            yield f"{prefix}{key}", inner


def _word(value: Any) -> str:
    if value is None:
        return "-"
    return str(value).lower() if isinstance(value, bool) else str(value)
