"""
Every figure can be read: no text is cut, runs into another, lies on a bar or is too small.

Held on made-up runs with the least and the most that a figure may have to show; test_committed_figures.py
does it on the committed results.
"""

from __future__ import annotations

from functools import cache

import matplotlib as mpl
import numpy as np
import pytest
from claims_kit import claim
from drawn import legible
from run_kit import made_up

from sim.block.io_record import STAGES
from sim.claims.constants import Constant
from sim.claims.sensitivity import Effect, Outcome, Sensitivity
from sim.config.cell_result import GROUPS
from sim.experiment.results import Run
from sim.experiment.trace import Trace
from sim.machine.timeline import LAYOUTS, Timeline, watch
from sim.paths.registry import DESIGNS
from sim.report import traced
from sim.report.figures import FIGURES
from sim.report.kernel_figure import PANELS, Point, kernel_figure
from sim.report.style import PATH_COLOURS, RC
from sim.report.timeline import timeline_pages
from sim.report.tornado import tornado

PATHS = list(PATH_COLOURS)
OF_6_1 = [path for path in PATHS if not DESIGNS[path].kernels]
LONG = "a name with many words, which somebody wrote into an experiment"


def run_of(axes: dict[str, list[str]], value: float, seeds: int) -> Run:
    """Return a run in which a cell's numbers are about `value` (times in us), each seed its own."""

    def metrics(_labels: dict[str, str]) -> dict[str, float]:
        ns = value * 1000
        times = dict.fromkeys(("cpu_ns", "elapsed_ns", "latency_mean_ns", "open_ns", "delete_ns"), ns)
        times["sync_latency_mean_ns"] = ns
        counts = dict.fromkeys(("bytes_read", "bytes_deleted", "bytes_written", "bytes_recovered"), 4096)
        counts |= {"bytes_streamed": 4096, "syncs": 1}
        counts |= {"crash_states": 200, "crash_unsound": 200, "crash_losing": 1, "crash_stale": 0}
        counts |= dict.fromkeys(("checksum_more_bytes", "checksum_bytes_hashed"), value * 4096)
        counts |= {"checksum_list_bytes": 4096}
        counts |= {"faults_injected": 128, "faults_undetected": 1, "reads_right": 200}
        counts |= {"reads_eio": 200, "reads_wrong": 1}
        if "volume.files" in axes or "workload" in axes:
            counts["cow_blocks"] = 1
            times["clone_ns"] = 0 if "volume.files" in axes else ns
        left = {"keys_left": 1, "blocks_left": -1}
        pages = {
            "pages_read": 1,
            "peak_pages": value,
            "buffer_heads": value,
            "map_calls": value,
            "bios": value,
        }
        return {"cpu_ns_per_4k": ns, "throughput_mib_s": value, **times, **counts, **left, **pages}

    def groups(seed: int) -> dict[str, float]:
        return dict.fromkeys(GROUPS, value * 1000 / len(GROUPS) * (1 + seed / 10))

    symbols = ("mpage_process_page_bufs", "jbd2_journal_commit_transaction")
    return made_up(axes, metrics, tuple(range(seeds)), groups, symbols)


BLOCKS = {"volume.block_size": ["1KiB", "4KiB"]}
LAYOUTS_20 = {"volume.files.layout": [f"{n}-block extents" for n in range(1, 20)] + [LONG]}
LAYOUTS_8 = {"volume.files.layout": [f"{1 << n}-block extents" for n in range(8)]}
LAYOUTS_2 = {"volume.files.layout": ["contiguous", "sparse"]}
SCHEMES = {"encryption": ["none", "fscrypt v2", "dm-crypt 4096 inline", LONG]}
PAIR = {"path": ["buffer_head", "page_io"]}
EVERY = {"path": PATHS}
MANY_SIZES = [f"{1 << n}KiB" for n in range(1, 20)]

AXES = {
    # figure: the least that it needs to be drawn; much of all
    "cpu_per_4k": ({"path": ["page_io"]}, {**SCHEMES, **BLOCKS, **EVERY}),
    "overhead_map": ({**LAYOUTS_2, **BLOCKS, **PAIR}, {**LAYOUTS_20, **BLOCKS, **EVERY}),
    "map_calls": ({**LAYOUTS_2, **PAIR}, {**LAYOUTS_20, **BLOCKS, **EVERY}),
    "folios": (
        {**LAYOUTS_2, "machine.kernel": ["6.1", "7.3"]},
        {**LAYOUTS_8, **BLOCKS, "machine.kernel": ["3.16", "6.1", "6.12", "7.3", LONG], **PAIR},
    ),
    "device_bound": (
        {"device.profile": ["nvme", "hdd"], **PAIR},
        {"device.profile": ["nvme", "hdd", "sata-ssd-2021", LONG], **BLOCKS, **EVERY},
    ),
    "readahead": (
        {"device.read_ahead_kb": ["0", "4"], **PAIR},
        {"device.read_ahead_kb": [str(1 << n) for n in range(2, 20)], "machine.cpus": list("1234"), **PAIR},
    ),
    "concurrency": (
        {"workload.job.numjobs": ["1", "8"], **PAIR},
        {"workload.job.numjobs": [str(n) for n in range(1, 65, 7)], **LAYOUTS_2, **SCHEMES, **PAIR},
    ),
    "file_size": (
        {"volume.files.size": ["1KiB", "64KiB"], **PAIR},
        {"volume.files.size": MANY_SIZES, **BLOCKS, **EVERY},
    ),
    "memory": ({**BLOCKS, **PAIR}, {**BLOCKS, "machine.cpus": list("123456"), **EVERY}),
    "encryption": ({"encryption": ["none", "x"]}, {**SCHEMES, **BLOCKS, **LAYOUTS_20}),
    "secure_delete": (
        {"workload.secure_delete": ["unlink", "clobber"], "volume.files.size": ["4KiB", "64KiB"]},
        {
            "workload.secure_delete": ["unlink", "clobber", "overwrite 3 times", LONG],
            "volume.files.size": ["4KiB", "64KiB", "1MiB", "16MiB", "64MiB", "1GiB"],
            "device.profile": ["nvme", "sata-ssd", "hdd"],
            **LAYOUTS_2,
        },
    ),
    "journal_modes": (
        {"mount.data": ["ordered", "journal"]},
        {
            "mount.data": ["ordered", "writeback", "journal", LONG],
            "device.profile": ["nvme", "sata-ssd", "hdd"],
            **LAYOUTS_20,
        },
    ),
    "crash": (
        {"mount": ["ordered", "journal"]},
        {"mount": ["ordered, nodelalloc", "writeback", "journal", LONG], **LAYOUTS_20},
    ),
    "corruption": (
        {"faults": ["bit flip", "write lost"]},
        {"faults": ["bit flip", "sector cannot be read", "write lost", LONG], **LAYOUTS_20},
    ),
    "fsync_storm": (
        {"workload.job.numjobs": ["1", "8"], "mount.data": ["ordered", "journal"]},
        {
            "workload.job.numjobs": [str(n) for n in range(1, 65, 7)],
            "mount.data": ["ordered", "writeback", "journal", LONG],
            **LAYOUTS_2,
            **SCHEMES,
        },
    ),
    "allocation": (
        {"mount.delalloc": ["true", "false"], **PAIR},
        {"mount.delalloc": ["true", "false"], **LAYOUTS_20, **EVERY},
    ),
    "copy_on_write": (
        {"volume.files": ["own blocks", "a clone"], "workload": ["in sequence"]},
        {"volume.files": ["own blocks", "a clone", LONG], "device.profile": ["nvme", "hdd"], **LAYOUTS_20},
    ),
    "clone_or_copy": (
        {"workload": ["copy", "clone"]},
        {"workload": ["copy", "clone", LONG], "device.profile": ["nvme", "hdd"], **LAYOUTS_20},
    ),
    "rewritten": (
        {"volume.rewritten": ["0", "1"], **PAIR},
        {"volume.rewritten": ["0", *(str(1 / (1 << n)) for n in range(9, -1, -1))], **BLOCKS, **EVERY},
    ),
    "checksums": (
        {"checksums": ["none", "table"], **LAYOUTS_2},
        {"checksums": ["none", "table", "extent, 64 blocks", LONG], **BLOCKS, **LAYOUTS_20},
    ),
    "integrity": (
        {"integrity": ["none", "table"], "workload.job": ["in sequence", "random"]},
        {
            "integrity": ["none", "table", "direct, 512 bytes", LONG],
            "workload.job": ["in sequence", "random 4 KiB", "synced overwrite", LONG],
            "device.profile": ["nvme", "sata-ssd", "hdd"],
            **BLOCKS,
        },
    ),
    "overwrites": (
        {"checksums.overwrite": ["read", "split"]},
        {"checksums.overwrite": ["read", "split", LONG], **BLOCKS, **LAYOUTS_20},
    ),
    "latency_cdf": ({}, {**LAYOUTS_2, **SCHEMES, **EVERY}),
    "stages": ({}, {**LAYOUTS_2, **SCHEMES, **EVERY}),
}
VALUES = (0.01, 1_000_000.0)


@pytest.fixture
def trace(monkeypatch):
    """Have a trace for runs that were made up: 1000 reads in each of 200 cells, over three decades."""
    cells = np.repeat(np.arange(200), 1000)
    latencies = np.tile(np.geomspace(5_000, 5_000_000, 1000), 200).astype(np.int64)
    io = {"cell": cells, "sectors": np.full_like(cells, 8), **dict.fromkeys(STAGES, latencies)}
    made = Trace(io, {"cell": cells, "latency_ns": latencies})
    monkeypatch.setattr(traced, "has_trace", lambda _path: True)
    monkeypatch.setattr(traced, "load_trace", lambda _path: made)


def test_every_figure_has_its_extremes():
    """None is forgotten below."""
    assert list(FIGURES) == list(AXES)


@pytest.mark.usefixtures("trace")
@pytest.mark.parametrize("value", VALUES)
@pytest.mark.parametrize("much", [False, True], ids=["least", "most"])
@pytest.mark.parametrize("name", AXES)
def test_extremes(name, much, value):
    """Two labels or twenty, some of them sentences; numbers of 0.01 and of a million; one seed and five."""
    run = run_of(AXES[name][much], value, 5 if much else 1)
    with mpl.rc_context(RC):
        pages = FIGURES[name](run)
        assert pages
        assert [] == legible(pages)


@cache
def watched(path: str, layout: str, pages: int, latency_ns: int) -> Timeline:
    """Return one window; watching takes longer than drawing."""
    return watch(path, layout, pages=pages, latency_ns=latency_ns)


@pytest.mark.parametrize(
    ("paths", "pages", "latency_ns"),
    [(["page_io"], 1, 1), (OF_6_1, 8, 8_000), (["buffer_head", "mpage", "page_io", "iomap"], 16, 1_000_000)],
)
def test_timelines(paths, pages, latency_ns):
    """From one page on a device that answers at once to many on a slow one; notes lie on no bar."""
    blocks = [[watched(path, layout, pages, latency_ns) for path in paths] for layout in LAYOUTS]
    with mpl.rc_context(RC):
        assert [] == legible(timeline_pages(blocks, f"About {LONG}", "where it comes from " * 6))


@pytest.mark.parametrize("value", VALUES)
def test_tornados(value):
    """One constant and ten, with names of any length; the margin far from the value."""
    verdicts = (Outcome(value * 0.9, "failed"), Outcome(value * 1.1, "held"))
    for count in (1, 10):
        names = ["copy_page_to_iter", "ext4_es_lookup_extent_of_a_long_name"] * 5
        constants = [Constant("machine", "m", name, "unit", 1.0, "ns/byte", 0.25) for name in names[:count]]
        effects = tuple(Effect(constant, *verdicts) for constant in constants)
        made = claim(sentence=LONG, margin=1.3)
        one = Sensitivity(made, "computed", ("1KiB", LONG), Outcome(value, "held"), effects, *verdicts)
        with mpl.rc_context(RC):
            assert [] == legible([tornado(one, 10, "e   config 0123456789ab   readpath 9.9")])


@pytest.mark.parametrize("paths", [["page_io"], PATHS])
def test_kernel_figure(paths):
    """Few calls per page and many, one path and all."""
    points = [
        Point(path, counter, calls, calls, pages)
        for path in paths
        for counter in PANELS
        for calls, pages in ((1, 4096), (1, 1), (100_000, 1))
    ]
    with mpl.rc_context(RC):
        assert [] == legible([kernel_figure(points, "readpath validate")])
