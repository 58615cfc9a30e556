"""The figures of a traced run: their numbers, and that a run without a trace has none of them."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pyarrow.parquet as pq
import pytest
from matplotlib.colors import to_hex
from run_kit import made_up

from sim.block.io_record import STAGES
from sim.errors import ConfigError
from sim.experiment.loading import load_experiment
from sim.experiment.results import Run
from sim.experiment.runner import execute
from sim.experiment.trace import has_trace, load_trace
from sim.machine.run_cell import run_cell
from sim.report.figures import draw
from sim.report.latency import latency_cdf, nines, percentile_ns
from sim.report.stages import STAGE_WORDS, stages
from sim.report.style import PATH_COLOURS, RC, STAGE_COLOURS
from sim.volume.images import ensure_image

TEXT = """\
title = "t"
data = "off"
[device]
profile = "nvme"
[volume]
block_size = "1KiB"
files = [{ name = "data", size = "1MiB" }]
[workload]
job = { rw = "randread", bs = "4k" }
[matrix]
"encryption.scheme" = ["none", "fscrypt-v2"]
path = ["buffer_head", "page_io"]
"""


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Run:
    """A traced run of the real core: 256 random reads on two paths, plain and encrypted."""
    return traced_run(tmp_path_factory.mktemp("traced"), TEXT)


def traced_run(folder: Path, text: str) -> Run:
    """Run an experiment with its trace."""
    (folder / "e.toml").write_text(text)
    experiment = load_experiment(folder / "e.toml")
    make = partial(ensure_image, root=folder / "images")
    return execute(experiment, folder / "run", run_cell, make, draw=lambda *_run, **_each: None, trace=True)


def test_the_stages_of_a_bar_add_up_to_the_whole(run):
    """A bar is as long as the mean time, over sectors, from submit_bio() to the reader running on."""
    io = pq.read_table(run.path / "io.parquet").to_pylist()
    trace = load_trace(run.path)
    for cell in range(4):
        rows = [row for row in io if row["cell"] == cell]
        sectors = sum(row["sectors"] for row in rows)
        whole = sum(row["sectors"] * sum(row[stage] for stage in STAGES) for row in rows) / sectors
        assert pytest.approx(whole, rel=1e-12) == sum(trace.stages_ns({cell}).values())
    assert list(STAGES) == list(STAGE_WORDS) == list(STAGE_COLOURS)
    assert {} == trace.stages_ns({99})


def test_the_bars_are_the_stages_in_their_colours(run):
    """A panel per scheme, a bar per path; only encrypted reads are decrypted."""
    with mpl.rc_context(RC):
        (figure,) = stages(run)
    trace = load_trace(run.path)
    for number, panel in enumerate(figure.axes):
        bars = [
            (to_hex(bar.get_facecolor()).upper(), bar.get_y() + bar.get_height() / 2, bar.get_width())
            for bar in panel.patches
        ]
        for place in (0, 1):
            expected = trace.stages_ns({2 * number + place})
            drawn = {colour: 1000 * width for colour, y, width in bars if round(y) == place}
            assert {STAGE_COLOURS[s].upper(): pytest.approx(ns) for s, ns in expected.items()} == drawn
    assert ["not encrypted", "fscrypt-v2"] == [panel.get_title() for panel in figure.axes]
    legend = [text.get_text() for text in figure.legends[0].get_texts()]
    assert "decrypt" in legend
    assert "queue" not in legend  # nobody waits: the drive takes more than one reader has


def test_percentiles_are_known_where_a_read_lies_above():
    """Of 1 to 100: the median is 50, the 99th percentile 99; for the 99.9th there are too few."""
    hundred = np.arange(1, 101)
    assert [50, 99, None] == [percentile_ns(hundred, percent) for percent in (50, 99, 99.9)]
    assert 999 == percentile_ns(np.arange(1, 1001), 99.9)
    assert 1 == percentile_ns(np.array([1, 2]), 50)
    assert (0.0, pytest.approx(1.0), pytest.approx(3.0)) == (nines(0), nines(90), nines(99.9))


def test_the_distribution_holds_every_read(run):
    """A line per path in its colour, as many steps as reads, and a mark at the median and the 99th."""
    with mpl.rc_context(RC):
        (figure,) = latency_cdf(run)
    panel = figure.axes[0]
    lines, marks = panel.lines[0::2], panel.lines[1::2]
    assert [PATH_COLOURS[path] for path in ("buffer_head", "page_io")] == [line.get_color() for line in lines]
    latencies = load_trace(run.path).latencies_ns({0})
    assert 256 == len(latencies)
    assert [ns / 1000 for ns in latencies] == list(lines[0].get_xdata()[1:])
    assert [percentile_ns(latencies, p) / 1000 for p in (50, 99)] == list(marks[0].get_xdata())
    assert "not encrypted\n256 reads each" == panel.get_title()


ONE_PATH = TEXT.replace('path = ["buffer_head", "page_io"]\n', "")
"""The paths are not varied, the schemes are."""
ONE_CELL = TEXT[: TEXT.index("[matrix]")]


@pytest.mark.parametrize(
    ("text", "names", "bars"),
    [
        (ONE_PATH, ["not encrypted", "fscrypt-v2"], ["not encrypted", "fscrypt-v2"]),
        (ONE_CELL, ["page_io"], ["page_io"]),
    ],
    ids=["schemes", "one cell"],
)
def test_a_run_of_one_path_has_both(tmp_path, text, names, bars):
    """Without paths to compare, the last axis is; without any, the one path is shown."""
    traced = traced_run(tmp_path, text)
    with mpl.rc_context(RC):
        (cdf,), (bar_chart,) = latency_cdf(traced), stages(traced)
    assert names == [text.get_text() for text in cdf.legends[0].get_texts()]
    assert bars == [tick.get_text() for tick in bar_chart.axes[0].get_yticklabels()]
    lines = cdf.axes[0].lines[0::2]
    assert [256] * len(names) == [len(line.get_xdata()) - 1 for line in lines]
    assert len({line.get_color() for line in lines}) == len(names)
    assert {"cpu_per_4k", "latency_cdf", "stages"} == {path.stem for path in draw(traced, tmp_path, ["svg"])}


def test_no_trace_no_figure(run, tmp_path):
    """A run without a trace has neither figure, and says so when asked for one."""
    plain = made_up({"path": ["buffer_head", "page_io"]}, lambda _labels: {"bytes_read": 4096})
    assert ([], []) == (latency_cdf(plain), stages(plain))
    assert (True, False) == (has_trace(run.path), has_trace(plain.path))
    with pytest.raises(ConfigError, match=r"has no trace .* a run made with --trace"):
        load_trace(plain.path)
    with pytest.raises(ConfigError, match="'stages': made-up does not have what it shows"):
        draw(plain, tmp_path, ["svg"], ["stages"])


def test_both_are_drawn_with_the_others(run, tmp_path):
    """A traced run's figures are drawn without being asked for."""
    names = {path.stem for path in draw(run, tmp_path, ["svg"])}
    assert {"cpu_per_4k", "latency_cdf", "stages"} == names
