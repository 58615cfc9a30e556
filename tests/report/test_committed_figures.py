"""Every figure of every committed run can be read: no text is cut, runs into another, or is too small."""

from __future__ import annotations

from pathlib import Path

import matplotlib as mpl
import pytest
from drawn import legible

from sim.experiment.results import load_run
from sim.report.figures import FIGURES
from sim.report.style import RC

REFERENCE = Path(__file__).parents[2] / "results" / "reference"
RUNS = sorted(path.name for path in REFERENCE.iterdir() if path.is_dir())


@pytest.mark.parametrize("name", RUNS)
def test_committed_results(name):
    """All figures of a committed run."""
    run = load_run(REFERENCE / name)
    with mpl.rc_context(RC):
        drawn = {figure: function(run) for figure, function in FIGURES.items()}
        assert {} == {figure: found for figure, pages in drawn.items() if (found := legible(pages))}
    assert any(drawn.values())
