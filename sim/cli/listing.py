"""
readpath list: the experiments, the run directories, the devices and the notebooks there are.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from sim.block.device.profile import device_profile_names, load_device_profile
from sim.cli.render import console, print_table
from sim.documents import read_json
from sim.errors import ConfigError, ReadpathError
from sim.experiment.loading import load_experiment
from sim.report.table import Column, Table
from sim.shipped import here_or_shipped, shipped_root

_RUNS = (
    Column("run", "run"),
    Column("cells", "cells", ",d"),
    Column("seeds", "seeds", ",d"),
    Column("config", "config_hash"),
    Column("title", "title"),
)


def experiments(folder: Path) -> list[dict[str, Any]]:
    """
    Return file, title, question and number of cells of each experiment file in `folder`, by name.

    One that cannot be used has its error as title and None for the rest. Raises ConfigError if there is no
    such folder.
    """
    if not folder.is_dir():
        raise ConfigError("--experiments", f"no folder {str(folder)!r}", "a folder of experiment files")
    rows: list[dict[str, Any]] = []
    for path in sorted(folder.glob("*.toml")):
        row: dict[str, Any] = {"file": str(path)}
        try:
            found = load_experiment(path)
            row |= {"cells": len(found.cells), "title": found.title, "question": found.question}
        except ReadpathError as error:
            row |= {"cells": None, "title": f"error: {error}", "question": None}
        rows.append(row)
    return rows


def runs(folder: Path) -> list[dict[str, Any]]:
    """Return the run directories below `folder` by name; none if there is no such folder."""
    rows = []
    for path in sorted(folder.glob("*/manifest.json")):
        if path.parent.name.startswith("."):  # written aside, not whole
            continue
        said = read_json(path, str(path), "what `readpath run` made")
        try:
            rows.append(
                {
                    "run": str(path.parent),
                    "cells": len(said["cells"]),
                    "seeds": len(said["seeds"]),
                    "config_hash": said["config_hash"][:12],
                    "title": said["title"],
                }
            )
        except (KeyError, TypeError) as error:
            what = type(error).__name__
            raise ConfigError(str(path), f"is no manifest ({what})", "what `readpath run` made") from None
    return rows


def devices() -> list[dict[str, Any]]:
    """Return name and title of the device profiles that come with readpath, by name."""
    return [{"device": name, "title": load_device_profile(name).title} for name in device_profile_names()]


def notebooks() -> list[str]:
    """Return the paths of the notebooks that come with readpath, in their order."""
    return [str(path) for path in sorted((shipped_root() / "notebooks").glob("*.ipynb"))]


def list_all(experiments_in: Path, runs_in: Path, as_json: bool) -> None:
    """Print experiments, runs and devices. Raises ReadpathError as `experiments` and `runs` do."""
    folder = here_or_shipped(experiments_in)
    known, made = experiments(folder), runs(runs_in)
    if as_json:
        document = {"experiments": known, "runs": made, "devices": devices(), "notebooks": notebooks()}
        print(json.dumps(document, indent=2))
        return
    out = console()
    for row in known:
        cells = "" if row["cells"] is None else f"  ({row['cells']} cells)"
        name = row["file"] if folder == experiments_in else Path(row["file"]).stem  # as `run` takes it
        lines = [f"{name}{cells}", f"    {row['title']}", f"    {row['question'] or ''}"]
        out.print("\n".join(lines).rstrip(), markup=False, highlight=False, soft_wrap=True)
    out.print()
    if made:
        print_table(Table(_RUNS, tuple(made)), out)
    else:
        out.print(f"no runs in {runs_in}", markup=False, highlight=False)
    out.print("\ndevices, for [device] profile:", markup=False, highlight=False)
    for row in devices():
        line = f"    {row['device']:15} {row['title']}"
        out.print(line, markup=False, highlight=False, soft_wrap=True)
    text = "\n".join(["", "notebooks:", *(f"    {path}" for path in notebooks())])
    out.print(text, markup=False, highlight=False, soft_wrap=True)
