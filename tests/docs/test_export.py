"""docs/export.md: its commands run as they stand, in their order, on a small experiment."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from documents import commands, do, put_experiment
from tools import found
from typer.testing import CliRunner

from sim.cli.main import app

DOCUMENT = (Path(__file__).parents[2] / "docs" / "export.md").read_text(encoding="utf-8")
SMALL = """\
title = "t"
data = "off"
[device]
profile = "nvme"
[volume]
files = [{ name = "data", size = "128KiB" }]
[workload]
job = { rw = "read", bs = "64k" }
[matrix]
"volume.block_size" = ["1KiB", "4KiB"]
path = ["buffer_head", "page_io"]
"""


@pytest.fixture
def _place(tmp_path, monkeypatch):
    """A folder with the experiment under the name that the document has, and a run before."""
    monkeypatch.chdir(tmp_path)
    put_experiment(SMALL)
    words = ["run", "experiments/founding_claim.toml", "-o", "results/runs/BEFORE", "-q", "--no-figures"]
    assert 0 == CliRunner().invoke(app, words).exit_code


@pytest.mark.usefixtures("_place")
def test_every_command_does_what_it_says(tmp_path):
    """Run, export in each form, tools that read it, plot, compare, history: all end with 0."""
    done = 0
    for words in commands(DOCUMENT):
        if words[0] == "readpath":
            where = ["--where", "block_size=4KiB"] if "flame" in words else []
            do(words, *where)
            if words[1] == "run":
                shutil.copytree("results/runs/RUN", "results/runs/AFTER")
        elif found(words[0]):
            ran = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=False)
            assert (0, "") == (ran.returncode, ran.stderr.strip()), words
        else:
            continue
        done += 1
    assert done >= 12
    parts = sorted(path.name for path in Path("part").glob("[!.]*"))
    assert [f"cell{cell}.pftrace" for cell in range(4)] == parts
    assert {"flame.svg", "flame_diff.svg"} <= {
        path.name for path in Path("results/runs/RUN/figures").iterdir()
    }
    assert 4 == len(list(Path("plots").iterdir())) + len(list(Path("results/history").iterdir()))
