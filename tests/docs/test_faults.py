"""docs/faults.md: its keys, kinds and metrics are those that there are, its example runs."""

from __future__ import annotations

import re
from pathlib import Path
from typing import get_args

import pytest

from sim.config.cell_result import METRICS
from sim.config.faults import FaultKind, Faults
from sim.experiment.loading import load_experiment
from sim.machine.run_cell import run_cell
from sim.volume.images import ensure_image

TEXT = (Path(__file__).parents[2] / "docs" / "faults.md").read_text(encoding="utf-8")
COUNTED = [name for name in METRICS if name.startswith(("faults_", "reads_"))]


@pytest.mark.parametrize(
    "name",
    [*Faults.model_fields, *get_args(FaultKind), *COUNTED, "wrong_bytes", "short_reads", "jobs_ended"],
)
def test_each_word_has_a_row(name: str) -> None:
    """Keys, kinds and metrics."""
    assert re.search(rf"^\| `{name}` \|", TEXT, re.MULTILINE)


def test_the_example_runs(tmp_path: Path) -> None:
    """Eight of 1,024 reads are refused, and none is wrong."""
    (example,) = re.findall(r"```toml\n(.*?)```", TEXT, re.DOTALL)
    (tmp_path / "e.toml").write_text(example)
    (cell,) = load_experiment(tmp_path / "e.toml").cells
    found = run_cell(cell, ensure_image(cell, tmp_path / "images"), False).metrics
    counted = tuple(found[key] for key in ("reads_right", "reads_eio", "reads_wrong", "faults_detected"))
    assert (1016, 8, 0, 8) == counted
