"""
readpath plot: the figures of a run, drawn again.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from sim.cli.render import progress
from sim.experiment.results import draw_into, load_run
from sim.report.figures import draw


def plot_run(
    folder: Path, formats: list[str], as_json: bool, quiet: bool, names: list[str] | None = None
) -> None:
    """
    Replace the figures of a run, or draw those of `names` beside the others; print where they are.

    Raises ReadpathError if `folder` is not a run, or a format or name is unknown or does not apply; then
    the old figures stay.
    """
    run = load_run(folder)

    def draw_all(aside: Path) -> list[Path]:
        if names and (folder / "figures").is_dir():
            shutil.copytree(folder / "figures", aside, dirs_exist_ok=True)
        return draw(run, aside, formats, names, watch)

    with progress(wanted=not quiet) as watch:
        files = draw_into(folder, draw_all)
    if as_json:
        print(json.dumps({"figures": [str(path) for path in files]}, indent=2))
    elif not quiet:
        print("\n".join(str(path) for path in files))
