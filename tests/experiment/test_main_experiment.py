"""The main experiment on the real core, small: what it must show whatever the constants are."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest

from sim.experiment.loading import load_experiment
from sim.experiment.results import Run
from sim.experiment.runner import execute
from sim.machine.run_cell import run_cell
from sim.report.figures import draw
from sim.volume.images import ensure_image

MAIN = Path(__file__).parents[2] / "experiments" / "per_block_vs_per_extent.toml"


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Run:
    """The main experiment on a file of 1 MiB instead, one seed, in this process."""
    folder = tmp_path_factory.mktemp("main")
    experiment = load_experiment(MAIN, ["volume.files.size=1MiB", "run.seeds=1"])
    images = partial(ensure_image, root=folder / "images")
    return execute(experiment, folder / "out", run_cell, images, draw=draw)


def _cells(run: Run, **labels: str) -> list[dict[str, object]]:
    short = {axis.rpartition(".")[2]: axis for axis in run.axes}
    return [row for row in run.metrics if all(row[short[key]] == label for key, label in labels.items())]


def test_every_byte_is_right(run):
    """What every path returned, decrypted or not, has the plaintext's digest."""
    assert len(run.metrics) == 100
    assert {row["digest_ok"] for row in run.metrics} == {1}
    assert {row["bytes_read"] for row in run.metrics} == {1 << 20}


def test_calls_add_up_to_the_cpu_time(run):
    """The rows of calls sum to the CPU time of their cell, but for rounding a row to ns."""
    for row in run.metrics:
        calls = [call for call in run.calls if call["cell"] == row["cell"]]
        assert abs(sum(call["ns"] for call in calls) - row["cpu_ns"]) <= len(calls)


def test_buffer_heads_map_every_block(run):
    """On the buffer_head path there is one map call a block, holes too, whatever the layout."""
    for size, blocks in (("1KiB", 1024), ("4KiB", 256)):
        for row in _cells(run, path="buffer_head", block_size=size):
            assert row["get_block_calls"] == blocks


def test_extents_are_mapped_once_a_window(run):
    """On a contiguous file the extent paths map a few times a window, not once a block."""
    for path in ("mpage", "page_io", "iomap"):
        for row in _cells(run, path=path, layout="contiguous"):
            assert row["map_calls"] < 64


def test_encryption_changes_cost_and_no_count(run):
    """Decryption adds CPU time to every cell, and neither bios nor map calls."""
    plain, secret = _cells(run, scheme="none"), _cells(run, scheme="fscrypt-v2")
    for before, after in zip(plain, secret, strict=True):
        assert before["cpu_ns"] < after["cpu_ns"]
        assert (before["map_calls"], before["bios"]) == (after["map_calls"], after["bios"])
