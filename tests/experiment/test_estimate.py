"""What an experiment would take is told before it is begun: counts of the rule, and where it refuses."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from sim.engine.costs import CostTable, load_costs
from sim.errors import ConfigError
from sim.experiment import estimate
from sim.experiment.estimate import cell_work, image_work, refuse_too_much, work_of
from sim.experiment.loading import load_experiment
from sim.machine.run_cell import played_cell
from sim.volume.images import ensure_image
from sim.workload import player

ROOT = Path(__file__).parents[2]
TEXT = """\
title = "t"
data = "off"
[device]
profile = "nvme"
[volume]
files = [{ name = "data", size = "1MiB" }]
[workload]
job = { bs = "4k" }
"""


def _cell(folder: Path, *sets: str):
    return _experiment(folder, *sets).cells[0]


def _experiment(folder: Path, *sets: str):
    (folder / "e.toml").write_text(TEXT)
    return load_experiment(folder / "e.toml", sets)


def test_the_rule_in_numbers(tmp_path):
    """50 us a read, 8 us a page, 22 us an extent; to make one: 23 us, 5 ns a byte."""
    reads, pages = 257, 257 + 257  # a read may lie across two pages
    assert reads * 50_000 + pages * 8_000 + 2 * 22_000 == cell_work(_cell(tmp_path)).ns
    assert (1 << 20) * 5 + 23_000 == image_work(_cell(tmp_path).config).ns
    real = cell_work(_cell(tmp_path, "data=real"))
    assert pages * 15_000 == real.ns - cell_work(_cell(tmp_path)).ns
    assert pages * 600 == real.memory_bytes


@pytest.mark.parametrize(
    ("job", "reads"),
    [
        ("{bs='4k',numjobs=3}", 3 * 257),
        ("{bs='4k',loops=5}", 5 * 256 + 1),
        ("{bs='64k'}", 17),
        ("{bs='4k',io_size='2m'}", 513),
        ("{bs='4k',size='512k'}", 129),
        ("{bs='4k',number_ios=9}", 9),
        ("{bs='4k',time_based=1,runtime=2}", 200_000),
        ("{bs='4k',runtime='1ms'}", 101),
    ],
)
def test_reads_of_a_job(tmp_path, job, reads):
    """Clones, loops, io_size, number_ios and the runtime of a job are in it."""
    cell = _cell(tmp_path, f"workload.job={job}")
    (said,) = cell.config.workload.jobs
    assert reads == estimate._job_reads(said, cell, {"data": 1 << 20})[0]


@pytest.mark.parametrize(
    ("sets", "words"),
    [
        (["workload.job.loops=100000000"], r"e: this would take about \d+ days; allowed: less"),
        (["workload.job={bs='4k',time_based=1,runtime='300d'}"], r"about \d+,?\d* years"),
        (["volume.files.size=2TiB"], r"about \d+ h"),
        (["volume.files=[{name='d',size='64k',layout={kind='fragmented',extent='1TiB'}}]"], r"about \d+ min"),
        (
            ["volume.files.size=8GiB", "volume.files.layout={kind='sparse'}", "workload.job.size=4k"],
            "GiB of memory",
        ),
    ],
)
def test_what_would_take_too_long_is_refused(tmp_path, sets, words):
    """More than an hour, or 2 GiB a worker, is told with how much it would be."""
    with pytest.raises(ConfigError, match=words):
        refuse_too_much(_experiment(tmp_path, *sets), 1, "less")


def test_workers_share_the_time(tmp_path):
    """The hour is that of all workers together."""
    experiment = _experiment(tmp_path, "run.seeds=8", "workload.job.loops=80000")
    assert estimate.MOST_S < work_of(experiment).seconds < 8 * estimate.MOST_S
    with pytest.raises(ConfigError):
        refuse_too_much(experiment, 1, "")
    refuse_too_much(experiment, 8, "")


def test_none_of_ours_is_refused():
    """Every experiment that comes with readpath is far below an hour."""
    for path in sorted((ROOT / "experiments").glob("*.toml")):
        assert work_of(load_experiment(path)).seconds < estimate.MOST_S / 10, path


@pytest.mark.parametrize(
    ("sets", "words"),
    [
        (["run.seeds=10000000"], "10000000 seeds; allowed: at most 20000"),
        (["run.seeds=[9223372036854775808]"], "digits|cannot be used"),
        (["run.seeds=" + "9" * 5000], "seeds"),
        (["run.seeds=20000", "machine.cpus=4"], None),
        (["machine.cost_scale=1e300"], "cost_scale"),
        (["machine.cost_scale=1e-300"], "cost_scale"),
        (["machine.syscall=2s"], "too long"),
        (["volume.files.size=" + "9" * 5000], "is not understood"),
        (["volume.files.size=99999PB"], "too large"),
        (["encryption={scheme=['none']}"], "scheme"),
        (["volume.journal=1TiB"], "journal"),
    ],
)
def test_values_beyond_what_can_be_run(tmp_path, sets, words):
    """Each is one line before anything is made; the largest that is allowed is taken."""
    if words is None:
        assert 20000 == len(_experiment(tmp_path, *sets).cells)
        return
    with pytest.raises(ConfigError, match=words) as caught:
        _experiment(tmp_path, *sets)
    assert len(str(caught.value)) < 500


def test_a_matrix_of_a_thousand_million_cells(tmp_path):
    """It is counted, not built."""
    (tmp_path / "e.toml").write_text(TEXT)
    values = str(list(range(1, 1001)))
    axes = "".join(f'"machine.{key}" = {values}\n' for key in ("cpus", "syscall", "wakeup"))
    (tmp_path / "e.toml").write_text(TEXT + "[matrix]\n" + axes)
    with pytest.raises(ConfigError, match="1,000,000,000 cells with 1 seeds; allowed: at most 10,000 cells"):
        load_experiment(tmp_path / "e.toml")


def test_time_that_does_not_pass(tmp_path, monkeypatch):
    """A job by time on a machine where nothing costs anything is an error and no endless loop."""

    cell = _cell(
        tmp_path, "device.profile=ramdisk", "workload.job={bs='4k',time_based=1,runtime=1,invalidate=0}"
    )
    costs = load_costs("linux-6.1-epyc-7001")
    free = {name: replace(cost, self_ps=0, unit_ps=0) for name, cost in costs.costs.items()}
    monkeypatch.setattr(player, "MOST_STILL_READS", 1000)
    with pytest.raises(ConfigError, match="1000 reads in a row took no time"):
        played_cell(cell, ensure_image(cell, tmp_path / "i"), costs=CostTable("free", free))
