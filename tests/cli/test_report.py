"""readpath report: one file that appears whole, and mistakes in one line each."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from traced_kit import READS, traced
from typer.testing import CliRunner, Result

from sim.cli.main import app

TEXT = READS.replace("3KiB", "8KiB") + 'path = ["page_io"]\n'


def call(*words: str | Path) -> Result:
    """Run a command line."""
    return CliRunner().invoke(app, ["report", *map(str, words)])


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    """The folder of a run of one cell."""
    return traced(tmp_path_factory.mktemp("runs"), TEXT, trace=False).path


@pytest.fixture(autouse=True)
def _place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def test_a_report_is_one_file(run):
    """Under results/reports by the name of the run, or where it is asked for; an earlier one is replaced."""
    done = call(run)
    assert (0, "results/reports/plain.html\n") == (done.exit_code, done.stdout), done.output
    first = Path("results/reports/plain.html").read_bytes()
    said = json.loads(call(run, "-o", "out.html", "--json").stdout)
    assert {"file": "out.html", "bytes": len(first)} == said
    again = call(run, "-o", "out.html", "-q")
    assert (0, "") == (again.exit_code, again.output)
    assert first == Path("out.html").read_bytes()
    assert 0o644 == Path("out.html").stat().st_mode & 0o644
    two = call(run, run)
    assert "results/reports/plain-and-1-more.html\n" == two.stdout
    assert {"out.html", "results"} == {path.name for path in Path().iterdir()}
    assert 2 == len(list(Path("results/reports").iterdir()))


def test_claims_of_a_folder_are_asked(run):
    """Those on the experiment's name, wherever they lie."""
    Path("claims").mkdir()
    claim = (
        'experiment = "e"\n[[claim]]\nname = "c"\nsentence = "pages are read"\nsource = "us"\n'
        'measure = { metric = "pages_read" }\nkind = "at least"\nmargin = 1\nmargin_source = "none"\n'
    )
    Path("claims/e.toml").write_text(claim)
    assert 0 == call(run, "-o", "out.html", "--claims", "claims").exit_code
    assert '<p class="lead">pages are read: ' in Path("out.html").read_text()


def test_a_mistake_is_a_line_and_leaves_nothing(run, tmp_path):
    """Exit code 2; what is there stays as it is."""
    Path("thesis.html").write_text("<p>mine</p>")
    Path("folder").mkdir()
    shutil.copytree(run, "broken")
    Path("broken/metrics.parquet").write_bytes(b"")
    before = sorted(path.name for path in tmp_path.rglob("*"))
    for words, told in (
        (["nosuch"], "nosuch: is not a run directory"),
        (["broken"], "broken: is not a run directory"),
        ([run, "-o", "thesis.html"], "thesis.html: is there and no report; allowed: a new -o FILE"),
        ([run, "-o", "folder"], "folder: is not a regular file"),
        ([run, "-o", ".."], "has no name of its own"),
        ([run, "-o", "thesis.html/out.html"], "thesis.html/out.html: cannot be written ("),
        ([run, "--claims", "nosuch"], "--claims: 'nosuch' is no folder"),
        ([], "RUN"),
    ):
        done = call(*words)
        assert (2, "") == (done.exit_code, done.stdout), (words, done.output)
        (line,) = done.stderr.splitlines()
        assert told in line
    assert before == sorted(path.name for path in tmp_path.rglob("*"))
    assert "<p>mine</p>" == Path("thesis.html").read_text()
