"""Two runs compared: which cells are one another's, what is better and worse, and what cannot be told."""

from __future__ import annotations

from dataclasses import replace

import pytest
from run_kit import made_up

from sim.errors import ConfigError
from sim.experiment.results import Run
from sim.report.comparison import compare, comparison_table, markdown, metrics_of, verdict_line

AXES = {"volume.block_size": ["1KiB", "4KiB"], "path": ["buffer_head", "page_io"]}


def run(cost=lambda _labels, _seed: 1000.0, axes=AXES, seeds=(0,), **more) -> Run:
    """Return a run whose CPU time per 4 KiB, and a symbol's, are `cost` of labels and seed."""
    made = made_up(
        axes, lambda _labels: {"bytes_read": 4096, "digest_ok": 1, "throughput_mib_s": 100.0, **more}, seeds
    )
    calls = []
    for row in made.metrics:
        labels = {axis: row[axis] for axis in axes}
        row["cpu_ns_per_4k"] = cost(labels, row["seed"])
        keys = {"cell": row["cell"], "seed": row["seed"], "group": "copy", "context": "task", "calls": 1}
        calls.append(keys | {"symbol": "copy_page_to_iter", "stack": "copy_page_to_iter", "ns": 400})
        rest = row["cpu_ns_per_4k"] - 400
        calls.append(keys | {"symbol": "bio_alloc_bioset", "stack": "bio_alloc_bioset", "ns": rest})
    return replace(made, calls=calls)


def verdicts(first: Run, second: Run, metric="cpu_ns_per_4k", threshold=1.05) -> list[str]:
    """Return the verdict of each cell."""
    return [pair.verdict for pair in compare(first, second, metric, threshold).pairs]


def test_what_costs_more_is_worse():
    """Each cell by its ratio against the threshold, both ways; on it is the same."""
    factors = {("1KiB", "buffer_head"): 1.06, ("1KiB", "page_io"): 1.05, ("4KiB", "buffer_head"): 0.9}

    def cost(labels: dict[str, str], _seed: int) -> float:
        return 1000 * factors.get((labels["volume.block_size"], labels["path"]), 1.0)

    assert ["worse", "same", "better", "same"] == verdicts(run(), run(cost))
    assert ["better", "same", "worse", "same"] == verdicts(run(cost), run())
    assert 1 == compare(run(), run(cost), "cpu_ns_per_4k", 1.05).worse


def test_more_throughput_is_better():
    """The direction is the metric's."""
    assert {"better"} == set(verdicts(run(), run(throughput_mib_s=120.0), "throughput_mib_s"))
    assert {"worse"} == set(verdicts(run(), run(throughput_mib_s=80.0), "throughput_mib_s"))


def test_an_interval_over_the_threshold_cannot_tell():
    """Six seeds whose ratios lie about the threshold: an interval on both sides of it; far away: worse."""
    seeds = tuple(range(6))
    about = compare(
        run(seeds=seeds), run(lambda _, seed: 1000 + 20 * seed, seeds=seeds), "cpu_ns_per_4k", 1.05
    )
    (first, *_) = about.pairs
    assert "cannot tell" == first.verdict
    assert first.low < 1.05 < first.high
    assert pytest.approx(1.05) == first.ratio
    far = compare(run(seeds=seeds), run(lambda _, seed: 1500 + 20 * seed, seeds=seeds), "cpu_ns_per_4k", 1.05)
    assert {"worse"} == {pair.verdict for pair in far.pairs}


def test_one_seed_has_no_interval_and_other_seeds_are_said():
    """A point is no interval; with other seeds the ratio is that of the means."""
    (pair, *_) = compare(run(), run(lambda *_: 2000.0), "cpu_ns_per_4k", 1.05).pairs
    assert (2.0, None, None) == (pair.ratio, pair.low, pair.high)
    (pair, *_) = compare(run(), run(lambda *_: 2000.0, seeds=(7,)), "cpu_ns_per_4k", 1.05).pairs
    assert ("worse", "other seeds: no interval") == (pair.verdict, pair.why)


def test_cells_are_matched_by_the_axes_of_both():
    """An axis with one label more or less does not matter; what only one run has is told."""
    more = run(axes={"device.profile": ["nvme"], **AXES})
    found = compare(run(), more, "cpu_ns_per_4k", 1.05)
    assert ["same"] * 4 == [pair.verdict for pair in found.pairs]
    fewer = run(axes={**AXES, "path": ["page_io", "iomap"]})
    found = compare(run(), fewer, "cpu_ns_per_4k", 1.05)
    assert 2 == len(found.pairs)
    assert ("block_size=1KiB, path=buffer_head", "block_size=4KiB, path=buffer_head") == found.only_a
    assert "only in B: block_size=1KiB, path=iomap" in verdict_line(found)


def test_labels_that_do_not_tell_are_a_mistake():
    """Several cells of the same labels, none in common, a metric or a threshold that is none."""
    with pytest.raises(ConfigError, match="several cells of path=buffer_head"):
        compare(run(), run(axes={"path": ["buffer_head"]}), "cpu_ns_per_4k", 1.05)
    with pytest.raises(ConfigError, match="no cell is like one of"):
        compare(run(axes={"path": ["a"]}), run(axes={"path": ["b"]}), "cpu_ns_per_4k", 1.05)
    with pytest.raises(ConfigError, match="not measured"):
        compare(run(), run(), "digest_ok", 1.05)
    with pytest.raises(ConfigError, match="threshold"):
        compare(run(), run(), "cpu_ns_per_4k", 0.9)
    assert ["cpu_ns_per_4k", "throughput_mib_s"] == metrics_of(run())


def test_a_cell_without_a_result_cannot_be_told():
    """It failed in one run."""
    half = run()
    half.metrics[:] = [row for row in half.metrics if row["cell"]]
    (first, *others) = compare(run(), half, "cpu_ns_per_4k", 1.05).pairs
    assert ("cannot tell", "the second run has no result") == (first.verdict, first.why)
    assert {"same"} == {pair.verdict for pair in others}


def test_the_symbols_that_moved():
    """The one that takes all of it, by how much per 4 KiB; what did not move is not there."""
    (pair, *_) = compare(run(), run(lambda *_: 1300.0), "cpu_ns_per_4k", 1.05).pairs
    assert (("bio_alloc_bioset", 300.0),) == pair.moved


def test_as_a_table_and_as_markdown():
    """A row a cell, with labels, values, verdict; a line with the counts below."""
    found = compare(run(), run(lambda *_: 1300.0), "cpu_ns_per_4k", 1.05)
    assert [1.3] * 4 == [row["ratio"] for row in comparison_table(found).rows]
    lines = markdown(found, "B against A").splitlines()
    assert "### B against A" == lines[0]
    assert "| block_size | path | A | B | B / A | 95 % | verdict | moved, per 4 KiB |" == lines[2]
    assert "| 1KiB | buffer_head | 1,000 | 1,300 | 1.300 |  | worse | bio_alloc_bioset +300.0 |" == lines[4]
    assert "cpu_ns_per_4k of 4 cells: 4 worse, 0 better, 0 same, 0 cannot tell" == lines[-1]
