"""docs/report.md: its commands run as they stand, in their order, on a small experiment."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest
from documents import commands, do, put_experiment

from sim.report.html.document import MARK
from sim.report.html.explorer import MOST_BYTES

DOCUMENT = (Path(__file__).parents[2] / "docs" / "report.md").read_text(encoding="utf-8")
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
path = ["buffer_head", "page_io"]
"""


@pytest.fixture
def _place(tmp_path, monkeypatch):
    """A folder with the experiment under the name that the document has."""
    monkeypatch.chdir(tmp_path)
    put_experiment(SMALL)


@pytest.mark.usefixtures("_place")
def test_every_command_writes_what_it_says():
    """Run, then a page of one run, of two, and of a committed one."""
    lines = commands(DOCUMENT)
    for words in lines:
        do(words)
        if words[1] == "run":
            for name in ("BEFORE", "AFTER"):
                shutil.copytree("results/runs/RUN", f"results/runs/{name}")
    written = ["results/reports/RUN.html", "page.html", "both.html", "memory.html"]
    assert len(lines) == 1 + len(written)
    pages = [Path(name).read_text(encoding="utf-8") for name in written]
    assert all(page.startswith(MARK) for page in pages)
    assert pages[0] == pages[1]


def test_the_sections_are_those_of_a_page():
    """Each that the document names, by its heading; and the limit."""
    named = re.findall(r"\*\*([^*]+)\*\*", DOCUMENT.split("## What is on it")[1].split("##")[0])
    text = "".join(
        path.read_text(encoding="utf-8")
        for path in (Path(__file__).parents[2] / "sim" / "report" / "html").glob("*.py")
    )
    assert [] == [name for name in named if f'"{name}"' not in text]
    assert f"more than {MOST_BYTES >> 20} MiB" in DOCUMENT
