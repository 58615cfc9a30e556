"""The Python interface: one cell of a run, claims, pictures, and what importing costs."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from sim.api import (
    cell,
    check,
    cpu_difference,
    cpu_symbols,
    figure,
    jobs,
    load,
    run,
    table,
    timeline,
    timeline_figure,
)
from sim.errors import ConfigError

EXPERIMENTS = Path(__file__).parents[2] / "experiments"


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """The device experiment on 256 KiB, two devices, two seeds."""
    folder = tmp_path_factory.mktemp("api")
    return run(
        EXPERIMENTS / "device_bound.toml",
        "volume.files.size=256KiB",
        'device.profile=["null_blk", "hdd"]',
        "run.seeds=2",
        to=folder / "run",
        images=folder / "images",
    )


def test_jobs_have_a_row_each(tmp_path):
    """A job file is run as it is; its clones and its group have a row each, means over the seeds."""
    (tmp_path / "x.fio").write_text("[a]\nsize=64k\nbs=4k\nnumjobs=2\ngroup_reporting\n")
    result = run(tmp_path / "x.fio", "run.seeds=2", to=tmp_path / "run", images=tmp_path / "images")
    rows = jobs(result).rows
    assert [("a", 0, 16), ("a", 1, 16), ("a, all 2", None, 32)] == [
        (row["job"], row["clone"], row["reads"]) for row in rows
    ]
    of_seeds = [row["latency_p99_9_ns"] for row in result.jobs if row["scope"] == "group"]
    assert 2 == len(of_seeds)
    assert sum(of_seeds) / 2 / 1000 == rows[2]["p99_9_us"]
    assert result.jobs == load(result.path).jobs


def test_a_cell_is_the_mean_over_its_seeds(small):
    """Labels pick one cell by short names; counts stay, times are averaged; loading gives the same."""
    rows = [r for r in small.metrics if r["device.profile"] == "hdd" and r["path"] == "mpage"]
    found = cell(small, profile="hdd", path="mpage")
    assert 2 == len(rows)
    assert sum(row["elapsed_ns"] for row in rows) / 2 == found["elapsed_ns"]
    assert (64, "hdd") == (found["pages_read"], found["device.profile"])
    assert found == cell(load(small.path), profile="hdd", path="mpage")


def test_labels_must_name_one_cell(small):
    """Too few labels, and one that is not there, are told apart."""
    with pytest.raises(ConfigError, match=r"4 cells are .* allowed: a label for device.profile, path"):
        cell(small, profile="hdd")
    with pytest.raises(ConfigError, match="profile is never 'tape'"):
        cell(small, profile="tape", path="mpage")
    with pytest.raises(ConfigError, match="no axis 'layout'"):
        cell(small, layout="contiguous")


def test_tables_show_themselves(small):
    """A notebook gets an HTML table with a row per cell, and symbols escaped as text."""
    assert 8 + 1 == table(small)._repr_html_().count("<tr>")
    symbols = cpu_symbols(small, stacks=True, path="buffer_head")._repr_html_()
    assert "filemap_read" in symbols
    more = cpu_difference(small, {"path": "buffer_head"}, {"path": "page_io"}, profile="null_blk")
    assert "A - B ns/4K" in more._repr_html_()


def test_pictures_are_svg(small):
    """A figure of a run and a timeline show themselves; one that the run has not is a mistake."""
    for picture in (figure(small, "device_bound"), timeline_figure([[timeline("iomap")]], "about")):
        assert picture._repr_html_().startswith("<svg")
    with pytest.raises(ConfigError, match="does not have what it shows"):
        figure(small, "memory")


def test_claims_are_checked(small, tmp_path):
    """The claims of the run's experiment, none of another's."""
    findings = {finding.claim.name: finding for finding in check(small, EXPERIMENTS / "claims")}
    assert "held" == findings["the-cpu-time-is-saved-on-every-device"].verdict
    (tmp_path / "a.toml").write_text(
        (EXPERIMENTS / "claims" / "memory.toml").read_text(encoding="utf-8"), encoding="utf-8"
    )
    with pytest.raises(ConfigError, match="has no claims on 'device_bound'"):
        check(small, tmp_path)


def test_a_run_without_a_place_is_gone_afterwards():
    """Its folder lasts as long as the program; and `import sim` alone loads none of the packages below."""
    program = f"""
import sys, sim
assert not [name for name in sys.modules if name.startswith("sim.")]
from sim.api import run
print(run({str(EXPERIMENTS / "memory.toml")!r}, "volume.files.size=256KiB", "data=off", "path=iomap").path)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    folder = Path(done.stdout.strip())
    assert "memory" == folder.name
    assert not folder.exists()
