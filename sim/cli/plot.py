"""
readpath plot: the figures of a run, drawn again; flame graphs of some of its cells.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import cast

from sim.cli.labels import labels_of
from sim.cli.render import progress
from sim.config.cell_result import Currency
from sim.errors import ConfigError
from sim.experiment.results import Run, draw_into, load_run
from sim.report.figures import FIGURES, draw
from sim.report.flame import FLAMES, flame, flame_diff
from sim.report.tables import CURRENCIES


def plot_run(
    folder: Path,
    formats: list[str],
    as_json: bool,
    quiet: bool,
    names: list[str] | None = None,
    where: list[str] | None = None,
    diff: tuple[str, str] | None = None,
    currency: str = "",
) -> None:
    """
    Replace the figures of a run, or draw those of `names` beside the others; print where they are.

    where, diff, currency: of flame graphs, as for `readpath show`.

    Raises ReadpathError if `folder` is not a run, or a format, name or label is unknown or does not apply;
    then the old figures stay.
    """
    run = load_run(folder)
    for name in names or ():
        if name not in (*FIGURES, *FLAMES):
            raise ConfigError("--figure", f"{name!r} is not known", ", ".join((*FIGURES, *FLAMES)))
    others = None if names is None else [name for name in names if name not in FLAMES]
    flames = _flames(run, names or [], formats, labels_of("--where", where or []), diff, currency)

    def draw_all(aside: Path) -> list[Path]:
        if names and (folder / "figures").is_dir():
            shutil.copytree(folder / "figures", aside, dirs_exist_ok=True)
        files = draw(run, aside, formats, others, watch)
        for name, text in flames.items():
            files.append(aside / f"{name}.svg")
            files[-1].write_text(text, encoding="utf-8")
        return files

    with progress(wanted=not quiet) as watch:
        files = draw_into(folder, draw_all)
    if as_json:
        print(json.dumps({"figures": [str(path) for path in files]}, indent=2))
    elif not quiet:
        print("\n".join(str(path) for path in files))


def _flames(
    run: Run,
    names: list[str],
    formats: list[str],
    where: Mapping[str, str],
    diff: tuple[str, str] | None,
    currency: str,
) -> dict[str, str]:
    """Return the flame graphs of `names`, by name."""
    wanted = [name for name in FLAMES if name in names]
    if currency not in ("", *CURRENCIES):
        raise ConfigError("--currency", f"{currency!r} is none", ", ".join(CURRENCIES))
    if not wanted:
        if where or diff or currency:
            raise ConfigError(
                "--where, --diff, --currency", "choose what flame graphs show", "--figure flame"
            )
        return {}
    if "svg" not in formats:
        raise ConfigError("--format", f"{wanted[0]} is SVG only", "svg")
    cost = cast("Currency", currency or run.currency)
    found = {}
    if "flame" in wanted:
        found["flame"] = flame(run, where, cost)
    if "flame_diff" in wanted:
        if diff is None:
            raise ConfigError(
                "--figure flame_diff", "shows a difference", "--diff path=buffer_head path=page_io"
            )
        first, second = (labels_of("--diff", [side]) for side in diff)
        found["flame_diff"] = flame_diff(run, where, first, second, cost)
    return found
