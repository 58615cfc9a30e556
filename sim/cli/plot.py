"""
readpath plot: the figures of a run, drawn again.
"""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

from sim.experiment.results import draw_into, load_run
from sim.report.figures import draw


def plot_run(folder: Path, formats: list[str], as_json: bool) -> None:
    """
    Replace the figures of a run and print where they are.

    Raises ReadpathError if `folder` is not a run or a format is unknown; then the old figures stay.
    """
    files = draw_into(folder, partial(draw, load_run(folder), formats=formats))
    if as_json:
        print(json.dumps({"figures": [str(path) for path in files]}, indent=2))
    else:
        print("\n".join(str(path) for path in files))
