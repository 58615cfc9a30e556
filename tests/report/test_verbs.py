"""The verbs around figures: list, init, timeline, plot --figure; and the experiments that are shipped."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from fabricated import fabricated_cell, no_image

from sim.block.device.profile import device_profile_names
from sim.cli.init import write_example
from sim.cli.listing import experiments, list_all, runs
from sim.cli.plot import plot_run
from sim.cli.timeline import draw_timelines
from sim.errors import ConfigError
from sim.experiment.loading import load_experiment
from sim.experiment.runner import execute
from sim.machine.run_cell import run_cell
from sim.volume.images import ensure_image

SHIPPED = Path(__file__).parents[2] / "experiments"
TITLES = {
    "concurrency",
    "device_bound",
    "ext4_iomap",
    "founding_claim",
    "fragmentation",
    "kernels",
    "large_folios",
    "memory",
    "per_block_vs_per_extent",
    "readahead",
    "small_files",
}


def test_shipped_experiments_load():
    """Every shipped experiment is valid, and says in a title and a question what it is for."""
    rows = experiments(SHIPPED)
    assert TITLES <= {Path(row["file"]).stem for row in rows}
    for row in rows:
        assert row["cells"], row["title"]
        assert row["question"].endswith("?")


def test_an_unusable_experiment_is_listed_with_its_error(tmp_path):
    """list shows what is wrong with a file instead of hiding it or failing."""
    (tmp_path / "bad.toml").write_text('title = "t"\n[device]\nprofile = "floppy"\n')
    (row,) = experiments(tmp_path)
    assert row["title"].startswith("error: ")
    assert (row["cells"], row["question"]) == (None, None)


def test_list_has_experiments_and_runs(tmp_path, capsys):
    """list --json gives both; a directory still being written is left out."""
    folder = tmp_path / "experiments"
    folder.mkdir()
    write_example(folder / "mine.toml", as_json=False)
    experiment = load_experiment(folder / "mine.toml")
    for name in ("mine-0", ".mine-1.aside"):
        target = tmp_path / "runs" / name
        execute(experiment, target, fabricated_cell, no_image, draw=lambda *_run, **_each: None)
    capsys.readouterr()
    list_all(folder, tmp_path / "runs", as_json=True)
    said = json.loads(capsys.readouterr().out)
    assert [str(folder / "mine.toml")] == [row["file"] for row in said["experiments"]]
    assert [(str(tmp_path / "runs" / "mine-0"), 8, 1)] == [
        (row["run"], row["cells"], row["seeds"]) for row in said["runs"]
    ]
    assert device_profile_names() == [row["device"] for row in said["devices"]]
    list_all(folder, tmp_path / "none", as_json=False)
    text = capsys.readouterr().out
    assert "no runs in" in text
    assert re.findall(
        r"^    ([a-z_0-9-]+) +\S", text.split("devices, for [device] profile:")[1], re.MULTILINE
    ) == (device_profile_names())


def test_list_errors(tmp_path):
    """No folder of experiments, and a damaged manifest, are errors that name the place."""
    with pytest.raises(ConfigError, match="--experiments: no folder"):
        experiments(tmp_path / "none")
    (tmp_path / "r").mkdir()
    (tmp_path / "r" / "manifest.json").write_text("{")
    with pytest.raises(ConfigError, match=r"manifest.json: is not JSON"):
        runs(tmp_path)


def test_the_example_runs_as_it_is(tmp_path, capsys):
    """init writes an experiment whose cells run and read back what was written."""
    write_example(tmp_path / "mine.toml", as_json=False)
    assert f"{tmp_path}/mine.toml\nrun it: readpath run {tmp_path}/mine.toml\n" == capsys.readouterr().out
    first = load_experiment(tmp_path / "mine.toml").cells[0]
    result = run_cell(first, ensure_image(first, tmp_path / "images"), False)
    assert (1, 4 << 20) == (result.metrics["digest_ok"], result.metrics["bytes_read"])


def test_init_replaces_nothing(tmp_path):
    """A file that is there stays as it is; another ending is refused."""
    file = tmp_path / "mine.toml"
    file.write_text("mine")
    with pytest.raises(ConfigError, match=r"mine.toml: is there already; allowed: a new name"):
        write_example(file, as_json=False)
    assert "mine" == file.read_text()
    with pytest.raises(ConfigError, match=r"allowed: a name that ends in .toml"):
        write_example(tmp_path / "mine.yaml", as_json=False)


def test_timeline_verb(tmp_path, capsys):
    """timeline draws into its folder and, with --json, gives the numbers that it drew."""
    draw_timelines(tmp_path / "t", ["svg"], ["page_io"], "4KiB", 4, "20us", True)
    said = json.loads(capsys.readouterr().out)
    assert [str(tmp_path / "t" / "timeline.svg")] == said["figures"]
    assert ["contiguous", "1-block extents"] == [line["layout"] for line in said["timelines"]]
    ((issued, completed),) = said["timelines"][0]["commands"]
    assert 20_000 == completed - issued


def test_plot_one_figure_keeps_the_others(tmp_path, capsys):
    """plot --figure draws that one; what was drawn before stays."""
    write_example(tmp_path / "mine.toml", as_json=False)
    run = tmp_path / "run"
    experiment = load_experiment(tmp_path / "mine.toml", ["volume.files.layout=contiguous"])
    execute(experiment, run, fabricated_cell, no_image, draw=lambda *_run, **_each: None)
    (run / "figures" / "other.svg").write_text("kept")
    capsys.readouterr()
    plot_run(run, ["svg"], as_json=False, quiet=False, names=["cpu_per_4k"])
    assert f"{run}/figures/cpu_per_4k.svg\n" == capsys.readouterr().out
    assert ["cpu_per_4k.svg", "other.svg"] == sorted(path.name for path in (run / "figures").iterdir())
