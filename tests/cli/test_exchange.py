"""readpath export, compare and history: what they write and print, exit codes, and mistakes in one line."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from traced_kit import READS, traced
from typer.testing import CliRunner, Result

from sim.cli.main import app
from sim.export.formats import FORMATS

TEXT = READS.replace("3KiB", "8KiB") + '"volume.block_size" = ["1KiB", "4KiB"]\n'


def call(*words: str | Path) -> Result:
    """Run a command line."""
    return CliRunner().invoke(app, [str(word) for word in words])


def mistake(*words: str | Path) -> str:
    """Return the one line that a mistake is told in."""
    done = call(*words)
    assert (2, "") == (done.exit_code, done.stdout), done.output
    (line,) = done.stderr.splitlines()
    return line


@pytest.fixture(scope="module")
def runs(tmp_path_factory) -> Path:
    """A folder with a traced run, one without a trace, and one on which everything costs a fifth more."""
    folder = tmp_path_factory.mktemp("runs")
    traced(folder, TEXT)
    traced(folder, TEXT, trace=False)
    dearer = traced(folder / "more", TEXT.replace("[machine]", "[machine]\ncost_scale = 1.2"), trace=False)
    shutil.copytree(dearer.path, folder / "slower")
    shutil.rmtree(folder / "more")
    return folder


@pytest.mark.parametrize("form", FORMATS)
def test_every_format_writes_a_cell_s_files(runs, tmp_path, form):
    """Into a directory that appears when it is whole; an index says which cell is which; as JSON the same."""
    target = tmp_path / "out"
    done = call(
        "export", runs / "run", "--format", form, "-o", target, "--where", "block_size=4KiB", "--json"
    )
    assert 0 == done.exit_code, done.output
    said = json.loads(done.stdout)
    (cell,) = said["cells"]
    assert {"volume.block_size": "4KiB"} == cell["labels"]
    assert all((target / file).is_file() for file in cell["files"])
    index = json.loads((target / ".readpath-export.json").read_text())
    assert {"folder": str(target), **index} == said
    assert [target] == [path for path in tmp_path.iterdir() if not path.name.startswith("e.")]


@pytest.mark.parametrize("form", FORMATS)
def test_an_export_is_the_same_every_time(runs, tmp_path, form):
    """To the byte, and an earlier one is replaced."""
    contents = []
    for _ in range(2):
        assert 0 == call("export", runs / "run", "--format", form, "-o", tmp_path / "out", "-q").exit_code
        files = sorted(path for path in (tmp_path / "out").rglob("*") if path.is_file())
        contents.append([(path.name, path.read_bytes()) for path in files])
    assert contents[0] == contents[1]
    assert len(contents[0]) > 2


def test_a_run_without_a_trace_is_told_in_a_line(runs, tmp_path):
    """Exit code 2, nothing written; stacks need no trace."""
    for form, needs in FORMATS.items():
        if needs.traced:
            line = mistake("export", runs / "plain", "--format", form, "-o", tmp_path / "out")
            assert f"was made without --trace, which {form} needs" in line
    assert [] == list(tmp_path.iterdir())
    assert 0 == call("export", runs / "plain", "--format", "collapsed", "-o", tmp_path / "out").exit_code


def test_mistakes(runs, tmp_path):
    """Each is a line with what is allowed, and nothing is left behind."""
    out = tmp_path / "out"
    assert "perfetto, collapsed" in mistake("export", runs / "run", "--format", "pcap", "-o", out)
    assert "no axis" in mistake("export", runs / "run", "--format", "collapsed", "-o", out, "--where", "a=b")
    assert "--currency" in mistake(
        "export", runs / "run", "--format", "collapsed", "-o", out, "--currency", "$"
    )
    words = ("export", runs / "run", "-o", out, "--between")
    assert "with --format perfetto" in mistake(*words, "1ms", "2ms", "--format", "blkparse")
    assert "the earlier time first" in mistake(*words, "2ms", "1ms", "--format", "perfetto")
    assert "--between" in mistake(*words, "1", "soon", "--format", "perfetto")
    taken = tmp_path / "mine"
    taken.mkdir()
    (taken / "thesis.tex").write_text("x")
    assert "no export" in mistake("export", runs / "run", "--format", "collapsed", "-o", taken)
    assert [taken] == list(tmp_path.iterdir())


def test_a_damaged_trace_is_told_in_a_line(runs, tmp_path):
    """A table that is cut short, or gone, is a mistake of one line; what was begun is removed."""
    broken = tmp_path / "broken"
    shutil.copytree(runs / "run", broken)
    content = (broken / "block.parquet").read_bytes()
    (broken / "block.parquet").write_bytes(content[: len(content) // 2])
    line = mistake("export", broken, "--format", "blkparse", "-o", tmp_path / "out")
    assert "block.parquet cannot be read" in line
    (broken / "block.parquet").unlink()
    assert "has no block.parquet" in mistake("export", broken, "--format", "blktrace", "-o", tmp_path / "out")
    assert [broken] == list(tmp_path.iterdir())


def test_compare_ends_with_1_if_a_cell_is_worse(runs):
    """The same: 0; one that costs a fifth more: 1; the other way round, or within the threshold: 0."""
    same = call("compare", runs / "plain", runs / "run")
    assert 0 == same.exit_code, same.output
    assert "2 same" in same.stdout
    worse = call("compare", runs / "plain", runs / "slower", "--json")
    assert 1 == worse.exit_code
    document = json.loads(worse.stdout)
    assert 2 == document["worse"]
    assert all(
        1.1 < pair["ratio"] < 1.2 for pair in document["pairs"]
    )  # there are fewer sleeps on a slow CPU
    assert document["a"]["config_hash"] != document["b"]["config_hash"]
    assert 0 == call("compare", runs / "slower", runs / "plain").exit_code
    assert 0 == call("compare", runs / "plain", runs / "slower", "--threshold", "1.25").exit_code
    quiet = call("compare", runs / "plain", runs / "slower", "-q")
    assert (1, "") == (quiet.exit_code, quiet.output)


def test_compare_as_markdown(runs):
    """A table that a pull request shows."""
    done = call("compare", runs / "plain", runs / "slower", "--markdown", "--metric", "cpu_task_ns")
    assert 1 == done.exit_code
    lines = done.stdout.splitlines()
    assert lines[0].startswith("### t: e ")
    assert lines[2].startswith("| block_size | A | B | B / A |")
    assert " worse " in lines[4]
    assert "with --json" in mistake("compare", runs / "run", runs / "run", "--json", "--markdown")
    assert "not measured" in mistake("compare", runs / "run", runs / "run", "--metric", "speed")


def test_history_draws_a_metric_over_runs(runs, tmp_path):
    """Three runs in the order in which they were made; the last is a step."""
    done = call("history", runs, "-o", tmp_path / "plots", "--json")
    assert 0 == done.exit_code, done.output
    document = json.loads(done.stdout)
    assert ["run", "plain", "slower"] == document["folders"] or {"run", "plain"} == set(
        document["folders"][:2]
    )
    assert ["slower", "slower"] == [step["run"] for step in document["steps"]]
    assert 2 == len(document["figures"])
    assert all(Path(file).stat().st_size for file in document["figures"])
    table = call("history", runs, "-o", tmp_path / "plots", "--metric", "requests", "--format", "svg")
    assert "no step in 3 runs" in table.stdout
    assert "several" not in table.stdout
    assert "nosuch" in mistake("history", runs, "--experiment", "nosuch", "-o", tmp_path / "plots")


def test_flame_graphs_are_drawn_if_asked_for(runs, tmp_path):
    """Beside the other figures, SVG only; plot alone draws none."""
    run = tmp_path / "run"
    shutil.copytree(runs / "run", run)
    assert 0 == call("plot", run, "-q").exit_code
    assert not list((run / "figures").glob("flame*"))
    before = {path.name for path in (run / "figures").iterdir()}
    words = ("--figure", "flame_diff", "--diff", "block_size=1KiB", "block_size=4KiB")
    done = call("plot", run, "--figure", "flame", "--where", "block_size=1KiB", *words[2:])
    assert 0 == done.exit_code, done.output
    assert 0 == call("plot", run, *words).exit_code
    assert before | {"flame.svg", "flame_diff.svg"} == {path.name for path in (run / "figures").iterdir()}
    assert "shows a difference" in mistake("plot", run, "--figure", "flame_diff")
    assert "SVG only" in mistake("plot", run, *words, "--format", "png")
    assert "--figure flame" in mistake("plot", run, "--where", "block_size=1KiB")
    assert "flame_diff" in mistake("plot", run, "--figure", "nosuch")
    assert before | {"flame.svg", "flame_diff.svg"} == {path.name for path in (run / "figures").iterdir()}
