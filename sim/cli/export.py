"""
readpath export: cells of a run in the words of other tools.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import cast

from sim.cli.labels import labels_of
from sim.config.cell_result import Currency
from sim.errors import ConfigError
from sim.experiment.results import load_run, replace_directory
from sim.export.formats import Wanted, check_format
from sim.export.perfetto import ALWAYS
from sim.files import directory_beside
from sim.report.tables import CURRENCIES, select
from sim.shipped import here_or_shipped
from sim.units import parse_time

EXPORTS = Path("results/export")
INDEX = ".readpath-export.json"
"""Says what is in a directory of ours. Its name is hidden from tools that read all of a directory."""


def export_run(
    folder: Path,
    name: str,
    where: list[str],
    output: Path | None,
    currency: str,
    between: tuple[str, str] | None,
    as_json: bool,
    quiet: bool,
) -> None:
    """
    Write the cells of a run that `where` selects, all seeds, into a new directory; print its files.

    output: the directory, which appears when it is whole; one of an earlier export is replaced.
    between: two times as words; only what begins between them is put on a time line.

    Raises ReadpathError for a folder, format, label or time that cannot be used; then nothing is written.
    """
    if currency not in ("", *CURRENCIES):
        raise ConfigError("--currency", f"{currency!r} is none", ", ".join(CURRENCIES))
    run = load_run(here_or_shipped(folder))
    form = check_format(run, name)
    if between is not None and name != "perfetto":
        raise ConfigError("--between", f"with --format {name}", "with --format perfetto")
    times = ALWAYS if between is None else _times(between)
    rows = select(run, labels_of("--where", where))
    target = output or EXPORTS / f"{run.path.resolve().name}-{name}"
    check_ours(target)
    several = len(run.manifest["seeds"]) > 1
    cost = cast("Currency", currency or run.currency)
    index = []
    with directory_beside(target, "another -o DIR") as aside:
        for row in rows:
            called = f"cell{row['cell']}" + (f"-seed{row['seed']}" if several else "")
            wanted = Wanted(run, row["cell"], row["seed"], called, cost, times)
            files = [str(path.relative_to(aside)) for path in form.write(wanted, aside)]
            labels = {axis: row[axis] for axis in run.axes}
            index.append({"cell": row["cell"], "seed": row["seed"], "labels": labels, "files": files})
        said = {"run": run.path.resolve().name, "format": name, "cells": index}
        (aside / INDEX).write_text(json.dumps(said, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
        replace_directory(aside, target)
    if as_json:
        print(json.dumps({"folder": str(target), **said}, indent=2))
    elif not quiet:
        for cell in index:
            print("\n".join(str(target / file) for file in cell["files"]))


def check_ours(target: Path) -> None:
    """Raise ConfigError unless an export may be put at `target`."""
    if target.name in ("", ".."):
        raise ConfigError(f"-o {str(target)!r}", "has no name of its own", "a new -o DIR")
    if target.is_dir():
        if any(target.iterdir()) and not (target / INDEX).is_file():
            raise ConfigError(str(target), "is not empty and no export", "a new -o DIR")
    elif target.exists() or target.is_symlink():
        raise ConfigError(str(target), "is not a directory", "a new -o DIR")


def _times(between: tuple[str, str]) -> tuple[int, int]:
    begin, end = (parse_time("--between", word) for word in between)
    if end <= begin:
        raise ConfigError("--between", f"{between[0]} {between[1]}", "the earlier time first")
    return begin, end
