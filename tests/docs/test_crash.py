"""docs/crash.md: its table is what its command makes, its keys and metrics are those that there are."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from tools import tool

from sim.config.cell_result import METRICS
from sim.config.crash import Crash
from sim.experiment.loading import load_experiment
from sim.machine.run_cell import run_cell
from sim.volume.images import ensure_image

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "crash.md").read_text(encoding="utf-8")
EXPERIMENT = ROOT / "experiments" / "crash.toml"
COUNTS = ("crash_states", "crash_unsound", "crash_losing", "crash_stale")


def table() -> dict[tuple[str, str], list[int]]:
    """Return the counts that the document shows, by scheme and way of mounting."""
    found = {}
    for name, *cells in re.findall(r"^\| ([a-z, ]+) \|" + 4 * r" (\d+, \d+) \|" + "$", TEXT, re.MULTILINE):
        for number, scheme in enumerate(("none", "fscrypt-v2")):
            found[scheme, name] = [int(cell.split(", ")[number]) for cell in cells]
    return found


def test_every_cell_is_in_the_table() -> None:
    """A row for each way of mounting of the experiment, two schemes in each."""
    labels = {tuple(cell.labels) for cell in load_experiment(EXPERIMENT).cells}
    assert {tuple(sorted(key)) for key in table()} == {tuple(sorted(_labels(each))) for each in labels}


def _labels(labels: tuple[tuple[str, str], ...]) -> list[str]:
    return [label for _, label in labels]


@pytest.mark.parametrize("mount", ["writeback, nodelalloc", "ordered, nobarrier"])
def test_figures_are_those_of_a_run(mount: str, tmp_path: Path) -> None:
    """Two cells, run again: the rest is what `readpath check` looks at in every run."""
    tool("e2fsck")
    cells = load_experiment(EXPERIMENT).cells
    (cell,) = [each for each in cells if _labels(each.labels) in (["none", mount], [mount, "none"])]
    metrics = run_cell(cell, ensure_image(cell, tmp_path), trace=False).metrics
    assert [metrics[name] for name in COUNTS] == table()["none", mount]
    assert metrics["crash_replays_differ"] == 0


def test_figures_of_clones_are_those_of_a_run(tmp_path: Path) -> None:
    """One cell of the other table, without flushes, run again."""
    tool("e2fsck")
    rows = re.findall(r"^\| (ordered[a-z_, ]*) \| (\d) KiB" + 4 * r" \| (\d+)" + r" \|$", TEXT, re.MULTILINE)
    cells = load_experiment(EXPERIMENT.with_stem("crash_clones")).cells
    assert len(cells) == len(rows)
    (cell,) = [each for each in cells if _labels(each.labels) == ["1 KiB", "ordered, nobarrier"]]
    metrics = run_cell(cell, ensure_image(cell, tmp_path), trace=False).metrics
    (told,) = [row[2:] for row in rows if row[:2] == ("ordered, nobarrier", "1")]
    assert [metrics[name] for name in COUNTS] == [int(number) for number in told]


def test_keys_and_metrics_are_all_there() -> None:
    """Each key of the table, with its default; each metric."""
    for name, field in Crash.model_fields.items():
        assert re.search(rf"^\| `{name}` \|", TEXT, re.MULTILINE)
        if isinstance(field.default, int):
            assert re.search(rf"^\| `{name}` \|.*; {field.default}[ .|]", TEXT, re.MULTILINE)
    for name in METRICS:
        if name.startswith("crash_"):
            assert f"`{name}`" in TEXT
